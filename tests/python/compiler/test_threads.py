"""Modules for several threads compute the same bits with any number of them, which are those of a module for one."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from wasmgrad import InvalidArgument, RuntimeFailure, Unsupported, load
from wasmgrad._graph.format import wasm
from wasmgrad._graph.module import GraphModule
from wasmgrad.compiler import CompileOptions, compile_model
from wasmgrad.compiler.backend.link import finish, link

Array = NDArray[Any]
ROOT = Path(__file__).resolve().parents[3]
MOST = 5
COUNTS = (1, 2, 3, 5)
REPEATS = 3


class Branches:
    """A graph of kernels side by side, each of sizes that no tile divides, and with enough work to be shared."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[str] = []
        self.feeds: dict[str, Array] = {}

    def input(self, *shape: int) -> str:
        name = f"x{len(self._inputs)}"
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.feeds[name] = self._rng.standard_normal(shape).astype(np.float32)
        return name

    def weights(self, *shape: int) -> str:
        return self.constant(self._rng.standard_normal(shape).astype(np.float32) / 8)

    def constant(self, values: Array) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def size(self, low: int, high: int) -> int:
        """An odd one."""
        return int(self._rng.integers(low // 2, high // 2)) * 2 + 1

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator}{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def end(self, *names: str) -> None:
        self._outputs += names

    def model(self) -> onnx.ModelProto:
        outputs = [helper.make_empty_tensor_value_info(name) for name in self._outputs]
        graph = helper.make_graph(self._nodes, "branches", self._inputs, outputs, self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def convolutions(g: Branches) -> None:
    """All kernels of convolutions, with what may stand at their end."""
    for batch, channels, out, kernel, group, end in (
        (1, g.size(60, 80), g.size(60, 80), 1, 1, "Relu"),  # a matrix product
        (2, g.size(30, 40), g.size(40, 50), 3, 1, "Sigmoid"),
        (1, 64, 64, 3, 1, "Relu"),  # Winograd
        (1, 3, g.size(15, 31), 3, 1, "Tanh"),  # direct
        (1, 1, g.size(5, 9), 5, 1, "Sigmoid"),  # of a plane
        (1, 96, 96, 3, 96, "Relu"),  # of each channel
        (1, 40, 60, 3, 10, "Relu"),  # groups, each a part
        (1, 42, 66, 3, 3, "Relu"),  # groups that are divided
    ):
        pads = [kernel // 2] * 4
        stride = 1 + int(out == 60)
        x = g.input(batch, channels, g.size(34, 50), g.size(34, 50))
        weights = g.weights(out, channels // group, kernel, kernel)
        y = g.node("Conv", x, weights, g.weights(out), group=group, pads=pads, strides=[stride] * 2)
        g.end(g.node(end, y))
    x = g.input(1, 36, 41, 39)
    inner = g.node("Conv", x, g.weights(36, 36, 1, 1))
    g.end(g.node("Relu", g.node("Add", inner, x)))
    g.end(g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]))
    g.end(g.node("AveragePool", g.input(2, 32, 77, 63), kernel_shape=[2, 2], strides=[2, 2]))


def products(g: Branches) -> None:
    """Products of matrices of constants and of computed ones, one row, batches, and what goes over rows."""
    k, n = g.size(300, 400), g.size(200, 300)
    for rows in (1, 5, g.size(60, 70), g.size(200, 300)):
        wide = n if rows > 1 else 9 * n
        y = g.node("MatMul", g.input(rows, k), g.weights(k, wide))
        g.end(g.node("Tanh", g.node("Add", y, g.weights(wide))))
    for batch in (1, 3, 12):
        a, b = g.input(batch, g.size(60, 80), 96), g.input(batch, 96, g.size(80, 120))
        g.end(g.node("MatMul", a, b))
    rows = g.input(g.size(300, 400), g.size(90, 130))
    g.end(g.node("Softmax", rows, axis=1), g.node("LogSoftmax", rows, axis=1), g.node("Exp", rows))
    normal = g.input(g.size(200, 300), 130)
    g.end(g.node("LayerNormalization", normal, g.weights(130), g.weights(130), axis=1))
    g.end(g.node("Transpose", g.input(3, g.size(130, 150), g.size(130, 150)), perm=[0, 2, 1]))


def branches(seed: int) -> tuple[onnx.ModelProto, dict[str, Array]]:
    g = Branches(seed)
    (convolutions if seed % 2 == 0 else products)(g)
    return g.model(), g.feeds


def quantized(seed: int) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Convolutions of bytes of several kinds and a product, from onnxruntime's quantizer."""
    g = Branches(seed)
    y = g.input(1, 24, 45, 43)
    for out, channels, kernel, group in (
        (48, 24, 1, 1), (48, 48, 3, 48), (66, 48, 3, 1), (66, 66, 3, 2), (30, 66, 1, 1),
    ):  # fmt: skip
        weights = g.weights(out, channels // group, kernel, kernel)
        y = g.node("Relu", g.node("Conv", y, weights, g.weights(out), group=group, pads=[kernel // 2] * 4))
    rows = g.input(g.size(90, 130), 300)
    g.end(y, g.node("MatMul", rows, g.weights(300, 250)))
    with tempfile.TemporaryDirectory() as folder:
        plain, narrow = Path(folder, "plain.onnx"), Path(folder, "narrow.onnx")
        onnx.save(g.model(), plain)
        quantize_static(plain, narrow, Sample(g.feeds), per_channel=seed % 2 == 0)
        return onnx.load(narrow), g.feeds


class Sample(CalibrationDataReader):
    """One input to calibrate on."""

    def __init__(self, feeds: dict[str, Array]) -> None:
        self._left = [feeds]

    def get_next(self) -> dict[str, Array] | None:
        return self._left.pop() if self._left else None


def attention(seed: int) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A block of a transformer."""
    g = Branches(seed)
    tokens, heads, depth = g.size(100, 140), 6, 32
    width = heads * depth
    x = g.input(1, tokens, width)
    y = g.node("LayerNormalization", x, g.weights(width), g.weights(width), axis=-1)
    split = g.constant(np.array([1, tokens, heads, depth]))
    q, k, v = (
        g.node("Transpose", g.node("Reshape", g.node("MatMul", y, g.weights(width, width)), split), perm=perm)
        for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    mixed = g.node("MatMul", g.node("Softmax", g.node("MatMul", q, k), axis=-1), v)
    whole = g.constant(np.array([1, tokens, width]))
    y = g.node("Add", x, g.node("Reshape", g.node("Transpose", mixed, perm=[0, 2, 1, 3]), whole))
    inner = g.node("Relu", g.node("MatMul", y, g.weights(width, 4 * width)))
    g.end(g.node("Add", y, g.node("MatMul", inner, g.weights(4 * width, width))))
    return g.model(), g.feeds


NETS = {"branches": branches, "quantized": quantized, "attention": attention}


@cache
def compiled(net: str, seed: int, target: str, simd: str, threads: int) -> tuple[bytes, dict[str, Array]]:
    model, feeds = NETS[net](seed)
    options = CompileOptions(target=target, simd=simd, threads=threads)  # type: ignore[arg-type]
    return compile_model(model, options).module, feeds


def results(module: GraphModule, feeds: dict[str, Array]) -> list[bytes]:
    found = module(**feeds)
    return [array.tobytes() for array in (found if isinstance(found, tuple) else (found,))]


CASES = [
    *(
        ("branches", seed, simd)
        for seed, simd in enumerate(["128", "128", "relaxed", "relaxed", "off", "off"])
    ),
    *(("quantized", seed, simd) for seed, simd in enumerate(["128", "relaxed"])),
    *(("attention", seed, simd) for seed, simd in enumerate(["128", "relaxed"])),
]


@pytest.mark.parametrize(("net", "seed", "simd"), CASES)
@pytest.mark.parametrize("engine", ["wasmtime", "node", "native"])
def test_any_number_of_threads_gives_the_same_bits(net: str, seed: int, simd: str, engine: str) -> None:
    target = "native" if engine == "native" else "wasm32"
    alone, feeds = compiled(net, seed, target, simd, 1)
    shared, _ = compiled(net, seed, target, simd, MOST)
    with closing(load(alone, engine)) as module:
        wanted = results(module, feeds)
    for threads in COUNTS:
        with closing(load(shared, engine, threads=threads)) as module:
            for _ in range(REPEATS):
                assert results(module, feeds) == wanted, f"{threads} threads"


@pytest.mark.parametrize("engine", ["wasmtime", "native"])
def test_hundreds_of_runs_give_the_same_bits(engine: str) -> None:
    target = "native" if engine == "native" else "wasm32"
    shared, feeds = compiled("attention", 0, target, "128", MOST)
    with closing(load(shared, engine, threads=3)) as module:
        wanted = results(module, feeds)
        for _ in range(300):
            module.run()
            assert [array.tobytes() for array in _tuple(module.results())] == wanted


def _tuple(found: Any) -> tuple[Array, ...]:
    return found if isinstance(found, tuple) else (found,)


def busy_times() -> dict[int, int]:
    """Ticks that each thread of this process has computed for."""
    times = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended since it was listed
            times[int(task.name)] = sum(
                map(int, (task / "stat").read_text().rpartition(")")[2].split()[11:13])
            )
    return times


def ended(before: set[int]) -> bool:
    """No thread is left that was not there `before`: the system lists a thread for a moment after it was joined."""
    start = time.monotonic()
    while set(busy_times()) - before and time.monotonic() - start < 10:
        time.sleep(0.01)
    return set(busy_times()) <= before


@pytest.mark.parametrize("engine", ["wasmtime", "native"])
def test_other_threads_take_part_and_sleep_afterwards(engine: str) -> None:
    target = "native" if engine == "native" else "wasm32"
    shared, feeds = compiled("branches", 0, target, "128", MOST)
    before = set(busy_times())
    with closing(load(shared, engine, threads=2)) as module:
        results(module, feeds)
        (worker,) = set(busy_times()) - before
        start = time.monotonic()
        while busy_times()[worker] < 10 and time.monotonic() - start < 60:
            module.run()
        computed = busy_times()[worker]
        assert computed >= 10, "the second thread does nothing"
        time.sleep(0.5)
        assert busy_times()[worker] <= computed + 1, "it does not sleep"
    assert ended(before)


@pytest.mark.parametrize("engine", ["wasmtime", "native"])
def test_threads_end_with_their_module(engine: str) -> None:
    target = "native" if engine == "native" else "wasm32"
    shared, feeds = compiled("attention", 0, target, "128", MOST)
    with closing(load(shared, engine, threads=1)) as module:
        wanted = results(module, feeds)
    before = set(busy_times())
    for _ in range(20):
        with closing(load(shared, engine, threads=MOST)) as module:
            assert results(module, feeds) == wanted
    assert ended(before)


def test_threads_end_with_the_last_reference() -> None:
    shared, _ = compiled("attention", 0, "wasm32", "128", MOST)
    before = threading.active_count()
    module = load(shared, threads=3)
    assert threading.active_count() == before + 2
    del module
    gc.collect()
    assert threading.active_count() == before


def test_a_child_process_runs_on_one_thread() -> None:
    shared, feeds = compiled("attention", 0, "native", "128", MOST)
    with closing(load(shared, "native", threads=3)) as module:
        wanted = results(module, feeds)
        child = os.fork()
        if child == 0:
            same = results(module, feeds) == wanted
            module.close()
            os._exit(0 if same else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert results(module, feeds) == wanted


def test_a_module_for_one_thread_is_as_it_was() -> None:
    module, _ = compiled("attention", 0, "wasm32", "128", 1)
    parts = {part.id for part in wasm.sections(module)}
    assert 2 not in parts, "it imports something"
    exports = next(part.payload for part in wasm.sections(module) if part.id == 7)
    assert b"graph_thread" not in bytes(exports)


@pytest.mark.parametrize("threads", [0, -1, MOST + 1])
@pytest.mark.parametrize("engine", ["wasmtime", "wasmedge", "node", "native"])
def test_threads_that_a_module_has_not_are_refused(engine: str, threads: int) -> None:
    target = "native" if engine == "native" else "wasm32"
    shared, _ = compiled("attention", 0, target, "128", MOST)
    with pytest.raises(InvalidArgument, match="threads: "):
        load(shared, engine, threads=threads)


def test_wasmedge_refuses_modules_for_several_threads() -> None:
    shared, _ = compiled("attention", 0, "wasm32", "128", MOST)
    with pytest.raises(Unsupported, match="compile it without --threads"):
        load(shared, "wasmedge")


@pytest.mark.parametrize("threads", [0, 65, 1.5])
def test_impossible_numbers_are_refused_when_compiling(threads: Any) -> None:
    with pytest.raises(InvalidArgument, match="threads: expected 1 to 64"):
        CompileOptions(threads=threads)


DYING = """
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

extern "C" int wg_matmul(const std::int32_t*, const float*, const float*, const float*, const float*, float*,
                         void* scratch) {
  wg::in_parallel(1000, 1 << 20, scratch, [&](wg::Range, void* memory) {
    if (memory != scratch) __builtin_trap();
    for (int turn = 0; turn < 100000; ++turn) asm volatile("");
  });
  return 0;
}
"""


@pytest.fixture(scope="module")
def dying(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Array]]:
    """A module whose other threads trap while they take part in a product."""
    g = Branches(0)
    g.end(g.node("MatMul", g.input(40, 300), g.weights(300, 200)))
    made = compile_model(g.model(), CompileOptions(threads=MOST))
    folder = tmp_path_factory.mktemp("dying")
    (folder / "plan.o").write_bytes(made.graph_object)
    (folder / "dying.cpp").write_text(DYING)
    include = folder / "wasmgrad"
    include.mkdir()
    (include / "graph_runtime").symlink_to(ROOT / "cpp/graph_runtime")
    zig = [sys.executable, "-m", "ziglang"]
    options = ["-target", "wasm32-wasi", "-std=c++20", "-O2", "-g0", "-matomics", "-mbulk-memory"]
    compiler = [*zig, "c++", *options, "-DWASMGRAD_THREADS", "-fno-exceptions", "-fno-rtti", f"-I{folder}"]
    for command in (
        [*compiler, "-c", "dying.cpp", "-o", "dying.o"],
        [*zig, "wasm-ld", "-r", "plan.o", "dying.o", "-o", "both.o"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    linked = link((folder / "both.o").read_bytes(), "128", threads=True)
    pages = linked.pages(made.metadata.memory.bytes)
    return finish(linked, pages, made.all_weights, made.metadata), g.feeds


@pytest.mark.parametrize("engine", ["wasmtime", "node"])
def test_a_thread_that_traps_ends_the_run(dying: tuple[bytes, dict[str, Array]], engine: str) -> None:
    module, feeds = dying
    with closing(load(module, engine, threads=1)) as alone:
        alone(**feeds)
    with closing(load(module, engine, threads=3)) as shared:
        with pytest.raises(RuntimeFailure, match=r"graph_run\(\) failed with code 4"):
            run_often(shared, feeds)  # the others may come late
        with pytest.raises(RuntimeFailure, match=r"graph_run\(\) failed with code 4"):
            shared(**feeds)


def run_often(module: GraphModule, feeds: dict[str, Array]) -> None:
    for _ in range(1000):
        module(**feeds)
