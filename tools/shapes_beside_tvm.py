#!/usr/bin/env python3
"""Times shapes of all operators with our kernels and with the code that TVM generates alone, and lists the worst.

    python tools/shapes_beside_tvm.py --shapes 300 --results shapes.jsonl

Each shape is compiled at level 3, where our kernels are, and at level 2, where they are not, with relaxed SIMD, and
both modules run in turn in wasmtime. `times` is TVM's time by ours; `share` is what the machine could need at least, by
the peak of multiplications and additions and by the bandwidth of memory, which are measured in the same turns, by what
our kernels need without the transpositions of pictures, which a net has at its ends only. Both rows of worst shapes are
printed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import wasmgrad
from children import Failed, run_each
from onnx import TensorProto, helper, numpy_helper
from wasmgrad.compiler import Compiled, CompileOptions, compile_model

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import peak

ROUNDS = 7
SECONDS, BYTES = 120, 4 << 30  # of a child
MOST_FLOPS, MOST_ELEMENTS = 4e8, 1 << 22
LEAST_ELEMENTS = 1 << 15  # below, a call costs more than the work

Rng = np.random.Generator
Attributes = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """A node of one operator: its inputs at run time by their shapes, its constants likewise, its attributes."""

    kind: str
    operator: str
    inputs: tuple[tuple[int, ...], ...]
    constants: tuple[tuple[int, ...], ...]
    attributes: Attributes
    flops: float

    def text(self) -> str:
        """In a line."""
        sizes = " ".join("x".join(map(str, each)) for each in (*self.inputs, *self.constants))
        return f"{self.kind} {sizes} {json.dumps(self.attributes)}"


@dataclass(frozen=True)
class Timed:
    """A shape with seconds of a run, the ratio to TVM's, and the share of what is attainable."""

    shape: str
    kernels: str
    seconds: float
    times: float
    share: float


