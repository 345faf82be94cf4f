"""Matrix products and convolutions of quantized tensors: ConvInteger, QLinearConv, MatMulInteger, QLinearMatMul.

They are exact in int32; only the rescaling of the result is done in float32. ONNX's reference rounds after it has added
the zero point, so that constants are left to the converters.
"""

from __future__ import annotations

from typing import Any

from tvm import relax

from ._nn import cast
from ._registry import Node, converter
from .convolution import convolve, per_channel, weight_window
from .quantize import saturated


def _centered(node: Node, data: int, zero_point: int, shape: list[int] | None = None) -> Any:
    """Input `data` minus its zero point, in int32; a vector of zero points is given that `shape` first."""
    value = cast(node.input(data), node.dtype(data), "int32")
    if not node.has(zero_point):
        return value
    zero = relax.op.reshape(node.input(zero_point), _broadcast_shape(node, zero_point, shape))
    return relax.op.subtract(value, cast(zero, node.dtype(zero_point), "int32"))


def _broadcast_shape(node: Node, index: int, shape: list[int] | None) -> list[int]:
    size = node.shape(index)
    if len(size) == 0 or size == (1,):
        return []
    if len(size) == 1:
        return (
            shape
            if shape is not None
            else node.refuse(f"input {index} must be a scalar, not of shape {size}")
        )
    return list(size)


@converter("ConvInteger", since=10)
def conv_integer(node: Node) -> Any:
    """A convolution of 8-bit integers with an int32 result."""
    window = weight_window(node, 0, 1)
    data, weight = _centered(node, 0, 2), _centered(node, 1, 3, _first_axis(node.rank(1)))
    return convolve(node, data, weight, window, int(node.attribute("group", 1)))


@converter("QLinearConv", since=10, fold=False)
def qlinear_conv(node: Node) -> Any:
    """A convolution of quantized tensors with a quantized result; weights may have one scale per channel."""
    rank = node.rank(0)
    window = weight_window(node, 0, 3)
    data, weight = _centered(node, 0, 2), _centered(node, 3, 5, _first_axis(rank))
    sums = convolve(node, data, weight, window, int(node.attribute("group", 1)))
    if node.has(8):
        sums = relax.op.add(sums, per_channel(node.input(8), rank))
    channels = _channel_axis(rank)
    weight_scale = relax.op.reshape(node.input(4), _broadcast_shape(node, 4, channels))
    scale = _rescale(_one(node, 1), weight_scale, _one(node, 6))
    ratio = relax.op.multiply(relax.op.astype(sums, "float32"), scale)
    return saturated(ratio, _one(node, 7) if node.has(7) else None, "float32", _result_type(node, 7))


@converter("MatMulInteger", since=10)
def matmul_integer(node: Node) -> Any:
    """A matrix product of 8-bit integers with an int32 result; zero points per row of A or per column of B."""
    return relax.op.matmul(_centered(node, 0, 2, [-1, 1]), _centered(node, 1, 3, [1, -1]))


@converter("QLinearMatMul", since=10, fold=False)
def qlinear_matmul(node: Node) -> Any:
    """A matrix product of quantized tensors with a quantized result."""
    sums = relax.op.matmul(_centered(node, 0, 2, [-1, 1]), _centered(node, 3, 5, [1, -1]))
    parts = [
        cast(relax.op.reshape(node.input(i), _broadcast_shape(node, i, shape)), node.dtype(i), "float32")
        for i, shape in ((1, [-1, 1]), (4, [1, -1]), (6, [-1, 1]))
    ]
    ratio = relax.op.multiply(relax.op.astype(sums, "float32"), _rescale(*parts))
    zero_point = None
    if node.has(7):
        zero_point = relax.op.reshape(node.input(7), _broadcast_shape(node, 7, [-1, 1]))
    return saturated(ratio, zero_point, "float32", _result_type(node, 7))


def _rescale(left: Any, right: Any, result: Any) -> Any:
    return relax.op.divide(relax.op.multiply(left, right), result)


def _one(node: Node, index: int) -> Any:
    return relax.op.reshape(node.input(index), _broadcast_shape(node, index, None))


def _first_axis(rank: int) -> list[int]:
    return [-1] + [1] * (rank - 1)


def _channel_axis(rank: int) -> list[int]:
    return [1, -1] + [1] * (rank - 2)


def _result_type(node: Node, zero_point: int) -> str:
    dtype = node.dtype(zero_point) if node.has(zero_point) else node.dtype(0)
    if dtype not in {"uint8", "int8"}:
        node.refuse(f"the quantized type {dtype} is not supported")
    return dtype
