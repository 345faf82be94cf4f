"""onnxruntime's own quantized operators: what its quantizer and its optimizer write beside the standard's.

Tensors are turned to real numbers, computed with and quantized again; products are exact in int32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from ._compose import MICROSOFT, Operators, dtype_of, extents, microsoft, number
from ._registry import Node, Value, converter, numpy_dtype
from .quantize import dequantize_linear, quantize_linear

converter("QuantizeLinear", domain=MICROSOFT)(quantize_linear)
converter("DequantizeLinear", domain=MICROSOFT)(dequantize_linear)


def _real(node: Node, op: Operators, first: int) -> Value:
    """The tensor at input `first` by the scale and the zero point after it."""
    return op.DequantizeLinear(*(node.value(first + i) for i in range(3)))


def _steps(node: Node, op: Operators, x: Value, scale: int, dtype: str) -> Value:
    """A tensor in the steps of input `scale` and the zero point after it."""
    zero = node.value(scale + 1)
    return op.QuantizeLinear(x, node.value(scale), np.zeros((), numpy_dtype(dtype)) if zero is None else zero)


def _of_one(function: Callable[[Node, Operators, Value], Value]) -> Callable[[Node], Any]:
    """A converter of an operator with the inputs X, its scale and zero point, and those of Y."""

    def convert(node: Node) -> Any:
        op = Operators(node)
        return _steps(node, op, function(node, op, _real(node, op, 0)), 3, node.dtype(0))

    return convert


def _of_two(operator: str) -> Callable[[Node], Any]:
    def convert(node: Node) -> Any:
        op = Operators(node)
        result = getattr(op, operator)(_real(node, op, 0), _real(node, op, 3))
        return _steps(node, op, result, 6, node.dtype(0))

    return convert


microsoft("QLinearAdd", inputs=8)(_of_two("Add"))
microsoft("QLinearMul", inputs=8)(_of_two("Mul"))
microsoft("QLinearSigmoid", inputs=5)(_of_one(lambda _, op, x: op.Sigmoid(x)))
microsoft("QLinearLeakyRelu", "alpha", inputs=5)(
    _of_one(lambda _, op, x: op.LeakyRelu(x, **op.given("alpha")))
)


def _channels_first(node: Node, op: Operators, x: Value, function: Callable[[Value], Value]) -> Value:
    """`function` of a tensor [batch, channels, ...], also where the node keeps channels last."""
    rank = len(extents(x))
    if not node.attribute("channels_last", 0):
        return function(x)
    result = function(op.transpose(x, 0, rank - 1, *range(1, rank - 1)))
    return op.transpose(result, 0, *range(2, rank), 1)


@microsoft("QLinearGlobalAveragePool", "channels_last", inputs=5)
@_of_one
def qlinear_global_average_pool(node: Node, op: Operators, x: Value) -> Value:
    """The mean of each channel."""
    return _channels_first(node, op, x, op.GlobalAveragePool)


_POOL = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")


@microsoft("QLinearAveragePool", f"channels_last {' '.join(_POOL)}", inputs=5)
@_of_one
def qlinear_average_pool(node: Node, op: Operators, x: Value) -> Value:
    """The mean of every window."""
    return _channels_first(node, op, x, lambda data: op.AveragePool(data, **op.given(*_POOL)))


_MAX_POOL = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides")


@microsoft("NhwcMaxPool", " ".join(_MAX_POOL), inputs=1)
def nhwc_max_pool(node: Node) -> Any:
    """The standard's operator on channels that come last."""
    op, rank = Operators(node), node.rank(0)
    first = op.transpose(node.value(0), 0, rank - 1, *range(1, rank - 1))
    return op.transpose(op.MaxPool(first, **op.given(*_MAX_POOL)), 0, *range(2, rank), 1)


@microsoft("QLinearSoftmax", "axis opset", inputs=5)
@_of_one
def qlinear_softmax(node: Node, op: Operators, x: Value) -> Value:
    """Exponentials that add up to 1, as the named operator set has it."""
    return Operators(node, int(node.attribute("opset"))).Softmax(x, **op.given("axis"))


@microsoft("QLinearConcat", "axis", inputs=1 << 16)
def qlinear_concat(node: Node) -> Any:
    """Tensors of own scales side by side."""
    op = Operators(node)
    parts = [_real(node, op, first) for first in range(2, len(node.values), 3)]
    return _steps(node, op, op.Concat(*parts, axis=int(node.attribute("axis"))), 0, node.dtype(2))


@microsoft("QLinearWhere", inputs=9)
def qlinear_where(node: Node) -> Any:
    """One tensor where a condition holds, else the other."""
    op = Operators(node)
    chosen = op.Where(node.value(0), _real(node, op, 1), _real(node, op, 4))
    return _steps(node, op, chosen, 7, node.dtype(1))


_CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


@microsoft("QLinearConv", f"channels_last {' '.join(_CONV)}", inputs=9)
def qlinear_conv(node: Node) -> Any:
    """The standard's operator, also on channels that come last."""
    op = Operators(node)
    rest = [node.value(i) for i in range(1, 9)]
    return _channels_first(node, op, node.value(0), lambda x: op.QLinearConv(x, *rest, **op.given(*_CONV)))


# -- matrix products --------------------------------------------------------------------------------------------------


def _rescaled(op: Operators, sums: Value, *factors: Value) -> Value:
    """Sums of int32 times scales."""
    scale = factors[0]
    for factor in factors[1:]:
        scale = op.Mul(scale, factor)
    return op.Mul(op.Cast(sums, to=TensorProto.FLOAT), scale)


