"""Modules that take several shapes: lists of them, and batches of any size, over one set of weights.

Random graphs with an open batch equal onnxruntime for each batch; WASMGRAD_SWEEP=1 takes 300 of them in every form.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import wasmgrad
import wasmtime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from wasmgrad import GraphModule, InvalidArgument, Unsupported
from wasmgrad.compiler import Compiled, CompileOptions, compile_model, verify

from .. import sweep
from ..graph.test_javascript import node
from .batched_graphs import BATCH, BatchedGraph, drawn

Array = NDArray[Any]

FORMS = {
    "wasm -O3": CompileOptions(),
    "wasm -O0, no SIMD": CompileOptions(opt_level=0, simd="off"),
    "native -O3": CompileOptions(target="native"),
    "wasm -O1": CompileOptions(opt_level=1),
    "wasm -O3, relaxed SIMD, threads": CompileOptions(simd="relaxed", threads=2),
}
GRAPHS, SAMPLE, MOST = 300, 10, 6
CASES = (
    [(seed, form) for seed in range(GRAPHS) for form in FORMS]
    if sweep.WHOLE
    else list(itertools.islice(zip(range(GRAPHS), itertools.cycle(FORMS), strict=False), SAMPLE))
)
ENGINES = ("wasmtime", "wasmedge", "node", "native")


def options(form: CompileOptions, **more: Any) -> CompileOptions:
    """A form with other options, too."""
    return CompileOptions(**{**vars(form), **more})


def loaded(compiled: Compiled, engine: str = "wasmtime") -> GraphModule:
    native = compiled.metadata.options.simd not in ("128", "relaxed", "off")
    return wasmgrad.load(compiled.module, "native" if native else engine)


def results_of(module: GraphModule, feeds: dict[str, Array]) -> tuple[Array, ...]:
    results = module(**feeds)
    return results if isinstance(results, tuple) else (results,)


@pytest.mark.parametrize(("seed", "form"), CASES)
def test_a_random_graph_takes_every_batch(seed: int, form: str) -> None:
    graph = drawn(seed)
    model = graph.model()
    session = onnxruntime.InferenceSession(model.SerializeToString())
    batch = range(1, MOST + 1)
    shapes = {
        name: tuple(batch if extent == BATCH else extent for extent in shape)
        for name, shape in graph.inputs.items()
    }
    chosen = options(FORMS[form], shapes=shapes)
    if graph.mixes:
        with contextlib.suppress(Unsupported):  # a sum over the batch is as good as any other
            _compare(graph, session, loaded(compile_model(model, chosen)))
        return
    _compare(graph, session, loaded(compile_model(model, chosen)))


def _compare(graph: BatchedGraph, session: onnxruntime.InferenceSession, module: GraphModule) -> None:
    for samples in (MOST, 1, 3, 2, 5, 4):
        feeds = graph.feeds(samples)
        for got, wanted in zip(results_of(module, feeds), session.run(None, feeds), strict=True):
            assert got.shape == wanted.shape
            bound = 2e-5 * max(1.0, float(np.abs(wanted).max(initial=0)))
            text = onnx.printer.to_text(graph.model().graph)
            np.testing.assert_allclose(got, wanted, rtol=0, atol=bound, err_msg=text)


class Words(torch.nn.Module):
    """A transformer over sequences of any length."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layer = torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.embedding = torch.nn.Embedding(50, 32)
        self.position = torch.nn.Parameter(torch.randn(1, 64, 32))
        self.head = torch.nn.Linear(32, 7)
        for parameter in self.parameters():  # layers would be copies of one
            torch.nn.init.normal_(parameter, std=0.1)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        x = self.embedding(words) + self.position[:, : words.shape[1]]
        return self.head(self.encoder(x))


class Net(torch.nn.Module):
    """Convolutions as of a small ResNet, with a pointwise, a depthwise and a strided one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = torch.nn.Sequential(
            torch.nn.Conv2d(3, 32, 3, 2, 1), torch.nn.BatchNorm2d(32), torch.nn.ReLU()
        )
        self.wide = torch.nn.Conv2d(32, 32, 3, padding=1)
        self.depthwise = torch.nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.point = torch.nn.Conv2d(32, 64, 1)
        self.head = torch.nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.wide(x))
        x = torch.nn.functional.hardswish(self.point(self.depthwise(x)))
        return torch.softmax(self.head(x.mean((2, 3))), -1)


class Recurrent(torch.nn.Module):
    """An LSTM of two layers in both directions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = torch.nn.LSTM(12, 20, 2, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]


