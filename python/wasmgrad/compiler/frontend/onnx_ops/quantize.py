"""Quantization: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear.

Real numbers are computed in float32. Integers of less than 8 bits and floats of 8 are read and made in their carriers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from ._nn import cast, scalar, wide
from ._registry import CARRIERS, Node, Stored, converter, dtype_name
from ._stored import FLOATS
from .cast import clipped, to_float8_at_run_time

INTEGERS = ("uint8", "int8", "uint16", "int16")


def saturated(value: Any, zero_point: Any, source: str, target: str) -> Any:
    """round(value) + zero_point, ties to even, held within the integer type `target`, in its carrier if it has one.

    `value` is of the floating-point type `source`; `zero_point` is None or of that type or carrier.
    """
    rounded = relax.op.round(value)
    if zero_point is not None:
        rounded = relax.op.add(rounded, relax.op.astype(zero_point, source))
    return clipped(rounded, target)


def _spread(node: Node, index: int) -> Any:
    """A scale or zero point so shaped that it broadcasts against input 0: one, one per index of an axis, or blocks."""
    shape, size = node.shape(0), node.shape(index)
    value = node.input(index)
    block = int(node.attribute("block_size", 0) or 0)
    if block == 0:
        if len(size) > 1:
            node.refuse(f"a scale of shape {size} needs a block size")
        if len(size) == 0 or size == (1,):
            return relax.op.reshape(value, [])
        axis = node.axis(1, len(shape))
        if shape[axis] != size[0]:
            node.refuse(f"{size[0]} scales do not fit axis {axis} of shape {shape}")
        return relax.op.reshape(value, [-1 if a == axis else 1 for a in range(len(shape))])
    axis = node.axis(1, len(shape))
    if len(size) != len(shape):
        node.refuse(f"blocked scales of shape {size} do not fit an input of shape {shape}")
    value = relax.op.repeat(value, block, axis)
    if size[axis] * block != shape[axis]:
        value = relax.op.strided_slice(value, [axis], [0], [shape[axis]])
    return value


def _no_zero_point(node: Node) -> None:
    """Refuses a zero point of floats that is not 0: onnxruntime adds it to nothing, and what it should be is open."""
    if not node.has(2):
        return
    zero_point = node.require_constant(2, "a zero point of floats")
    if np.any(zero_point != 0):
        node.refuse("a zero point of floats must be 0")


@converter("QuantizeLinear", since=10)
def quantize_linear(node: Node) -> Any:
    """saturate(round(x / scale) + zero_point)."""
    declared = int(node.attribute("output_dtype", 0) or 0)
    target = node.dtype(2) if node.has(2) else dtype_name(declared) if declared else "uint8"
    if target not in (*INTEGERS, *CARRIERS):
        node.refuse(f"the quantized type {target} is not supported")
    precision = int(node.attribute("precision", 0) or 0)
    if precision and dtype_name(precision) != "float32":
        node.refuse(f"a division in {dtype_name(precision)} is not supported")
    inner = node.carried()
    scale = cast(_spread(inner, 1), inner.dtype(1), "float32")
    ratio = relax.op.divide(cast(inner.input(0), inner.dtype(0), "float32"), scale)
    if target in FLOATS:
        _no_zero_point(inner)
        return to_float8_at_run_time(node, node.emit(ratio), target, bool(node.attribute("saturate", 1)))
    zero_point = _spread(inner, 2) if inner.has(2) else None
    result = saturated(ratio, zero_point, "float32", target)
    return Stored(target, node.emit(result)) if target in CARRIERS else result


@converter("DequantizeLinear", since=10)
def dequantize_linear(node: Node) -> Any:
    """(x - zero_point) · scale."""
    dtype = node.dtype(0)
    if dtype not in (*INTEGERS, "int32", *CARRIERS):
        node.refuse(f"the quantized type {dtype} is not supported")
    if node.has(2) and node.dtype(2) != dtype and CARRIERS.keys() & {dtype, node.dtype(2)}:
        node.refuse(f"a zero point of {node.dtype(2)} does not fit a tensor of {dtype}")
    if dtype in CARRIERS and dtype not in FLOATS:  # which is as of 8 bits, and may be evaluated
        return node.graphs.convert(node.carried())
    declared = int(node.attribute("output_dtype", 0) or 0)
    target = dtype_name(declared) if declared else node.dtype(1)
    inner, work = node.carried(), wide(node.dtype(1))
    scale = cast(_spread(inner, 1), inner.dtype(1), work)
    if dtype in FLOATS:
        _no_zero_point(inner)
        value = cast(inner.input(0), "float32", work)
    else:
        value = relax.op.astype(inner.input(0), "int32")
        if inner.has(2):
            value = relax.op.subtract(value, cast(_spread(inner, 2), inner.dtype(2), "int32"))
        value = relax.op.astype(value, work)
    return cast(relax.op.multiply(value, scale), work, target)


@converter("DynamicQuantizeLinear", since=11)
def dynamic_quantize_linear(node: Node) -> Any:
    """Quantizes to uint8 with the scale and zero point that the input's own range asks for."""
    data, zero, top = node.input(0), scalar(0, "float32"), scalar(255, "float32")
    low = node.emit(relax.op.minimum(relax.op.min(data), zero))
    high = relax.op.maximum(relax.op.max(data), zero)
    scale = node.emit(relax.op.divide(relax.op.subtract(high, low), top))
    offset = relax.op.divide(relax.op.negative(low), scale)
    # An input of zeros only has the scale 0; any zero point then describes it, and 0 / 0 must not be converted.
    flat = relax.op.equal(scale, zero)
    zero_point = node.emit(saturated(relax.op.where(flat, zero, offset), None, "float32", "uint8"))
    ratio = relax.op.where(flat, relax.op.zeros_like(data), relax.op.divide(data, scale))
    return [saturated(ratio, zero_point, "float32", "uint8"), scale, zero_point]
