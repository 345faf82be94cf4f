"""If: branches that are chosen at run time give what onnxruntime gives, and the one not taken does no harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
import wasmgrad
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from wasmgrad import InvalidArgument, Unsupported
from wasmgrad.compiler import CompileOptions, compile_model

from .outside import CASES, DATA

Array = NDArray[Any]

FORMS = {
    "wasm -O0": CompileOptions(opt_level=0),
    "wasm -O3": CompileOptions(opt_level=3),
    "native -O3": CompileOptions(opt_level=3, target="native"),
}
forms = pytest.mark.parametrize("form", FORMS)


def _info(name: str, array: Array) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _node(operator: str, inputs: str, output: str, /, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(
        operator, inputs.split(), output.split(), name=f"{operator}_{output}", **attributes
    )


def _graph(
    nodes: Sequence[onnx.NodeProto], outputs: str, constants: Mapping[str, Array] | None = None
) -> onnx.GraphProto:
    """A branch."""
    infos = [helper.make_empty_tensor_value_info(name) for name in outputs.split()]
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    return helper.make_graph(list(nodes), "branch", [], infos, weights)


def _if(condition: str, output: str, yes: onnx.GraphProto, no: onnx.GraphProto) -> onnx.NodeProto:
    return _node("If", condition, output, then_branch=yes, else_branch=no)


def _model(
    nodes: Sequence[onnx.NodeProto],
    feeds: Mapping[str, Array],
    outputs: Mapping[str, Array | None],
    constants: Mapping[str, Array] | None = None,
) -> onnx.ModelProto:
    """Outputs are of the type and shape of an array, or float32."""
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) if like is None else _info(name, like)
        for name, like in outputs.items()
    ]
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(
        list(nodes), "branches", [_info(*feed) for feed in feeds.items()], infos, weights
    )
    opsets = [helper.make_opsetid("", 24), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _expected(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    return [
        np.asarray(each)
        for each in onnxruntime.InferenceSession(model.SerializeToString()).run(None, dict(feeds))
    ]


class _Compiled:
    """A model in one form."""

    def __init__(self, model: onnx.ModelProto, form: str) -> None:
        options = FORMS[form]
        engine = "native" if options.target == "native" else "wasmtime"
        self.module = wasmgrad.load(compile_model(model, options).module, engine)

    def __call__(self, feeds: Mapping[str, Array]) -> list[Array]:
        found = self.module(**feeds)
        return list(found) if isinstance(found, tuple) else [found]


# -- right numbers ----------------------------------------------------------------------------------------------------

TYPES = [
    "float32",
    "float16",
    "bfloat16",
    "float64",
    "int8",
    "uint8",
    "int16",
    "int32",
    "uint32",
    "int64",
    "bool",
]
SHAPES: list[tuple[int, ...]] = [(), (1,), (5,), (2, 3), (2, 3, 5), (1, 2, 3, 1, 2), (2, 0, 3)]


@forms
def test_the_condition_selects_results_of_every_type_and_rank(form: str) -> None:
    generator = np.random.default_rng(0)
    feeds: dict[str, Array] = {}
    yes, no = [], []
    for dtype in TYPES:
        for place, shape in enumerate(SHAPES):
            numbers = generator.integers(0, 2 if dtype == "bool" else 100, (2, *shape))
            for letter, array in zip("ab", numbers, strict=True):
                numpy_type = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
                feeds[f"{letter}_{dtype}_{place}"] = np.asarray(array).astype(numpy_type)
            yes.append(_node("Identity", f"a_{dtype}_{place}", f"y_{dtype}_{place}"))
            no.append(_node("Identity", f"b_{dtype}_{place}", f"n_{dtype}_{place}"))
    yes_names, no_names = (" ".join(node.output[0] for node in branch) for branch in (yes, no))
    outputs = " ".join(f"o{name[1:]}" for name in yes_names.split())
    node = _if("c", outputs, _graph(yes, yes_names), _graph(no, no_names))
    like = {name: feeds[f"a{name[1:]}"] for name in outputs.split()}
    feeds["c"] = np.array(True)
    run = _Compiled(_model([node], feeds, like), form)
    for condition, letter in ((True, "a"), (False, "b")):
        for name, result in zip(like, run({**feeds, "c": np.array(condition)}), strict=True):
            wanted = feeds[f"{letter}{name[1:]}"]
            assert result.shape == wanted.shape, name
            np.testing.assert_array_equal(result.view(wanted.dtype), wanted, err_msg=name)


@forms
def test_nan_and_infinities_of_the_other_branch_do_not_show(form: str) -> None:
    x = np.array([0, -1, np.nan, np.inf, -np.inf, 2], np.float32)
    wild = _graph([_node("Log", "x", "l"), _node("Div", "l x", "y1")], "y1")
    plain = _graph([_node("Abs", "x", "y2")], "y2")
    feeds = {"x": x, "c": np.array([False])}
    run = _Compiled(_model([_if("c", "y", wild, plain)], feeds, {"y": x}), form)
    np.testing.assert_array_equal(run(feeds)[0], np.abs(x))
    np.testing.assert_array_equal(run({"x": x, "c": np.array([True])})[0], np.log(x) / x)


@forms
def test_branches_inside_of_branches_see_what_is_around_them(form: str) -> None:
    """As models do whose input chooses a sampling rate."""
    inner = _if(
        "loud",
        "i",
        _graph([_node("Mul", "outer w", "i1")], "i1"),
        _graph([_node("Sub", "outer own", "i2")], "i2"),
    )
    yes = _graph([_node("Exp", "x", "own"), inner, _node("Add", "i x", "y1")], "y1")
    no = _graph([_node("Neg", "outer", "y2")], "y2", {"unused": np.float32(1)})
    nodes = [
        _node("Equal", "sr wide", "c"),
        _node("ReduceMax", "x", "largest", keepdims=0),
        _node("Greater", "largest one", "loud"),
        _node("Add", "x x", "outer"),
        _if("c", "y", yes, no),
    ]
    constants = {"wide": np.array(16000), "one": np.float32(1), "w": np.float32(0.5)}
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    model = _model(nodes, {"x": x, "sr": np.array(8000)}, {"y": x}, constants)
    run = _Compiled(model, form)
    for rate in (8000, 16000):
        for factor in (1, 3):
            feeds = {"x": x * np.float32(factor), "sr": np.array(rate)}
            np.testing.assert_allclose(run(feeds)[0], _expected(model, feeds)[0], rtol=1e-6)


def test_constants_of_both_branches_are_selected_and_equal_ones_stay_constants() -> None:
    yes = _graph(
        [_node("Identity", "p", "p1"), _node("Identity", "s", "s1")],
        "p1 s1",
        {"p": np.float32([1, 2]), "s": np.array([3, 2])},
    )
    no = _graph(
        [_node("Identity", "q", "q2"), _node("Identity", "t", "t2")],
        "q2 t2",
        {"q": np.float32([3, 4]), "t": np.array([3, 2])},
    )
    x = np.arange(6, dtype=np.float32)
    nodes = [_if("c", "y shape", yes, no), _node("Reshape", "x shape", "z")]  # which needs a constant
    feeds = {"x": x, "c": np.array(True)}
    run = _Compiled(_model(nodes, feeds, {"y": np.zeros(2, np.float32), "z": x.reshape(3, 2)}), "wasm -O3")
    for condition, wanted in ((True, [1, 2]), (False, [3, 4])):
        y, z = run({"x": x, "c": np.array(condition)})
        np.testing.assert_array_equal(y, wanted)
        np.testing.assert_array_equal(z, x.reshape(3, 2))


def test_values_that_are_only_stored_are_selected() -> None:
    yes = _graph([_node("Cast", "x", "a", to=TensorProto.INT4)], "a")
    no = _graph([_node("Identity", "w", "b")], "b", {"w": np.array([1, -8, 7], ml_dtypes.int4)})
    nodes = [_if("c", "s", yes, no), _node("Cast", "s", "y", to=TensorProto.FLOAT)]
    x = np.array([-3, 2, 5], np.float32)
    run = _Compiled(_model(nodes, {"x": x, "c": np.array(True)}, {"y": x}), "wasm -O3")
    np.testing.assert_array_equal(run({"x": x, "c": np.array(True)})[0], x)
    np.testing.assert_array_equal(run({"x": x, "c": np.array(False)})[0], [1, -8, 7])


# -- the branch that is not taken -------------------------------------------------------------------------------------


def _harm(label: str) -> tuple[onnx.ModelProto, dict[str, Array], Array]:
    """A model whose one branch computes with operands that lie outside; its inputs; what the other branch gives."""
    operator, operands, attributes, shape = CASES[label]
    feeds = {f"x{i}": operand for i, operand in enumerate(operands) if operand is not None}
    constants = {}
    if operator in {"OneHot", "GroupQueryAttention"}:  # whose sizes must be known
        last = max(feeds) if operator == "GroupQueryAttention" else "x1"
        constants[last] = feeds.pop(last)
    names = [f"x{i}" if operand is not None else "" for i, operand in enumerate(operands)]
    domain = "com.microsoft" if label.startswith("ms ") else ""
    node = helper.make_node(operator, names, ["wild"], name=operator, domain=domain, **attributes)
    dtype = {"Cast": attributes.get("to"), "QuantizeLinear": TensorProto.UINT8}.get(operator)
    first = (
        np.float32(0) if operator in {"OneHot", "EmbedLayerNormalization", "TfIdfVectorizer"} else operands[0]
    )
    assert first is not None
    numpy_type = first.dtype if dtype is None else helper.tensor_dtype_to_np_dtype(dtype)
    wanted = (np.arange(np.prod(shape)) % 100).reshape(shape).astype(numpy_type)
    no = _graph([_node("Identity", "k", "tame")], "tame", {"k": wanted})
    feeds |= {"c": np.array(False), "p": DATA}
    nodes = [_node("Add", "p p", "q"), _if("c", "y", _graph([node], "wild"), no), _node("Add", "q p", "z")]
    return _model(nodes, feeds, {"y": wanted, "z": DATA}, constants), feeds, wanted


@pytest.mark.parametrize("label", CASES)
def test_the_branch_not_taken_neither_traps_nor_writes_elsewhere(label: str) -> None:
    model, feeds, wanted = _harm(label)
    for form in FORMS:
        run = _Compiled(model, form)
        for taken in (True, False):  # taken, it does no harm either
            y, z = run({**feeds, "c": np.array(taken)})
            assert y.shape == wanted.shape
            np.testing.assert_array_equal(z, 3 * DATA, err_msg=form)
        np.testing.assert_array_equal(y, wanted, err_msg=form)


@forms
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_integers_divided_by_zero_are_zero(dtype: str, form: str) -> None:
    limits = np.iinfo(dtype)
    x = np.array([5, limits.min, limits.max, limits.min, 0, 17, limits.max], dtype)
    y = np.array([0, 0, 0, -1 if limits.min else 1, 0, 5, 3]).astype(dtype)
    nodes = [_node("Div", "x y", "d"), _node("Mod", "x y", "m"), _node("Mod", "x y", "f", fmod=1)]
    feeds = {"x": x, "y": y}
    divided, modulo, rest = _Compiled(_model(nodes, feeds, dict.fromkeys("dmf", x)), form)(feeds)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(divided, np.where(y == 0, 0, x // y))
        np.testing.assert_array_equal(modulo, np.mod(x, y))
        np.testing.assert_array_equal(rest, np.fmod(x, y))


# -- what is refused, and what helps ----------------------------------------------------------------------------------


def _rates(first: int, second: int) -> onnx.ModelProto:
    """The input `sr` chooses how many numbers are taken."""
    branches = [
        _graph([_node("Slice", f"x zero n{size}", f"y{size}")], f"y{size}", {f"n{size}": np.array([size])})
        for size in (first, second)
    ]
    nodes = [_node("Equal", "sr wide", "c"), _if("c", "y", *branches)]
    constants = {"wide": np.array(16000), "zero": np.array([0])}
    return _model(nodes, {"x": np.zeros(9, np.float32), "sr": np.array(8000)}, {"y": None}, constants)


def _refusal(model: onnx.ModelProto) -> str:
    with pytest.raises(Unsupported) as error:
        compile_model(model, CompileOptions())
    return str(error.value)


def test_branches_of_other_shapes_are_refused_with_the_input_that_chooses() -> None:
    assert _refusal(_rates(4, 3)) == (
        "node 'If_y' (If, opset 24): its branches give float32[4] and float32[3]; --constant sr=VALUE makes the "
        "condition known, and only the branch that it chooses is compiled"
    )
    for rate, size in ((16000, 4), (8000, 3)):
        module = wasmgrad.compile(_rates(4, 3), constants={"sr": rate}, verify=True)
        assert [tensor.name for tensor in module.metadata.inputs] == ["x"]
        np.testing.assert_array_equal(module(np.arange(9, dtype=np.float32)), np.arange(size))


def test_a_branch_that_cannot_be_compiled_is_named() -> None:
    yes = _graph([_node("NonZero", "x", "n"), _node("Cast", "n", "a", to=TensorProto.FLOAT)], "a")
    nodes = [
        _node("Cast", "sr", "c", to=TensorProto.BOOL),
        _if("c", "y", yes, _graph([_node("Abs", "x", "b")], "b")),
    ]
    model = _model(nodes, {"x": np.zeros(9, np.float32), "sr": np.array([0])}, {"y": None})
    assert _refusal(model) == (
        "node 'NonZero_n' (NonZero, opset 13): the shape of its output depends on data (in the then_branch of node "
        "'If_y', which may be taken; --constant sr=VALUE makes the condition known, and only the branch that it "
        "chooses is compiled)"
    ).replace("opset 13", "opset 24")


def test_a_condition_that_depends_on_data_is_not_asked_for() -> None:
    nodes = [
        _node("ReduceMax", "x", "m", keepdims=0),
        _node("Cast", "m", "c", to=TensorProto.BOOL),
        _if(
            "c",
            "y",
            _graph([_node("Abs", "x", "a")], "a"),
            _graph([_node("Add", "x x", "s"), _node("Cast", "s", "b", to=TensorProto.INT32)], "b"),
        ),
    ]
    model = _model(nodes, {"x": np.zeros(3, np.float32)}, {"y": None})
    assert _refusal(model) == (
        "node 'If_y' (If, opset 24): its branches give float32[3] and int32[3]; the condition must be a constant of "
        "the model"
    )


def test_sequences_out_of_branches_are_refused() -> None:
    branches = [
        _graph([_node("SequenceConstruct", inputs, name)], name)
        for inputs, name in (("x x", "s"), ("x", "t"))
    ]
    nodes = [_if("c", "q", *branches), _node("SequenceAt", "q zero", "y")]
    model = _model(
        nodes, {"x": np.zeros(3, np.float32), "c": np.array(True)}, {"y": None}, {"zero": np.array(0)}
    )
    assert _refusal(model) == (
        "node 'If_q' (If, opset 24): its branches make sequences or optionals; --constant c=VALUE makes the condition "
        "known, and only the branch that it chooses is compiled"
    )


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0.5, "input 'sr': 0.5 is no number of int64"),
        (1 << 70, f"input 'sr': {1 << 70} is no number of int64"),
        (float("nan"), "input 'sr': nan is no number of int64"),
    ],
)
def test_a_number_must_be_one_of_its_input(value: float, sentence: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        compile_model(_rates(4, 3), CompileOptions(constants={"sr": value}))
    assert str(error.value) == sentence


def test_one_number_does_not_fit_many_places() -> None:
    with pytest.raises(InvalidArgument, match="input 'x': one number does not fit its shape 9"):
        compile_model(_rates(4, 3), CompileOptions(constants={"x": 1.0}))
