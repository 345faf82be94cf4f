"""What the importer accepts, what it refuses and with which sentence, before anything is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from wasmgrad import Error, InvalidArgument, InvalidEncoding, NotFound, SecurityError, TooLarge, Unsupported
from wasmgrad.compiler.frontend.importer import Imported, from_onnx
from wasmgrad.compiler.frontend.normalize import check, read

FLOAT = TensorProto.FLOAT


def _model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str] | None = (2, 3),
    constants: dict[str, np.ndarray[Any, Any]] | None = None,
    opset: int = 20,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """From the input `x` to the output `y`."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions)


def _node(operator: str, *inputs: str, to: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), [to], name=f"the_{operator}", **attributes)


def _import(model: onnx.ModelProto, **constants: np.ndarray[Any, Any]) -> Imported:
    checked, shapes = check(model, {}, constants)
    return from_onnx(checked, shapes, constants)


def _operators(imported: Imported) -> list[str]:
    """The Relax operators of `main`, in order."""
    main = imported.module["main"]
    values = [binding.value for block in main.body.blocks for binding in block.bindings]
    return [value.op.name for value in values if hasattr(value, "op")]


# -- files ------------------------------------------------------------------------------------------------------------


def _weights_beside(folder: Path, location: str, **info: int) -> Path:
    """A model whose weights are in the file `location`."""
    model = _model([_node("Add", "x", "w")], constants={"w": np.ones((2, 3), np.float32)})
    tensor = model.graph.initializer[0]
    external_data_helper.set_external_data(tensor, location, **info)
    tensor.ClearField("raw_data")
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("contents", [b"", b"not a model", b"\x08\x09", bytes(64)])
def test_what_is_not_a_model_is_refused(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(contents)
    with pytest.raises(InvalidEncoding, match=r"model\.onnx: not an ONNX model"):
        read(path)


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(_model([_node("Relu", "x")]).SerializeToString()[:-20])
    with pytest.raises(InvalidEncoding, match="cut short"):
        read(path)


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    path = _weights_beside(tmp_path, "weights.bin", offset=8, length=24)
    (tmp_path / "weights.bin").write_bytes(bytes(8) + np.arange(6, dtype=np.float32).tobytes())
    weights = numpy_helper.to_array(read(path).graph.initializer[0])
    np.testing.assert_array_equal(weights, np.arange(6, dtype=np.float32).reshape(2, 3))


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"tensor 'w' is kept in .*weights\.bin, which does not exist"):
        read(_weights_beside(tmp_path, "weights.bin"))


@pytest.mark.parametrize("how", ["parent", "absolute", "link"])
def test_weights_outside_of_the_folder_are_refused(tmp_path: Path, how: str) -> None:
    outside = tmp_path / "secret.bin"
    outside.write_bytes(bytes(24))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(outside)
    location = {"parent": "../secret.bin", "absolute": str(outside), "link": "link.bin"}[how]
    with pytest.raises(SecurityError, match="outside of the model's folder"):
        read(_weights_beside(folder, location))


@pytest.mark.parametrize(
    ("info", "sentence"),
    [({"length": 12}, "names 12 bytes"), ({"offset": 4}, "ends at byte 28"), ({}, "ends at byte 24")],
)
def test_weights_of_the_wrong_size_are_refused(tmp_path: Path, info: dict[str, int], sentence: str) -> None:
    path = _weights_beside(tmp_path, "weights.bin", **info)
    (tmp_path / "weights.bin").write_bytes(bytes(24 if info else 20))
    with pytest.raises(InvalidEncoding, match=sentence):
        read(path)


