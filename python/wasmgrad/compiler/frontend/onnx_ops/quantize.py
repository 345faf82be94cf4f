"""Quantization: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear.

Real numbers are computed in float32. Integers of less than 8 bits and floats of 8 are read and made in their carriers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from ._dequantized import Dequantized
from ._nn import cast, scalar, wide
from ._registry import CARRIERS, Node, Stored, Value, converter, dtype_name, literal, numpy_dtype
from ._stored import FLOATS, integer_limits, to_float8
from .cast import clipped, converted, to_float8_at_run_time

INTEGERS = ("uint8", "int8", "uint16", "int16")


def saturated(value: Any, zero_point: Any, source: str, target: str) -> Any:
    """round(value) + zero_point, ties to even, held within the integer type `target`, in its carrier if it has one.

    `value` is of the floating-point type `source`; `zero_point` is None or of that type or carrier.
    """
    rounded = relax.op.round(value)
    if zero_point is not None:
        rounded = relax.op.add(rounded, relax.op.astype(zero_point, source))
    return clipped(rounded, target)


def _spread(node: Node, index: int) -> Value:
    """A scale or zero point so shaped that it broadcasts against input 0: one, one per index of an axis, or blocks.

    Of a constant it is an array.
    """
    shape, size = node.shape(0), node.shape(index)
    constant = node.constant(index)
    block = int(node.attribute("block_size", 0) or 0)
    if block == 0:
        if len(size) > 1:
            node.refuse(f"a scale of shape {size} needs a block size")
        wanted: list[int] = []
        if len(size) != 0 and size != (1,):
            axis = node.axis(1, len(shape))
            if shape[axis] != size[0]:
                node.refuse(f"{size[0]} scales do not fit axis {axis} of shape {shape}")
            wanted = [size[0] if a == axis else 1 for a in range(len(shape))]
        return relax.op.reshape(node.input(index), wanted) if constant is None else constant.reshape(wanted)
    axis = node.axis(1, len(shape))
    if len(size) != len(shape):
        node.refuse(f"blocked scales of shape {size} do not fit an input of shape {shape}")
    if constant is not None:
        return np.take(np.repeat(constant, block, axis), range(shape[axis]), axis)
    value = relax.op.repeat(node.input(index), block, axis)
    if size[axis] * block != shape[axis]:
        value = relax.op.strided_slice(value, [axis], [0], [shape[axis]])
    return value


def _spread_out(node: Node, index: int) -> Any:
    """The same as a Relax expression."""
    value = _spread(node, index)
    return literal(value) if isinstance(value, np.ndarray) else value


def _no_zero_point(node: Node) -> None:
    """Refuses a zero point of floats that is not 0: onnxruntime adds it to nothing, and what it should be is open."""
    if not node.has(2):
        return
    zero_point = node.require_constant(2, "a zero point of floats")
    if np.any(zero_point != 0):
        node.refuse("a zero point of floats must be 0")


def _precision(node: Node) -> str:
    """The type of the division by a scale: the scale's, where the node names no other."""
    named = int(node.attribute("precision", 0) or 0)
    precision = dtype_name(named) if named else node.dtype(1)
    if wide(precision) != "float32":
        node.refuse(f"a division in {precision} is not supported")
    return precision


def _quotient(node: Node, precision: str) -> Any:
    """Input 0 by its scale, each of them rounded to a type, in float32."""

    def rounded(value: Any, dtype: str) -> Any:
        narrow = node.emit(converted(node, value, dtype, precision))
        return node.emit(converted(node, narrow, precision, "float32"))

    x = rounded(node.input(0), node.dtype(0))
    ratio = node.emit(relax.op.divide(x, rounded(_spread_out(node, 1), node.dtype(1))))
    return rounded(ratio, "float32")