@pytest.fixture(scope="module")
def words() -> Compiled:
    """Three lengths, two of them for several batches."""
    shapes = {"words": [(range(1, 4), 16), (1, 32), (2, 48)]}
    return compile_model(Words().eval(), CompileOptions(shapes=shapes))


@pytest.mark.parametrize("engine", ENGINES[:3])
def test_a_transformer_takes_a_list_of_lengths(words: Compiled, engine: str) -> None:
    model, module = Words().eval(), wasmgrad.load(words.module, engine)
    for batch, length in [(1, 16), (1, 32), (3, 16), (2, 48), (2, 16)]:
        x = torch.randint(0, 50, (batch, length))
        wanted = model(x).detach().numpy()
        np.testing.assert_allclose(module(x), wanted, atol=2e-5)
        assert module.outputs[0].shape == wanted.shape
    with pytest.raises(
        InvalidArgument, match=r"no plan takes inputs of the shapes \[1, 17\]; expected words"
    ):
        module(torch.zeros(1, 17, dtype=torch.int64))


def test_all_plans_are_verified(words: Compiled) -> None:
    module = loaded(words)
    assert [each.ok for each in verify(words, module, {})] == [True]


def test_shapes_share_one_set_of_weights(words: Compiled) -> None:
    alone = compile_model(Words().eval(), CompileOptions(shapes={"words": (1, 48)}))
    more = len(words.all_weights) - len(alone.all_weights)
    assert 0 < more < 0.25 * len(alone.all_weights)  # what tells kernels their sizes
    code = sum(len(part.module) - len(part.all_weights) for part in (words, alone))
    assert len(words.module) < len(alone.module) + more + code


@pytest.mark.parametrize("engine", ENGINES)
def test_one_module_takes_batches_from_1_to_9(engine: str) -> None:
    model = Net().eval()
    target = "native" if engine == "native" else "wasm32"
    shapes = {"x": (range(1, 10), 3, 24, 24)}
    compiled = compile_model(model, CompileOptions(shapes=shapes, target=target))
    module = loaded(compiled, engine)
    for batch in (9, 1, 2, 8, 3):
        x = torch.randn(batch, 3, 24, 24)
        np.testing.assert_allclose(module(x), model(x).detach().numpy(), atol=1e-5)
    for batch in (0, 10):
        with pytest.raises(
            InvalidArgument, match=r"expected x: float32\[1, 3, 24, 24\]; or x: float32\[2..9"
        ):
            module(np.zeros((batch, 3, 24, 24), np.float32))
    with pytest.raises(InvalidArgument, match=r"shapes \[2, 3, 24, 25\]"):
        module(np.zeros((2, 3, 24, 25), np.float32))


def test_a_batch_has_the_bits_of_a_module_for_it_alone() -> None:
    model = Net().eval()
    module = loaded(compile_model(model, CompileOptions(shapes={"x": (range(1, 10), 3, 24, 24)})))
    for batch in (4, 9):
        x = np.random.default_rng(batch).standard_normal((batch, 3, 24, 24)).astype(np.float32)
        alone = loaded(compile_model(model, CompileOptions(shapes={"x": (batch, 3, 24, 24)})))
        assert np.array_equal(module(x), alone(x))


def test_code_does_not_grow_with_the_batch() -> None:
    model = drawn(3).model()
    shapes = drawn(3).inputs

    def size(most: int) -> int:
        ranges = {
            name: tuple(range(1, most + 1) if extent == BATCH else extent for extent in shape)
            for name, shape in shapes.items()
        }
        return len(compile_model(model, CompileOptions(shapes=ranges)).module)

    assert size(32) < size(8) + 4096  # tables of what does not grow evenly


def test_a_batch_need_not_be_the_first_axis() -> None:
    model = torch.nn.GRU(12, 20).eval()
    module = loaded(compile_model(model, CompileOptions(shapes={"input": (6, range(2, 8), 12)})))
    for batch in (7, 2, 5):
        x = torch.randn(6, batch, 12)
        for got, wanted in zip(module(x), model(x), strict=True):
            np.testing.assert_allclose(got, wanted.detach().numpy(), atol=1e-5)


def test_an_lstm_takes_batches() -> None:
    model = Recurrent().eval()
    module = loaded(compile_model(model, CompileOptions(shapes={"x": (range(1, 6), 7, 12)})))
    for batch in range(1, 6):
        x = torch.randn(batch, 7, 12)
        np.testing.assert_allclose(module(x), model(x).detach().numpy(), atol=1e-5)