def test_a_tensor_larger_than_a_module_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = _weights_beside(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(b"")
    model = onnx.ModelProto.FromString(path.read_bytes())
    model.graph.initializer[0].dims[:] = [1 << 40, 1 << 20]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(TooLarge, match="32-bit module"):
        read(path)


# -- inputs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "given", "sentence"),
    [
        (("n", 3), {}, "shape nx3: give it one, as in --input x=1x3"),
        (None, {}, "shape unknown"),
        (("n", 3), {"z": (1, 3)}, "no input 'z'; its inputs are x"),
        (("n", 3), {"x": (1, 4)}, "shape 1x4 does not fit the model's nx3"),
        (("n", 3), {"x": (1, 3, 1)}, "does not fit"),
        (("n", 3), {"x": (-2, 3)}, "must not be negative"),
        ((-1, 3), {}, r"shape \?x3: give it one, as in --input x=1x3"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    shape: Sequence[int | str] | None, given: dict[str, tuple[int, ...]], sentence: str
) -> None:
    with pytest.raises(InvalidArgument, match=sentence):
        check(_model([_node("Relu", "x")], shape), given, {})


@pytest.mark.parametrize("given", [(2, 3), (0, 3)])
def test_minus_one_leaves_an_extent_open(given: tuple[int, ...]) -> None:
    _, shapes = check(_model([_node("Relu", "x")], (-1, 3)), {"x": given}, {})
    assert shapes == {"x": given}


def test_nodes_out_of_order_are_sorted() -> None:
    y = [helper.make_tensor_value_info("b", FLOAT, (2, 3))]
    yes = helper.make_graph([_node("Exp", "i", to="b"), _node("Relu", "late", to="i")], "yes", [], y)
    no = helper.make_graph([_node("Abs", "late", to="b")], "no", [], y)
    nodes = [
        _node("Neg", "picked"),
        _node("If", "c", to="picked", then_branch=yes, else_branch=no),
        _node("Sqrt", "x", to="late"),
    ]
    imported = _import(_model(nodes, constants={"c": np.array(True)}))
    assert _operators(imported) == ["relax.sqrt", "relax.nn.relu", "relax.exp", "relax.negative"]


def test_nodes_in_a_circle_are_refused() -> None:
    nodes = [_node("Add", "x", "b", to="a"), _node("Relu", "a", to="b"), _node("Neg", "b")]
    with pytest.raises(InvalidEncoding, match="malformed"):
        check(_model(nodes), {}, {})


def test_a_shape_beyond_32_bits_is_refused() -> None:
    with pytest.raises(TooLarge):
        check(_model([_node("Relu", "x")], ("n", 3)), {"x": (1 << 40, 3)}, {})


def test_a_constant_must_fit_its_input() -> None:
    model = _model([_node("Relu", "x")])
    with pytest.raises(InvalidArgument, match="of shape 3x2 does not fit 2x3"):
        check(model, {}, {"x": np.zeros((3, 2), np.float32)})
    with pytest.raises(InvalidArgument, match="expected a constant of float32"):
        check(model, {}, {"x": np.zeros((2, 3), np.float64)})


@pytest.mark.parametrize("ir_version", [3, 9])
def test_weights_listed_as_inputs_are_weights(ir_version: int) -> None:
    model = _model([_node("Add", "x", "w")], constants={"w": np.ones((2, 3), np.float32)})
    model.ir_version = ir_version
    model.graph.input.append(helper.make_tensor_value_info("w", FLOAT, (2, 3)))
    imported = _import(model)
    assert [tensor.name for tensor in imported.inputs] == ["x"]
    assert imported.parameters == 6


def test_an_input_that_nothing_reads_stays() -> None:
    model = _model([_node("Relu", "x")])
    model.graph.input.append(helper.make_tensor_value_info("unused", FLOAT, (4,)))
    assert [tensor.name for tensor in _import(model).inputs] == ["x", "unused"]


# -- operators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [6, 999])
def test_operator_sets_too_old_or_unknown_are_refused(opset: int) -> None:
    with pytest.raises(Unsupported, match=rf"operator set {opset} is not supported; 7 to"):
        check(_model([_node("Relu", "x")], opset=opset), {}, {})


@pytest.mark.parametrize(
    ("nodes", "sentence"),
    [
        ([_node("NonZero", "x", to="n"), _node("Cast", "n", to="y")], r"'the_NonZero'.*NonZero, opset 20"),
        ([_node("RandomNormalLike", "x")], "'the_RandomNormalLike'.*RandomNormalLike, opset 20"),
        ([_node("Mystery", "x", domain="org.example")], r"'the_Mystery'.*org\.example\.Mystery"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_name(nodes: list[onnx.NodeProto], sentence: str) -> None:
    for node in nodes:
        if node.op_type == "Cast":
            node.output[0] = "y"
            node.attribute.append(helper.make_attribute("to", FLOAT))
    domains = [node.domain for node in nodes if node.domain]
    with pytest.raises(Unsupported, match=sentence):
        _import(_model(nodes, domains=domains))


def test_a_shape_that_is_computed_from_data_is_refused() -> None:
    nodes = [_node("Cast", "x", to="s"), _node("Reshape", "x", "s")]
    nodes[0] = helper.make_node("Cast", ["x"], ["s"], to=TensorProto.INT64)
    with pytest.raises(Unsupported, match=r"'the_Reshape'.*the shape must be a constant of the model"):
        _import(_model(nodes, (2,)))


def test_what_depends_on_constants_only_is_folded() -> None:
    nodes = [
        _node("Shape", "x", to="s"),
        _node("Gather", "s", "zero", to="n"),
        _node("Unsqueeze", "n", "zero", to="row"),
        _node("Concat", "row", "rest", to="target", axis=0),
        _node("Reshape", "x", "target"),
    ]
    constants = {"zero": np.array(0), "rest": np.array([-1])}
    nodes[2] = _node("Reshape", "n", "rest", to="row")
    imported = _import(_model(nodes, (2, 3, 5), constants))
    assert _operators(imported) == ["relax.reshape"]
    assert imported.outputs[0].shape == (2, 15)


def test_a_constant_is_not_blown_up_to_weights() -> None:
    nodes = [_node("Expand", "one", "target", to="w"), _node("Add", "x", "w")]
    constants = {"one": np.ones(1, np.float32), "target": np.array([1024, 1024])}
    assert _operators(_import(_model(nodes, (1024, 1024), constants)))[0] == "relax.broadcast_to"


def test_a_constant_condition_picks_its_branch() -> None:
    y = [helper.make_tensor_value_info("b", FLOAT, (2, 3))]
    yes = helper.make_graph([_node("Relu", "x", to="b")], "yes", [], y)
    no = helper.make_graph([_node("Exp", "x", to="b")], "no", [], y)
    node = _node("If", "c", then_branch=yes, else_branch=no)
    assert _operators(_import(_model([node], constants={"c": np.array(False)}))) == ["relax.exp"]


def test_a_loop_of_known_length_is_unrolled() -> None:
    boolean, integer = TensorProto.BOOL, TensorProto.INT64
    body = helper.make_graph(
        [_node("Identity", "c", to="d"), _node("Exp", "v", to="w")],
        "body",
        [
            helper.make_tensor_value_info("i", integer, ()),
            helper.make_tensor_value_info("c", boolean, ()),
            helper.make_tensor_value_info("v", FLOAT, (2, 3)),
        ],
        [
            helper.make_tensor_value_info("d", boolean, ()),
            helper.make_tensor_value_info("w", FLOAT, (2, 3)),
        ],
    )
    model = _model([_node("Loop", "n", "", "x", body=body)], constants={"n": np.array(3)})
    assert _operators(_import(model)) == ["relax.exp"] * 3


def test_functions_of_the_model_are_inlined_with_their_attributes() -> None:
    leaky = helper.make_node("LeakyRelu", ["a"], ["b"])
    reference = onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="slope")
    leaky.attribute.append(reference)
    function = helper.make_function(
        "org.example", "Twice", ["a"], ["c"], [leaky, _node("Exp", "b", to="c")],
        [helper.make_opsetid("", 20)], ["slope"],
    )  # fmt: skip
    node = _node("Twice", "x", domain="org.example", slope=0.5)
    imported = _import(_model([node], functions=[function], domains=["org.example"]))
    assert _operators(imported)[-1] == "relax.exp"
    assert imported.operators["Twice"] == 1


def test_a_function_that_calls_itself_is_refused() -> None:
    node = _node("Again", "a", to="b", domain="org.example")
    function = helper.make_function(
        "org.example", "Again", ["a"], ["b"], [node], [helper.make_opsetid("org.example", 1)]
    )
    model = _model([_node("Again", "x", domain="org.example")], functions=[function], domains=["org.example"])
    with pytest.raises(Error):
        _import(model)


def test_sequences_cost_nothing() -> None:
    nodes = [
        _node("SequenceConstruct", "x", "x", to="s"),
        _node("SequenceAt", "s", "one", to="e"),
        _node("Exp", "e"),
    ]
    assert _operators(_import(_model(nodes, constants={"one": np.array(1)}))) == ["relax.exp"]


@pytest.mark.parametrize("dtype", [TensorProto.STRING, TensorProto.FLOAT8E8M0, TensorProto.FLOAT4E2M1])
def test_tensors_of_types_without_kernels_are_refused(dtype: int) -> None:
    model = _model([_node("Identity", "x")])
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.elem_type = dtype
    with pytest.raises(Unsupported, match=r"'x'.*not supported"):
        _import(model)


def test_the_nodes_names_are_the_names_of_the_calls() -> None:
    main = _import(_model([_node("Relu", "x")])).module["main"]
    assert main.body.blocks[0].bindings[0].var.name == "the_Relu"
