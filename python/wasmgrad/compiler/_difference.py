"""How far two results of a model are apart, and how far they may be.

That follows from how the model itself rounds: a model of float16 cannot be told from another one more finely than
float16 can, one of 8-bit integers not more finely than by one of its steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from .._graph.format.metadata import TensorInfo

__all__ = ["TOLERANCE", "Difference", "Rounding", "difference", "random_inputs"]

TOLERANCE = 1e-4  # of an output's range, for a model that computes in float32
_TOLERANCES: dict[int, float] = {
    onnx.TensorProto.DOUBLE: 1e-6,
    onnx.TensorProto.FLOAT: TOLERANCE,
    onnx.TensorProto.FLOAT16: 8 * 2.0**-10,
    onnx.TensorProto.BFLOAT16: 8 * 2.0**-7,
}
_STEPS = 2  # of a quantized output: ties may be rounded either way in each layer
_LEVELS = 255  # of 8 bits
_NUDGES = (
    2  # times what a nudge does: in a deep model a tie that is rounded the other way turns others behind it
)
_FLIPPED = 1e-3  # the share of integers and truth values that rounding may turn, as where two scores are nearly equal
_QUANTIZED = (
    "QuantizeLinear",
    "DynamicQuantize",
    "QLinear",
    "QGemm",
    "QAttention",
    "MatMulInteger",
    "ConvInteger",
)
_ONLY_MOVES = ("Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")


@dataclass(frozen=True)
class Difference:
    """For one output: the largest absolute difference, and the same divided by the output's range.

    `flipped` is the share of elements that differ. `allowed` is how large `relative` may be; None for integers and
    truth values, of which only a share of `flipped` may differ.
    """

    output: str
    absolute: float
    relative: float
    flipped: float = 0.0
    allowed: float | None = TOLERANCE

    @property
    def ok(self) -> bool:
        """Whether it is within the tolerance."""
        return self.flipped <= _FLIPPED if self.allowed is None else self.relative <= self.allowed


def random_inputs(inputs: tuple[TensorInfo, ...], seed: int = 0, below: int = 10) -> dict[str, NDArray[Any]]:
    """Standard normal floats, integers from 0 to `below` - 1, and coin flips; by input name."""
    generator = np.random.default_rng(seed)
    made = {}
    for info in inputs:
        if info.numpy_dtype.kind in "iu":
            values: Any = generator.integers(0, below, info.shape)
        elif info.dtype == "bool":
            values = generator.integers(0, 2, info.shape)
        else:
            values = generator.standard_normal(info.shape)
        made[info.name] = np.asarray(values).astype(info.numpy_dtype)
    return made


class Rounding:
    """How coarsely a model computes: by its narrowest float (0: it has none), and the steps it is quantized in."""

    def __init__(self, model: onnx.ModelProto) -> None:
        nodes = list(_nodes(model.graph))
        self.quantized = any(node.op_type.startswith(_QUANTIZED) for node in nodes)
        self.relative: float = max(
            _TOLERANCES.get(elem_type, 0.0) for elem_type in (0, *_elem_types(model, nodes))
        )
        self._made = {name: node for node in model.graph.node for name in node.output if name}
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}

    def step(self, output: str) -> float | None:
        """The scale of a quantized output that was turned back to floats, where it can be told."""
        node = self._made.get(output)
        while node is not None and node.op_type in _ONLY_MOVES:
            node = self._made.get(node.input[0])
        if node is None or node.op_type != "DequantizeLinear" or node.input[1] not in self._constants:
            return None
        scales = numpy_helper.to_array(self._constants[node.input[1]])
        return float(np.max(scales, initial=0.0))


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _elem_types(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> Iterator[int]:
    """Element types of inputs, outputs, weights and casts: one of them is narrow where the model computes so."""
    graph = model.graph
    for info in (*graph.input, *graph.output, *graph.value_info):
        yield info.type.tensor_type.elem_type
    for tensor in graph.initializer:
        yield tensor.data_type
    for node in nodes:
        for attribute in node.attribute:
            yield attribute.t.data_type
            if node.op_type == "Cast" and attribute.name == "to":
                yield attribute.i


def difference(
    name: str,
    value: NDArray[Any],
    expected: NDArray[Any],
    rounding: Rounding | None = None,
    nudged: NDArray[Any] | None = None,
) -> Difference:
    """How far two outputs of the same shape differ, by the rounding of their model (None: of float32).

    nudged: what is expected of a quantized model when its constants differ by as little as sums in another order do.
    """
    if value.size == 0:
        return Difference(name, 0.0, 0.0)
    if value.dtype != expected.dtype and value.dtype.itemsize == expected.dtype.itemsize == 2:
        expected = expected.view(value.dtype)  # bfloat16, which a framework may hand out as the bits
    counted = value.dtype.kind in "iub"
    ours, theirs = value.astype(np.float64), expected.astype(np.float64)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    if counted:
        same &= value == expected  # integers of 64 bits are finer than float64
    gaps = np.where(same, 0.0, np.abs(ours - theirs))
    absolute = float(np.max(np.where(np.isnan(gaps), np.inf, gaps)))
    finite = theirs[np.isfinite(theirs)]
    extent = float(np.ptp(finite)) if finite.size > 1 else 0.0
    extent = max(extent, float(np.max(np.abs(finite), initial=0.0)), 1e-30)
    relative, flipped = absolute / extent, float(1 - same.mean())
    if counted:
        relative = max(relative, flipped)
    allowed = _allowed(name, value.dtype, extent, rounding)
    if nudged is not None and allowed is not None:
        moved = np.abs(nudged.astype(np.float64) - theirs)[np.isfinite(theirs)]
        allowed = max(allowed, _NUDGES * float(np.max(np.nan_to_num(moved), initial=0.0)) / extent)
    return Difference(name, absolute, relative, flipped, allowed)


def _allowed(name: str, dtype: np.dtype[Any], extent: float, rounding: Rounding | None) -> float | None:
    """The largest relative difference; None where only the number of elements that differ counts."""
    if rounding is None:
        return TOLERANCE
    if dtype.kind in "iub":
        if rounding.quantized and dtype.kind != "b" and dtype.itemsize == 1:
            return _STEPS / extent
        return None if rounding.relative > 0 else 0.0
    if rounding.quantized:
        step = rounding.step(name) or extent / _LEVELS
        return max(rounding.relative, (_STEPS + 1e-3) * step / extent)
    return rounding.relative