def _network(nodes: list[onnx.NodeProto], **weights: Array) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def product() -> onnx.ModelProto:
    """y = x @ w."""
    w = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
    return _network([helper.make_node("MatMul", ["x", "w"], ["y"])], w=w)


def test_a_model_that_mixes_samples_is_refused_by_name() -> None:
    axes = np.array([0], np.int64)
    model = _network([helper.make_node("ReduceMean", ["x", "axes"], ["y"], name="over samples")], axes=axes)
    with pytest.raises(Unsupported, match=r"batches of any size: .*mixes samples.*as a list"):
        compile_model(model, CompileOptions(shapes={"x": (range(1, 9), 6)}))
    module = loaded(compile_model(model, CompileOptions(shapes={"x": [(2, 6), (4, 6)]})))
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    np.testing.assert_allclose(module(x), x.mean(0, keepdims=True))


def test_a_model_of_one_batch_is_refused_with_its_node() -> None:
    wanted = np.array([1, 6], np.int64)
    model = _network([helper.make_node("Reshape", ["x", "wanted"], ["y"], name="to one")], wanted=wanted)
    with pytest.raises(Unsupported, match=r"with x=8x6: node 'to one' \(Reshape"):
        compile_model(model, CompileOptions(shapes={"x": (range(1, 9), 6)}))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"x": [(1, 6), (1, 6)]}, "the same ones are given twice: x=1x6"),
        ({"x": (range(1, 4), range(1, 7))}, "has several; give a list of shapes instead"),
        ({"x": (range(4, 1), 6)}, "a batch goes from 1 or more up to a larger number"),
        ({"x": (range(4), 6)}, "a batch goes from 1 or more up to a larger number"),
        (
            {"x": [(1, 6), (2, 6)], "z": [(1,), (2,), (3,)]},
            "belong together one by one, but there are 2 of x, 3 of z",
        ),
        ({"x": [(n, 6) for n in range(1, 99)]}, "98 are too many"),
        ({"x": (range(1, 4), 7)}, "does not fit the model's nx6"),
    ],
)
def test_wrong_shapes_are_refused(shapes: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        compile_model(product(), CompileOptions(shapes=shapes))


def test_what_needs_one_shape_is_refused() -> None:
    shapes = {"x": (range(1, 4), 6)}
    with pytest.raises(InvalidArgument, match="quantize: the model is quantized for one shape of each input"):
        compile_model(product(), CompileOptions(shapes=shapes, quantize="weights-int8"))
    with pytest.raises(InvalidArgument, match="state: a model that keeps state has one batch"):
        compile_model(product(), CompileOptions(shapes=shapes, state={"x": "y"}))


@pytest.mark.parametrize("engine", ENGINES[:3])
def test_weights_in_a_file_are_those_of_all_plans(engine: str, tmp_path: Path) -> None:
    compiled = compile_model(product(), CompileOptions(shapes={"x": (range(1, 9), 6)}, weights="file"))
    compiled.save(tmp_path / "m.wasm")
    module = wasmgrad.load(tmp_path / "m.wasm", engine)
    w = numpy_helper.to_array(product().graph.initializer[0])
    for batch in (5, 1, 8, 2):
        x = np.random.default_rng(batch).standard_normal((batch, 6)).astype(np.float32)
        np.testing.assert_allclose(module(x), x @ w, atol=1e-5)


@pytest.mark.parametrize("engine", ["wasmtime", "node"])
def test_threads_run_any_batch(engine: str) -> None:
    model = Net().eval()
    compiled = compile_model(model, CompileOptions(shapes={"x": (range(1, 6), 3, 24, 24)}, threads=2))
    x = [torch.randn(batch, 3, 24, 24) for batch in (5, 2, 1)]
    one, two = (wasmgrad.load(compiled.module, engine, threads=threads) for threads in (1, 2))
    for each in x:
        got = two(each)
        np.testing.assert_allclose(got, model(each).detach().numpy(), atol=1e-5)
        assert np.array_equal(got, one(each))


def test_workers_and_other_processes_take_any_batch() -> None:
    module = loaded(compile_model(product(), CompileOptions(shapes={"x": (range(1, 9), 6)})))
    w = numpy_helper.to_array(product().graph.initializer[0])
    inputs = [np.full((1 + number % 8, 6), number, np.float32) for number in range(20)]
    for outcome in pickle.loads(pickle.dumps(module)).map(inputs, workers=2):
        np.testing.assert_allclose(outcome.get(), outcome.input @ w, rtol=1e-4, atol=1e-4)
    (failed,) = module.map([np.zeros((9, 6), np.float32)], workers=1)
    assert "no plan takes" in failed.error.message


def test_a_host_that_knows_of_no_plans_runs_the_first_one() -> None:
    compiled = compile_model(product(), CompileOptions(shapes={"x": [(2, 6), (range(3, 9), 6)]}))
    assert compiled.metadata.inputs[0].shape == (2, 6)
    store = wasmtime.Store()
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, compiled.module), []).exports(store)
    exports["_initialize"](store)
    x = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)
    exports["memory"].write(store, x.tobytes(), exports["graph_input"](store, 0))
    assert exports["graph_run"](store) == 0
    address = exports["graph_output"](store, 0)
    y = np.frombuffer(exports["memory"].read(store, address, address + 40), np.float32).reshape(2, 5)
    np.testing.assert_allclose(y, x @ numpy_helper.to_array(product().graph.initializer[0]), atol=1e-5)
    for plan, batch in [(2, 0), (-1, 0), (0, 1), (0, -1), (1, 2), (1, 9), (1, -1)]:
        assert exports["graph_select"](store, plan, batch) == 1
    for plan, batch in [(0, 0), (1, 0), (1, 3), (1, 8)]:
        assert exports["graph_select"](store, plan, batch) == 0