def _convolution(kind: str, spatial: int, transposed: bool = False) -> Callable[[Rng], Shape]:
    def draw(rng: Rng) -> Shape:
        sizes = [
            int(rng.choice({1: [50, 400, 3000], 2: [7, 14, 28, 56, 112], 3: [4, 8, 16]}[spatial]))
        ] * spatial
        kernel = [
            int(rng.choice([2, 4] if transposed else [1, 3, 3, 5, 7] if spatial < 3 else [1, 3]))
        ] * spatial
        stride = [int(rng.choice([2] if transposed else [1, 1, 2]))] * spatial
        channels, filters = (int(rng.choice([3, 8, 16, 32, 64, 96, 128, 256, 512])) for _ in range(2))
        groups = {"depthwise": channels, "grouped": 4}.get(kind, 1)
        if groups > 1:
            channels, filters = max(channels, 16), max(filters, 16)
            groups = channels if kind == "depthwise" else groups
            filters = channels if kind == "depthwise" else filters
        dilation = 2 if kind == "dilated" else 1
        pads = [dilation * (size - 1) // 2 for size in kernel] * 2
        attributes = {"strides": stride, "pads": pads, "group": groups, "dilations": [dilation] * spatial}
        weights = (channels, filters, *kernel) if transposed else (filters, channels // groups, *kernel)
        places = (
            prod(sizes)
            if transposed
            else prod(-(-size // step) for size, step in zip(sizes, stride, strict=True))
        )
        flops = 2 * places * filters * channels / groups * prod(kernel)
        operator = "ConvTranspose" if transposed else "Conv"
        return Shape(kind, operator, ((1, channels, *sizes),), (weights, (filters,)), attributes, flops)

    return draw


def _kernels(kind: str, spatial: int, transposed: bool) -> list[int]:
    if transposed:
        return [2, 4]
    if kind == "depthwise":
        return [3, 3, 5, 7]
    return [1, 3, 3, 5, 7] if spatial < 3 else [1, 3]


def _matrices(kind: str) -> Callable[[Rng], Shape]:
    def draw(rng: Rng) -> Shape:
        rows = int(rng.choice([1] if kind == "vector" else [2, 7, 16, 50, 128, 197, 512]))
        depth, columns = (int(rng.choice([10, 64, 100, 192, 384, 768, 1000, 1536])) for _ in range(2))
        batch = (int(rng.choice([3, 12])),) if kind == "batched" else ()
        right = (*batch, depth, columns)
        at_run_time = kind in ("batched", "computed")
        inputs = ((*batch, rows, depth), *([right] if at_run_time else []))
        flops = 2 * prod(batch) * rows * depth * columns
        return Shape(f"{kind} matmul", "MatMul", inputs, () if at_run_time else (right,), {}, flops)

    return draw


def _recurrent(operator: str, gates: int) -> Callable[[Rng], Shape]:
    def draw(rng: Rng) -> Shape:
        steps, batch = int(rng.choice([4, 16])), int(rng.choice([1, 8]))
        width, hidden = (int(rng.choice([32, 64, 128, 256])) for _ in range(2))
        constants = ((1, gates * hidden, width), (1, gates * hidden, hidden), (1, 2 * gates * hidden))
        flops = 2 * steps * batch * gates * hidden * (width + hidden)
        attributes = {"hidden_size": hidden}
        return Shape(operator, operator, ((steps, batch, width),), constants, attributes, flops)

    return draw


def _elementwise(operator: str, **attributes: Any) -> Callable[[Rng], Shape]:
    def draw(rng: Rng) -> Shape:
        extents = (
            int(rng.choice([1, 12])),
            int(rng.choice([49, 128, 197])),
            int(rng.choice([64, 192, 384, 1000])),
        )
        return Shape(operator, operator, (extents,), (), attributes, prod(extents))

    return draw


def _pool(operator: str) -> Callable[[Rng], Shape]:
    def draw(rng: Rng) -> Shape:
        size, channels = int(rng.choice([7, 14, 28, 56, 112])), int(rng.choice([16, 64, 256]))
        kernel = int(rng.choice([2, 3]))
        attributes = {"kernel_shape": [kernel] * 2, "strides": [2] * 2, "pads": [kernel // 2] * 4}
        shape = (1, channels, size, size)
        return Shape(operator, operator, (shape,), (), attributes, prod(shape) * kernel**2 / 4)

    return draw


# How many of 300 shapes are drawn from each, and how.
DRAWS: tuple[tuple[int, Callable[[Rng], Shape]], ...] = (
    (60, _convolution("dense", 2)), (30, _convolution("depthwise", 2)), (15, _convolution("grouped", 2)),
    (15, _convolution("dilated", 2)), (24, _convolution("one axis", 1)), (12, _convolution("three axes", 3)),
    (8, _convolution("transposed 1", 1, True)), (12, _convolution("transposed 2", 2, True)),
    (4, _convolution("transposed 3", 3, True)), (36, _matrices("constant")), (15, _matrices("vector")),
    (15, _matrices("batched")), (10, _matrices("computed")), (8, _recurrent("LSTM", 4)), (6, _recurrent("GRU", 3)),
    (6, _pool("MaxPool")), (6, _pool("AveragePool")), (5, _elementwise("Softmax", axis=-1)),
    (4, _elementwise("Transpose", perm=[0, 2, 1])), (4, _elementwise("Exp")), (5, _elementwise("Sigmoid")),
)  # fmt: skip


def drawn(count: int, seed: int) -> Iterator[Shape]:
    """About `count` shapes, none with more arithmetic or elements than a short run takes."""
    rng = np.random.default_rng(seed)
    whole = sum(share for share, _ in DRAWS)
    for share, draw in DRAWS:
        for _ in range(max(1, round(share * count / whole))):
            shape = draw(rng)
            while not _fits(shape):
                shape = draw(rng)
            yield shape


def _fits(shape: Shape) -> bool:
    sizes = [prod(each) for each in (*shape.inputs, *shape.constants)]
    return shape.flops <= MOST_FLOPS and max(sizes) <= MOST_ELEMENTS and sum(sizes) >= LEAST_ELEMENTS


def model_of(shape: Shape) -> onnx.ModelProto:
    """The node with seeded constants."""
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(len(shape.inputs))]
    constants = [
        numpy_helper.from_array((rng.standard_normal(size) / np.sqrt(max(size))).astype(np.float32), f"c{i}")
        for i, size in enumerate(shape.constants)
    ]
    node = helper.make_node(
        shape.operator, [*names, *(each.name for each in constants)], ["y"], **shape.attributes
    )
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size)
        for name, size in zip(names, shape.inputs, strict=True)
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "shape", inputs, [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def measured(shape: Shape, peak_module: Path) -> Timed:
    """The shape, timed."""
    model = model_of(shape)
    ours, tvms = (compile_model(model, CompileOptions(simd="relaxed", opt_level=level)) for level in (3, 2))
    arrays = [np.random.default_rng(1).standard_normal(size).astype(np.float32) for size in shape.inputs]
    graphs = [_loaded(module, arrays) for module in (ours, tvms)]
    limits = Limits(peak_module)
    times, calls = [], []
    for _ in range(ROUNDS):
        times.append([_seconds(each) for each in graphs])
        calls.append(
            [
                min(graphs[0]._engine.call(index) for _ in range(3))
                for index, call in enumerate(ours.metadata.plan)
                if "transpose" not in call.kernel
            ]
        )
        limits.measure()
    best = [min(each) for each in zip(*times, strict=True)]
    # Calls one by one pay for the way into the engine each time.
    inside = min(best[0], sum(min(each) for each in zip(*calls, strict=True)) or best[0])
    outputs = sum(prod(info.shape) for info in ours.metadata.outputs)
    moved = 4 * (outputs + sum(map(prod, (*shape.inputs, *shape.constants))))
    least = max(shape.flops / limits.flops, moved / limits.bandwidth)
    kernels = " ".join(sorted({call.kernel for call in ours.metadata.plan}))
    return Timed(shape.text(), kernels, best[0], best[1] / best[0], least / max(inside, 1e-9))


def _loaded(module: Compiled, arrays: list[Any]) -> wasmgrad.GraphModule:
    graph = wasmgrad.load(module.module)
    graph(*arrays)
    return graph


def _seconds(graph: wasmgrad.GraphModule) -> float:
    """Of the fastest run in two milliseconds."""
    first = graph._engine.run()
    return min(graph._engine.run() for _ in range(max(1, int(2e-3 / max(first, 1e-6)))))


class Limits:
    """What the machine can: operations a second with relaxed SIMD in wasmtime, and bytes a second from memory."""

    def __init__(self, peak_module: Path) -> None:
        self.flops = self.bandwidth = 0.0
        self._graph = wasmgrad.load(peak_module)
        self._block = np.zeros(1 << 22, np.float32)
        self._other = np.ones_like(self._block)

    def measure(self) -> None:
        """Take a turn; the best of all turns counts."""
        for index, call in enumerate(self._graph.metadata.plan):
            self.flops = max(self.flops, call.flops / self._graph._engine.call(index))
        begin = time.perf_counter()
        np.copyto(self._block, self._other)
        self.bandwidth = max(self.bandwidth, 2 * self._block.nbytes / (time.perf_counter() - begin))


def _print(rows: list[Timed], key: str, title: str) -> None:
    print(f"\n{title}\n  {'times':>6} {'share':>6} {'ms':>8}  shape")
    for row in sorted(rows, key=lambda row: getattr(row, key))[:10]:
        print(f"  {row.times:6.2f} {row.share:6.1%} {row.seconds * 1e3:8.3f}  {row.shape}  [{row.kernels}]")


def main() -> int:
    """Returns 1 when a shape cannot be compiled or run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds of shapes that begin so")
    parser.add_argument("--results", type=Path, default=Path("shapes.jsonl"))
    options = parser.parse_args()
    peak_module = options.results.resolve().parent / "peak.wasm"
    peak.build("relaxed", peak_module)
    shapes = [each for each in drawn(options.shapes, options.seed) if each.kind.startswith(options.only)]
    rows, failed = [], 0
    with options.results.open("w") as results:
        for shape, result in run_each(shapes, lambda shape: measured(shape, peak_module), 1, SECONDS, BYTES):
            if isinstance(result, Failed):
                failed += 1
                print(f"{shape.text()}: {result.reason}", file=sys.stderr)
                continue
            rows.append(result)
            results.write(json.dumps(asdict(result)) + "\n")
            results.flush()
    _print(rows, "times", "slowest beside TVM")
    _print(rows, "share", "furthest from what is attainable")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