def _of_constants(node: Node, target: str, precision: str, saturate: bool) -> NDArray[Any] | None:
    """The result in its carrier where all inputs are constants, which TVM would compile kernels for; else None."""
    operands = [node.constant(0), *(_spread(node, i) for i in (1, 2) if node.has(i))]
    if not all(isinstance(operand, np.ndarray) for operand in operands):
        return None
    with np.errstate(all="ignore"):
        x, scale, *zero = operands
        x, scale = (each.astype(numpy_dtype(precision)).astype(np.float32) for each in (x, scale))
        ratio = (x / scale).astype(numpy_dtype(precision)).astype(np.float32)
        if target in FLOATS:
            return to_float8(ratio, target, saturate)
        whole = np.rint(ratio) + (zero[0].astype(np.float32) if zero else np.float32(0))
        inside = np.clip(np.nan_to_num(whole, nan=0.0), *integer_limits(target))
        return np.asarray(inside.astype(CARRIERS.get(target, target)))


@converter("QuantizeLinear", since=10, fold=False)
def quantize_linear(node: Node) -> Any:
    """saturate(round(x / scale) + zero_point), also of constants: ONNX's reference wraps around instead."""
    declared = int(node.attribute("output_dtype", 0) or 0)
    target = node.dtype(2) if node.has(2) else dtype_name(declared) if declared else "uint8"
    if target not in (*INTEGERS, *CARRIERS):
        node.refuse(f"the quantized type {target} is not supported")
    inner, precision, saturate = node.carried(), _precision(node), bool(node.attribute("saturate", 1))
    if target in FLOATS:
        _no_zero_point(inner)
    result = _of_constants(inner, target, precision, saturate)
    if result is None:
        ratio = _quotient(inner, precision)
        if target in FLOATS:
            return to_float8_at_run_time(node, ratio, target, saturate)
        zero_point = _spread_out(inner, 2) if inner.has(2) else None
        result = node.emit(saturated(ratio, zero_point, "float32", target))
    return Stored(target, result) if target in CARRIERS else result


@converter("DequantizeLinear", since=10, fold=False)
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
    if dtype in FLOATS:
        _no_zero_point(inner)
    known = _dequantized_constants(inner, work, target)
    if known is not None:
        return known
    scale = cast(_spread_out(inner, 1), inner.dtype(1), work)
    if dtype in FLOATS:
        value = cast(inner.input(0), "float32", work)
    else:
        value = relax.op.astype(inner.input(0), "int32")
        if inner.has(2):
            value = relax.op.subtract(value, cast(_spread_out(inner, 2), inner.dtype(2), "int32"))
        value = relax.op.astype(value, work)
    return cast(relax.op.multiply(value, scale), work, target)


def _dequantized_constants(node: Node, work: str, target: str) -> NDArray[Any] | None:
    """The result where all inputs are constants; else None. What is computed in float32 remembers its integers."""
    operands = [node.constant(0), *(_spread(node, i) for i in (1, 2) if node.has(i))]
    if not all(isinstance(operand, np.ndarray) for operand in operands):
        return None
    x, scale, *zero = operands
    if x.dtype.kind == "f":
        return np.asarray((x * scale.astype(work)).astype(numpy_dtype(target)))
    steps = x.astype(np.int32) - (zero[0].astype(np.int32) if zero else np.int32(0))
    if work == target == "float32":
        return Dequantized.of(steps, scale)
    return np.asarray((steps.astype(work) * scale.astype(work)).astype(numpy_dtype(target)))


@converter("DynamicQuantizeLinear", since=11, fold=False)
def dynamic_quantize_linear(node: Node) -> Any:
    """Quantizes to uint8 with the scale and zero point that the input's own range asks for."""
    data, zero, top = node.input(0), scalar(0, "float32"), scalar(255, "float32")
    low = node.emit(relax.op.minimum(relax.op.min(data), zero))
    high = relax.op.maximum(relax.op.max(data), zero)
    extent = node.emit(relax.op.subtract(high, low))
    # An input of zeros only has no range; its scale is 1, as in onnxruntime.
    flat = relax.op.equal(extent, zero)
    scale = node.emit(relax.op.where(flat, scalar(1, "float32"), relax.op.divide(extent, top)))
    offset = relax.op.divide(relax.op.negative(low), scale)
    zero_point = node.emit(saturated(offset, None, "float32", "uint8"))
    return [saturated(relax.op.divide(data, scale), zero_point, "float32", "uint8"), scale, zero_point]