def _with_bias(op: Operators, x: Value, bias: Value | None) -> Value:
    return x if bias is None else op.Add(x, bias)


@microsoft("MatMulIntegerToFloat", inputs=7)
def matmul_integer_to_float(node: Node) -> Any:
    """The product of 8-bit matrices as real numbers."""
    op = Operators(node)
    sums = op.MatMulInteger(node.value(0), node.value(1), node.value(4), node.value(5))
    return _with_bias(op, _rescaled(op, sums, node.value(2), node.value(3)), node.value(6))


@microsoft("DynamicQuantizeMatMul", inputs=5)
def dynamic_quantize_matmul(node: Node) -> Any:
    """The product of a matrix that is quantized by its own range and one of 8 bits."""
    op = Operators(node)
    a, scale, zero = op.DynamicQuantizeLinear(node.value(0), outputs=3)
    sums = op.MatMulInteger(a, node.value(1), zero, node.value(3))
    return _with_bias(op, _rescaled(op, sums, scale, node.value(2)), node.value(4))


@microsoft("QGemm", "alpha transA transB", inputs=9)
def qgemm(node: Node) -> Any:
    """The product alpha · A · B of 8-bit matrices plus C in its steps; real without a scale of the result."""
    op = Operators(node)
    a, b = (
        op.transpose(node.value(i), 1, 0) if node.attribute(flag, 0) else node.value(i)
        for i, flag in ((0, "transA"), (3, "transB"))
    )
    sums = op.MatMulInteger(a, b, node.value(2), node.value(5))
    if node.has(6):
        sums = op.Add(sums, node.value(6))
    alpha = float(node.attribute("alpha", 1.0))
    result = _rescaled(op, sums, node.value(1), node.value(4), number(alpha, node.value(1)))
    return _steps(node, op, result, 7, node.dtype(0)) if node.has(7) else result


@microsoft("MatMulNBits", "K N accuracy_level bits block_size", inputs=6, lacks={4: "g_idx"})
def matmul_n_bits(node: Node) -> Any:
    """The product with a matrix of few bits, which becomes one of real numbers while compiling."""
    op, a = Operators(node), node.value(0)
    weights = _unpacked_weights(node).astype(numpy_dtype(dtype_of(a)))
    return _with_bias(op, op.MatMul(a, np.ascontiguousarray(weights.T)), node.value(5))


def _unpacked_weights(node: Node) -> Any:
    """[N, K]: each number less its block's zero point, times its block's scale."""
    columns, depth = int(node.attribute("N")), int(node.attribute("K"))
    bits, block = int(node.attribute("bits", 4)), int(node.attribute("block_size"))
    if bits not in {2, 4, 8}:
        node.refuse(f"numbers of {bits} bits are not supported")
    blocks = -(-depth // block)
    values = _unpacked(node.require_constant(1, "the weights"), bits, columns * blocks * block)
    values = values.reshape(columns, blocks, block)
    scales = node.require_constant(2, "the scales").astype(np.float32).reshape(columns, blocks, 1)
    zero: Any = np.float32(1 << (bits - 1))
    if node.has(3):
        zero = node.require_constant(3, "the zero points")
        if zero.dtype == np.uint8:
            width = -(-blocks * bits // 8) * 8 // bits  # each row begins with a byte of its own
            zero = _unpacked(zero, bits, columns * width).reshape(columns, width)[:, :blocks]
        zero = zero.astype(np.float32).reshape(columns, blocks, 1)
    return ((values - zero) * scales).reshape(columns, -1)[:, :depth]


def _unpacked(packed: Any, bits: int, count: int) -> Any:
    """Numbers of so many bits, the lowest bits of each byte first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (packed.reshape(-1, 1) >> shifts) & np.uint8((1 << bits) - 1)
    return numbers.reshape(-1)[:count].astype(np.float32)


@microsoft("GatherBlockQuantized", "bits block_size gather_axis quantize_axis", inputs=4)
def gather_block_quantized(node: Node) -> Any:
    """Slices of a matrix of few bits, each block of which has its scale: rows of an embedding, as real numbers."""
    op, rank = Operators(node), node.rank(0)
    chosen, blocked = node.axis(0, rank, "gather_axis"), node.axis(1, rank, "quantize_axis")
    if chosen == blocked:
        node.refuse("slices across the blocks of a scale are not supported")
    data, scales, zero = (node.value(i) for i in (0, 2, 3))
    if node.dtype(0) == "uint8":
        bits = int(node.attribute("bits", 4))
        if bits not in {2, 4, 8} or blocked != rank - 1:
            node.refuse(f"numbers of {bits} bits, packed along axis {blocked} of {rank}, are not supported")
        data = _unpacked_rows(node.require_constant(0, "the data"), bits)
        if zero is None:
            zero = np.full(node.shape(2), 1 << (bits - 1), np.uint8)
        else:
            zero = _unpacked_rows(node.require_constant(3, "the zero points"), bits)[..., : node.shape(2)[-1]]
    parts = [
        None if part is None else op.Gather(part, node.value(1), axis=chosen) for part in (data, scales, zero)
    ]
    axis = blocked if blocked < chosen else blocked - 1 + node.rank(1)
    return op.DequantizeLinear(*parts, axis=axis, block_size=int(node.attribute("block_size", 128)))


def _unpacked_rows(packed: Any, bits: int) -> Any:
    """Numbers of so many bits that are packed along the last axis."""
    size = packed.shape[-1] * 8 // bits
    return _unpacked(packed, bits, packed.size * 8 // bits).astype(np.uint8).reshape(*packed.shape[:-1], size)