def test_states_are_of_all_shapes() -> None:
    """A sum over all rows that came, however many at a time."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["s"]),
        helper.make_node("Add", ["s", "before"], ["after"]),
        helper.make_node("Mul", ["after", "two"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6]),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [1, 6]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 6]) for name in ("y", "after")],
        [
            numpy_helper.from_array(np.array([0], np.int64), "axes"),
            numpy_helper.from_array(np.float32(2), "two"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    shapes = {"x": [(8, 6), (1, 6), (3, 6)]}
    compiled = compile_model(model, CompileOptions(shapes=shapes, state={"before": "after"}))
    for engine in ENGINES[:3]:
        module = wasmgrad.load(compiled.module, engine)
        total = np.zeros((1, 6), np.float32)
        for count in (3, 1, 8, 1, 3):
            x = np.random.default_rng(count).standard_normal((count, 6)).astype(np.float32)
            total += x.sum(0)
            np.testing.assert_allclose(module(x), 2 * total, atol=1e-4)
            np.testing.assert_allclose(module.state("before"), total, atol=1e-4)


def test_javascript_chooses_by_length_or_by_shape(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Transpose", ["x"], ["y"])],
        "turned",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["a", "b"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", "a"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    shapes = {"x": [(2, 6), (3, 4), (range(1, 4), 5)]}
    (tmp_path / "m.wasm").write_bytes(compile_model(model, CompileOptions(shapes=shapes)).module)
    script = """
      const graph = await loadGraph("m.wasm");
      const x = (count) => ({ x: Float32Array.from({ length: count }, (_, i) => i) });
      const said = [graph.outputs[0].shape.join("x")];
      said.push(await kindOf(() => graph.run(x(12))), await kindOf(() => graph.run(x(20))));
      const tall = graph.run(x(12), { shapes: { x: [3, 4] } }).y;
      said.push(await kindOf(() => graph.run(x(12))));
      graph.select({ shapes: { x: [2, 6] } });
      const wide = graph.run(x(12)).y;
      const rows = graph.run(x(10)).y;
      said.push(graph.outputs[0].shape.join("x"), await kindOf(() => graph.select({ entry: "step" })));
      console.log(JSON.stringify([said, [...tall], [...wide], [...rows]]));"""
    said, tall, wide, rows = node(script, tmp_path)
    x = np.arange(12)
    assert [tall, wide] == [x.reshape(3, 4).T.ravel().tolist(), x.reshape(2, 6).T.ravel().tolist()]
    assert rows == np.arange(10).reshape(2, 5).T.ravel().tolist()
    several = "invalid_argument: several plans take x of 12 elements; expected shapes that tell which: "
    none = "invalid_argument: no plan takes x of 20 elements; expected "
    takes = "x: float32[2,6]; or x: float32[3,4]; or x: float32[1,5]; or x: float32[2..3,5]"
    assert said == [
        "6x2",
        several + takes,
        none + takes,
        several + takes,
        "5x2",
        'invalid_argument: there is no entry "step"',
    ]
