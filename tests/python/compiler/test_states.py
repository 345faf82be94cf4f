"""Models that keep state give what onnxruntime gives when its outputs are fed back to it, in place or by copies.

Random ones are drawn from a seed; WASMGRAD_SWEEP=1 takes 500 of them in each form, in place of a sample.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import wasmgrad
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from wasmgrad import GraphModule, InvalidArgument
from wasmgrad.compiler import Compiled, CompileOptions, compile_model, verify
from wasmgrad.compiler.backend import states

from .. import sweep
from .stateful_graphs import drawn, model_of

Array = NDArray[Any]

FORMS = {
    "wasmtime -O3": (CompileOptions(), "wasmtime", False),
    "native -O3": (CompileOptions(target="native"), "native", False),
    "wasmtime -O0": (CompileOptions(opt_level=0), "wasmtime", False),
    "wasmtime -O3, copies": (CompileOptions(), "wasmtime", True),
    "node -O3, relaxed SIMD": (CompileOptions(simd="relaxed"), "node", False),
    "wasmedge -O1, no SIMD": (CompileOptions(simd="off", opt_level=1), "wasmedge", False),
    "native -O2, copies": (CompileOptions(target="native", opt_level=2), "native", True),
}
GRAPHS, SAMPLE, STEPS = 500, 28, 4
CASES = (
    [(seed, form) for seed in range(GRAPHS) for form in FORMS]
    if sweep.WHOLE
    else list(islice(zip(range(GRAPHS), cycle(FORMS), strict=False), SAMPLE))
)


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def check(
    model: onnx.ModelProto, named: dict[str, str], module: GraphModule, steps: list[dict[str, Array]]
) -> None:
    """Runs both and compares each output and each state after each step."""
    session = session_of(model)
    known = {info.name for info in session.get_inputs()}
    names = [info.name for info in session.get_outputs()]
    kept = {info.name: np.zeros(info.shape, info.numpy_dtype) for info in module.states}
    for step, feeds in enumerate(steps):
        given = {name: array for name, array in {**feeds, **kept}.items() if name in known}
        wanted = dict(zip(names, map(np.asarray, session.run(None, given)), strict=True))
        found = module(**feeds)
        found = found if isinstance(found, tuple) else (found,)
        kept = {name: wanted[after] for name, after in named.items()}
        text = f"step {step}\n{onnx.printer.to_text(model.graph)}"
        for info, array in zip(module.outputs, found, strict=True):
            np.testing.assert_array_equal(array, wanted[info.name], f"{info.name}, {text}")
        for name, array in kept.items():
            np.testing.assert_array_equal(module.state(name), array, f"state {name}, {text}")


@pytest.mark.parametrize(("seed", "form"), CASES)
def test_a_random_graph_goes_on_as_onnxruntime_does(
    seed: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, engine, copies = FORMS[form]
    if copies:
        monkeypatch.setattr(states._Keeper, "written_at", lambda self, home, after: False)
    graph = drawn(seed)
    model, named = model_of(graph)
    compiled = compile_model(model, CompileOptions(**{**vars(options), "state": named}))
    module = wasmgrad.load(compiled.module, engine)
    check(model, named, module, [graph.values() for _ in range(STEPS)])
    module.reset()
    check(model, named, module, [graph.values() for _ in range(2)])
    module.close()


def _info(name: str, shape: list[int], dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    **constants: Array,
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=10)


CACHE, PLACE = _info("past", [1, 2, 8, 4]), _info("at", [1], TensorProto.INT64)
NEW = _info("new", [1, 2, 1, 4])
PRESENT, SUM = _info("present", [1, 2, 8, 4]), _info("sum", [1, 2, 1, 4])
TOTAL = helper.make_node("ReduceSum", ["present", "axis"], ["sum"])
AXIS = {"axis": np.array([2])}


def _cache(*nodes: onnx.NodeProto, **constants: Array) -> onnx.ModelProto:
    return _model([*nodes, TOTAL], [CACHE, NEW, PLACE], [SUM, PRESENT], **AXIS, **constants)


def _caches() -> dict[str, onnx.ModelProto]:
    """A cache that is updated at a position, as exporters write it."""
    node = helper.make_node
    scatter = _cache(node("TensorScatter", ["past", "new", "at"], ["present"], axis=2))
    elements = _cache(
        node("Expand", ["at", "sizes"], ["places"]),
        node("ScatterElements", ["past", "places", "new"], ["present"], axis=2),
        sizes=np.array([1, 2, 1, 4]),
    )
    nd = _cache(
        node("Reshape", ["at", "single"], ["place"]),
        node("Expand", ["place", "pair"], ["column"]),
        node("Concat", ["first", "column"], ["tail"], axis=1),
        node("Concat", ["zeros", "tail"], ["places"], axis=1),
        node("Reshape", ["new", "rows"], ["update"]),
        node("ScatterND", ["past", "places", "update"], ["present"]),
        single=np.array([1, 1]),
        pair=np.array([2, 1]),
        first=np.array([[0], [1]]),
        zeros=np.array([[0], [0]]),
        rows=np.array([2, 4]),
    )
    where = _cache(
        node("Equal", ["each", "at"], ["here"]),
        node("Where", ["here", "new", "past"], ["present"]),
        each=np.arange(8).reshape(1, 1, 8, 1),
    )
    return {"TensorScatter": scatter, "ScatterElements": elements, "ScatterND": nd, "Where": where}


CACHES = _caches()


def _kernels(compiled: Compiled) -> list[str]:
    return [entry.kernel for entry in compiled.metadata.plan]


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("kind", CACHES)
def test_a_cache_of_fixed_size_is_updated_in_place(kind: str, level: int) -> None:
    compiled = compile_model(CACHES[kind], CompileOptions(state={"past": "present"}, opt_level=level))
    kernels = _kernels(compiled)
    assert any("_in_place" in kernel for kernel in kernels), kernels
    assert not any(kernel.startswith("copy_") for kernel in kernels), kernels
    module = wasmgrad.load(compiled.module)
    random = np.random.default_rng(0)
    steps = [
        {"new": random.integers(-3, 4, (1, 2, 1, 4)).astype(np.float32), "at": np.array([at])}
        for at in (0, 1, 5, 1)
    ]
    check(CACHES[kind], {"past": "present"}, module, steps)


class _Cache(torch.nn.Module):
    """A cache that torch updates at a position, or at two."""

    def __init__(self, update: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.update = update

    def forward(self, past: torch.Tensor, new: torch.Tensor, at: torch.Tensor) -> dict[str, torch.Tensor]:
        present = self.update(past, new, at)
        return {"sum": present.sum(2), "present": present}


def _put(past: torch.Tensor, new: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    present = past.clone()
    present[:, :, at] = new
    return present


def _put_one(past: torch.Tensor, new: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    present = past.clone()
    present[:, :, at - 8] = new[:, :1, :1, :1]
    return present


TORCH = {
    "index_copy": lambda past, new, at: past.index_copy(2, at, new),
    "index_copy from the end": lambda past, new, at: past.index_copy(-2, at, new),
    "[:, :, at] =": _put,
    "[:, :, at - 8] = one": _put_one,
    "scatter": lambda past, new, at: past.scatter(2, at.view(1, 1, -1, 1).expand(new.shape), new),
    "where": lambda past, new, at: torch.where(
        (torch.arange(8) == at[:1]).view(1, 1, 8, 1), new[:, :, :1], past
    ),
}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kind", TORCH)
def test_a_cache_of_torch_is_updated_in_place(kind: str, count: int) -> None:
    examples = (torch.zeros(1, 2, 8, 4), torch.zeros(1, 2, count, 4), torch.zeros(count, dtype=torch.int64))
    program = torch.export.export(_Cache(TORCH[kind]), examples)
    compiled = compile_model(program, CompileOptions(state={"past": "present"}))
    kernels = _kernels(compiled)
    assert any("_in_place" in kernel for kernel in kernels), kernels
    assert not any(kernel.startswith(("copy_", "transpose")) for kernel in kernels), kernels
    random = np.random.default_rng(3)
    module = wasmgrad.load(compiled.module)
    past = torch.zeros(1, 2, 8, 4)
    for _ in range(4):
        new = random.integers(-3, 4, (1, 2, count, 4)).astype(np.float32)
        at = random.permutation(8)[:count]
        found = module(new=new, at=at)
        after = program.module()(past, torch.from_numpy(new), torch.from_numpy(at))
        past = after["present"]
        np.testing.assert_array_equal(found, after["sum"].numpy())
        np.testing.assert_array_equal(module.state("past"), past.numpy())


def _hazards() -> dict[str, tuple[list[onnx.NodeProto], dict[str, str], list[str]]]:
    """Nodes over the states a and b and the input x, all of six elements; states; outputs that are none."""
    node = helper.make_node
    identity = [node("Identity", ["b"], ["a2"]), node("Identity", ["a"], ["b2"])]
    add, copy = node("Add", ["a", "x"], ["a2"]), node("Identity", ["x"], ["b2"])
    both = {"a": "a2", "b": "b2"}
    return {
        "swapped": (identity, both, []),
        "shifted": ([copy, node("Identity", ["b"], ["a2"])], both, []),
        "read afterwards": ([add, copy, node("Sub", ["a", "a2"], ["y"])], both, ["y"]),
        "read afterwards, apart": ([add, copy, node("Neg", ["a"], ["y"])], both, ["y"]),
        "one output for two states": ([add], {"a": "a2", "b": "a2"}, []),
        "two results of one state": ([add, node("Mul", ["a", "x"], ["b2"])], both, []),
        "old and new are outputs": (
            [add, copy, node("Identity", ["a"], ["y"]), node("Identity", ["a2"], ["z"])],
            both,
            ["y", "z"],
        ),
        "unchanged": ([node("Identity", ["a"], ["a2"]), copy], both, []),
        "unchanged and an output": (
            [node("Identity", ["a"], ["a2"]), copy, node("Identity", ["a"], ["y"])],
            both,
            ["y"],
        ),
        "an input is two states and an output": (
            [node("Identity", ["x"], ["a2"]), copy, node("Identity", ["x"], ["y"])],
            both,
            ["y"],
        ),
        "constant": ([node("Identity", ["c"], ["a2"]), copy], both, []),
        "sum of both": ([node("Add", ["a", "b"], ["b2"]), node("Add", ["b", "x"], ["a2"])], both, []),
    }


HAZARDS = _hazards()


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("name", HAZARDS)
def test_states_that_depend_on_each_other(name: str, level: int) -> None:
    nodes, named, outputs = HAZARDS[name]
    infos = [_info(each, [6]) for each in (*dict.fromkeys(named.values()), *outputs)]
    model = _model(nodes, [_info(each, [6]) for each in "axb"], infos, c=np.arange(6, dtype=np.float32))
    compiled = compile_model(model, CompileOptions(state=named, opt_level=level))
    module = wasmgrad.load(compiled.module)
    random = np.random.default_rng(1)
    check(model, named, module, [{"x": random.integers(-3, 4, 6).astype(np.float32)} for _ in range(4)])
    results = module.results()
    module.reset()
    again = module.results()
    np.testing.assert_equal(again, results, "a reset changed what the last run had given")


def test_a_reader_that_needs_nothing_of_the_update_comes_before_it() -> None:
    nodes, named, _ = HAZARDS["read afterwards, apart"]
    model = _model(
        nodes, [_info(each, [6]) for each in "axb"], [_info(each, [6]) for each in ("a2", "b2", "y")]
    )
    kernels = _kernels(compile_model(model, CompileOptions(state=named, opt_level=0)))
    assert next(i for i, kernel in enumerate(kernels) if "neg" in kernel.lower()) < next(
        i for i, kernel in enumerate(kernels) if "_in_place" in kernel
    )


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_the_states_of_a_step_of_a_recurrent_layer(kind: str, gates: int, level: int) -> None:
    weights = np.random.default_rng(2).standard_normal((2, 1, 8 * gates, 8)).astype(np.float32)
    states = ["h", "c"] if kind == "LSTM" else ["h"]
    named = {state: f"next_{state}" for state in states}
    node = helper.make_node(kind, ["x", "w", "r", "", "", *states], ["y", *named.values()], hidden_size=8)
    shape = [1, 1, 8]
    model = _model(
        [node],
        [_info(name, shape) for name in ("x", *states)],
        [_info("y", [1, 1, 1, 8]), *(_info(name, shape) for name in named.values())],
        w=weights[0],
        r=weights[1],
    )
    compiled = compile_model(model, CompileOptions(state=named, opt_level=level))
    found = verify(compiled, wasmgrad.load(compiled.module), {})
    assert isinstance(found, list) and all(each.ok for each in found)


@pytest.mark.parametrize("level", [0, 3])
def test_a_convolution_over_a_stream_keeps_what_it_needs_of_the_past(level: int) -> None:
    node = helper.make_node
    model = _model(
        [
            node("Concat", ["past", "x"], ["whole"], axis=2),
            node("Conv", ["whole", "w"], ["y"]),
            node("Slice", ["whole", "begin", "end", "axis"], ["rest"]),
        ],
        [_info("x", [1, 4, 5]), _info("past", [1, 4, 2])],
        [_info("y", [1, 6, 5]), _info("rest", [1, 4, 2])],
        w=np.random.default_rng(4).standard_normal((6, 4, 3)).astype(np.float32),
        begin=np.array([5]),
        end=np.array([7]),
        axis=np.array([2]),
    )
    compiled = compile_model(model, CompileOptions(state={"past": "rest"}, opt_level=level))
    found = verify(compiled, wasmgrad.load(compiled.module), {})
    assert isinstance(found, list) and all(each.ok for each in found)


def test_a_star_stands_for_the_same_characters() -> None:
    nodes = [helper.make_node("Add", [f"past.{i}.k", "x"], [f"present.{i}.k"]) for i in range(3)]
    model = _model(
        nodes,
        [_info("x", [2]), *(_info(f"past.{i}.k", [2]) for i in range(3))],
        [_info(f"present.{i}.k", [2]) for i in range(3)],
    )
    compiled = compile_model(model, CompileOptions(state={"past.*.k": "present.*.k"}))
    names = [(info.name, info.output) for info in compiled.metadata.states]
    assert names == [(f"past.{i}.k", f"present.{i}.k") for i in range(3)]
    assert [info.name for info in compiled.metadata.inputs] == ["x"]
    assert compiled.metadata.outputs == ()


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ({"pasd": "present"}, "state pasd=present: there is no input 'pasd'; the inputs are past: float32"),
        ({"past": "presnt"}, "there is no output 'presnt'; the outputs are sum: float32"),
        (
            {"new": "present"},
            r"a state keeps its shape and type, but the input is new: .*present: .*cache of a fixed",
        ),
        (
            {"at": "present"},
            r"keeps its shape and type, but the input is at: int64\[1\] and the output present",
        ),
        ({"p*": "present"}, r"expected one \* in both names, or none"),
        ({"z*": "z*"}, "no input is called so; the inputs are past"),
        ({"past": "present", "pas*": "presen*"}, "the input 'past' has been named before"),
    ],
)
def test_states_that_cannot_be_are_refused(named: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidArgument, match=sentence):
        compile_model(CACHES["TensorScatter"], CompileOptions(state=named))


def test_a_wrong_update_is_found_by_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that is not written is right in the first step only."""
    monkeypatch.setattr(states._Keeper, "written_at", lambda self, home, after: True)
    model = CACHES["Where"]
    compiled = compile_model(model, CompileOptions(state={"past": "present"}))
    with pytest.raises(wasmgrad.RuntimeFailure, match=r"outputs differ from onnxruntime's: .*present"):
        verify(compiled, wasmgrad.load(compiled.module), {})
