"""Draws ONNX graphs whose inputs have an open batch, wherever among their axes: layers of nets, views."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["BATCH", "BatchedGraph", "drawn"]

BATCH = 0
"""Stands for the batch in a shape, as no other extent."""

_ELEMENTS = 4000
Shape = tuple[int, ...]


@dataclass
class BatchedGraph:
    """A graph that grows node by node. `mixes`: whether samples depend on each other's."""

    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    values: list[tuple[str, Shape]] = field(default_factory=list)
    inputs: dict[str, Shape] = field(default_factory=dict)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    mixes: bool = False

    def choice(self, options: Any) -> Any:
        return options[int(self.random.integers(len(options)))]

    def input(self, shape: Shape) -> tuple[str, Shape]:
        self.inputs[f"x{len(self.inputs)}"] = shape
        self.values.append((f"x{len(self.inputs) - 1}", shape))
        return self.values[-1]

    def weight(self, *shape: int) -> str:
        return self.constant(self.random.uniform(-1, 1, shape).astype(np.float32))

    def constant(self, array: NDArray[Any]) -> str:
        self.weights.append(numpy_helper.from_array(array, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def add(self, operator: str, inputs: list[str], shape: Shape, **attributes: Any) -> tuple[str, Shape]:
        name = f"y{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"n_{name}", **attributes))
        self.values.append((name, shape))
        return name, shape

    def model(self) -> onnx.ModelProto:
        """With all values that no node reads as outputs."""
        read = {name for node in self.nodes for name in node.input}

        def info(name: str, shape: Shape) -> onnx.ValueInfoProto:
            extents = ["n" if extent == BATCH else extent for extent in shape]
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, extents)

        made = [(name, shape) for name, shape in self.values if name not in read and name not in self.inputs]
        graph = helper.make_graph(
            self.nodes,
            "batched",
            [info(*each) for each in self.inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name, _ in made],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)

    def feeds(self, batch: int) -> dict[str, NDArray[np.float32]]:
        """Inputs for so many samples."""
        numbers = np.random.default_rng(batch)
        return {
            name: numbers.uniform(-2, 2, [batch if extent == BATCH else extent for extent in shape]).astype(
                np.float32
            )
            for name, shape in self.inputs.items()
        }


def drawn(seed: int) -> BatchedGraph:
    """The graph of a seed."""
    random = np.random.default_rng(seed)
    graph = BatchedGraph(random)
    rank = int(random.integers(2, 5))
    shape = tuple(int(random.choice([1, 2, 3, 4, 6, 8, 16])) for _ in range(rank))
    place = 0 if random.random() < 0.7 else int(random.integers(rank))
    graph.input((*shape[:place], BATCH, *shape[place + 1 :]))
    for _ in range(int(random.integers(3, 9))):
        name, shape = graph.choice(graph.values[-3:])
        for _ in range(20):
            if graph.choice(_NODES)(graph, name, shape):
                break
    return graph


def _size(shape: Shape) -> int:
    return math.prod(extent for extent in shape if extent != BATCH)


def _activation(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    graph.add(
        graph.choice(["Relu", "Sigmoid", "Tanh", "Abs", "HardSwish", "Softplus", "Neg", "Erf"]), [x], shape
    )
    return True


def _with_constant(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    of = [1 if extent == BATCH or graph.random.random() < 0.3 else extent for extent in shape]
    graph.add(graph.choice(["Add", "Mul", "Sub", "Max"]), [x, graph.weight(*of)], shape)
    return True


def _with_value(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    others = [name for name, other in graph.values if other == shape and name != x]
    other = graph.choice(others) if others else graph.input(shape)[0]
    graph.add(graph.choice(["Add", "Mul", "Sub", "Min"]), [x, other], shape)
    return True


def _convolution(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    if len(shape) < 3 or shape[0] != BATCH or BATCH in shape[1:]:
        return False
    channels = shape[1]
    grouped = graph.random.random() < 0.3
    filters = channels if grouped else int(graph.choice([1, 3, 8, 16, 32]))
    size = int(graph.choice([1, 3]))
    stride = int(graph.choice([1, 1, 2]))
    after = tuple((extent - 1) // stride + 1 for extent in shape[2:])
    axes = len(after)
    weights = graph.weight(filters, 1 if grouped else channels, *[size] * axes)
    inputs = [x, weights, *([graph.weight(filters)] if graph.random.random() < 0.5 else [])]
    graph.add(
        "Conv", inputs, (BATCH, filters, *after), group=channels if grouped else 1,
        pads=[size // 2] * (2 * axes), strides=[stride] * axes,
    )  # fmt: skip
    return True


def _pooling(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    if len(shape) < 3 or shape[0] != BATCH or BATCH in shape[1:]:
        return False
    if graph.random.random() < 0.3:
        graph.add("GlobalAveragePool", [x], (*shape[:2], *[1] * (len(shape) - 2)))
        return True
    axes = len(shape) - 2
    kind = graph.choice(["MaxPool", "AveragePool"])
    graph.add(kind, [x], shape, kernel_shape=[3] * axes, pads=[1] * (2 * axes))
    return True


def _product(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    if shape[-1] == BATCH:
        return False
    columns = int(graph.choice([1, 5, 8, 33]))
    if _size(shape) // shape[-1] * columns > _ELEMENTS:
        return False
    graph.add("MatMul", [x, graph.weight(shape[-1], columns)], (*shape[:-1], columns))
    return True


def _own_product(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    if len(shape) < 3 or BATCH in shape[-2:]:
        return False
    perm = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    turned, _ = graph.add("Transpose", [x], (*shape[:-2], shape[-1], shape[-2]), perm=perm)
    graph.add("MatMul", [x, turned], (*shape[:-1], shape[-2]))
    return True


def _transposed(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    perm = [int(axis) for axis in graph.random.permutation(len(shape))]
    graph.add("Transpose", [x], tuple(shape[axis] for axis in perm), perm=perm)
    return True


def _flattened(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    if shape[0] != BATCH:
        return False
    wanted = graph.constant(np.array([0, -1], np.int64))
    graph.add("Reshape", [x, wanted], (BATCH, _size(shape)))
    return True


def _merged_and_split(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    """The batch with the next axis in one, which is a row of a product, and apart again."""
    if len(shape) < 3 or shape[0] != BATCH:
        return False
    rows, _ = graph.add("Reshape", [x, graph.constant(np.array([-1, _size(shape[2:])], np.int64))], (-1, -1))
    product, _ = graph.add("MatMul", [rows, graph.weight(_size(shape[2:]), 6)], (-1, -1))
    graph.values = [each for each in graph.values if each[0] not in (rows, product)]
    graph.add(
        "Reshape", [product, graph.constant(np.array([-1, shape[1], 6], np.int64))], (BATCH, shape[1], 6)
    )
    return True


def _reduced(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    axis = int(graph.random.integers(len(shape)))
    if shape[axis] == BATCH and graph.random.random() < 0.7:
        return False
    kind = graph.choice(["ReduceMean", "ReduceSum", "ReduceMax"])
    graph.mixes |= shape[axis] == BATCH
    axes = graph.constant(np.array([axis], np.int64))
    graph.add(kind, [x, axes], (*shape[:axis], 1, *shape[axis + 1 :]), keepdims=1)
    return True


def _normalized(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    if shape[-1] == BATCH:
        return False
    if graph.random.random() < 0.5:
        axis = int(graph.choice([each for each, extent in enumerate(shape) if extent != BATCH]))
        graph.add("Softmax", [x], shape, axis=axis)
    else:
        graph.add("LayerNormalization", [x, graph.weight(shape[-1]), graph.weight(shape[-1])], shape, axis=-1)
    return True


def _sliced(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    axis = int(graph.random.integers(len(shape)))
    if shape[axis] in (BATCH, 1):
        return False
    starts, ends, axes = (graph.constant(np.array([each], np.int64)) for each in (1, shape[axis], axis))
    graph.add("Slice", [x, starts, ends, axes], (*shape[:axis], shape[axis] - 1, *shape[axis + 1 :]))
    return True


def _joined(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    axis = int(graph.random.integers(len(shape)))
    if shape[axis] == BATCH or 2 * _size(shape) > _ELEMENTS:
        return False
    graph.add("Concat", [x, x], (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]), axis=axis)
    return True


def _gathered(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    axis = int(graph.random.integers(len(shape)))
    if shape[axis] == BATCH:
        return False
    places = graph.random.integers(0, shape[axis], 3)
    graph.add("Gather", [x, graph.constant(places)], (*shape[:axis], 3, *shape[axis + 1 :]), axis=axis)
    return True


def _recurrent(graph: BatchedGraph, x: str, shape: Shape) -> bool:
    if len(shape) != 3 or shape[1] != BATCH or BATCH in (shape[0], shape[2]):
        return False
    kind, gates = graph.choice([("LSTM", 4), ("GRU", 3)])
    inputs = [x, graph.weight(1, gates * 5, shape[2]), graph.weight(1, gates * 5, 5)]
    whole, _ = graph.add(kind, inputs, (shape[0], 1, BATCH, 5), hidden_size=5)
    graph.add("Squeeze", [whole, graph.constant(np.array([1], np.int64))], (shape[0], BATCH, 5))
    return True


_NODES: list[Callable[[BatchedGraph, str, Shape], bool]] = [
    _activation, _with_constant, _with_value, _convolution, _convolution, _pooling, _product, _own_product,
    _transposed, _flattened, _merged_and_split, _reduced, _normalized, _sliced, _joined, _gathered, _recurrent,
]  # fmt: skip
