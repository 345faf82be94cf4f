"""Gives products of 8-bit integers to our own kernels: in a Relax function they are int32 products of centred bytes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from .bindings import Bindings, constant, shape, typed, with_bindings
from .kernels import MAX_DEPTH, Columns, Conv2d, Conv2dQuantized, Kernel, MatMulQuantized, Quantization
from .match import Context, Match
from .sums import Sums, follow_sums

__all__ = [
    "BYTES",
    "before_swap",
    "cast_bytes",
    "centred",
    "constant_byte",
    "conv2d_of_bytes",
    "matmul_of_bytes",
    "move_before_centring",
]

BYTES = ("int8", "uint8")
_MOVES = ("relax.permute_dims", "relax.expand_dims", "relax.reshape")


@dataclass(frozen=True)
class Centred:
    """A tensor of int32 that is one of 8 bits less its zero point, a Relax tensor of one such byte."""

    data: Any
    zero: Any

    @property
    def dtype(self) -> Any:
        """Its type, "int8" or "uint8"."""
        return str(self.data.ty.dtype)

    @property
    def is_signed(self) -> bool:
        """Whether its bytes are signed."""
        return bool(self.dtype == "int8")


def move_before_centring(module: Any) -> Any:
    """Centred bytes that are transposed or reshaped as bytes for which that is done before."""
    bindings = Bindings(module["main"])
    rewritten: list[Any] = []
    known: dict[Any, Centred] = {}
    for position, binding in enumerate(bindings.bindings):
        source = None
        if bindings.operator(position) in _MOVES:
            moved_from = binding.value.args[0]
            source = known.get(moved_from) or centred(bindings, moved_from)
        if source is None:
            rewritten.append(binding)
            continue
        call = binding.value
        move = typed(relax.Call(call.op, [source.data, *call.args[1:]], call.attrs))
        moved = relax.DataflowVar(binding.var.name, move.ty)
        wide = relax.DataflowVar(binding.var.name, binding.var.ty)
        cast = typed(relax.op.astype(source.zero, "int32"))
        zero = relax.DataflowVar(binding.var.name, cast.ty)
        rewritten += [
            relax.VarBinding(moved, move),
            relax.VarBinding(wide, typed(relax.op.astype(moved, "int32"))),
            relax.VarBinding(zero, cast),
            relax.VarBinding(binding.var, typed(relax.op.subtract(wide, zero))),
        ]
        known[binding.var] = Centred(moved, source.zero)
    return relax.transform.DeadCodeElimination(["main"])(with_bindings(module, rewritten))


def centred(bindings: Bindings, expression: Any) -> Centred | None:
    """Whether an int32 tensor is made of bytes of one zero point."""
    position = bindings.producer(expression)
    if position is None:
        return None
    call = bindings.value(position)
    if bindings.operator(position) != "relax.subtract":
        data = cast_bytes(bindings, expression)
        return None if data is None else Centred(data, constant_byte(0, data))
    data = cast_bytes(bindings, call.args[0])
    if data is None or prod(shape(call.args[1])) != 1 or shape(expression) != shape(data):
        return None
    number = constant(call.args[1])
    if number is not None:
        limits = np.iinfo(str(data.ty.dtype))
        value = int(number.reshape(()))
        return Centred(data, constant_byte(value, data)) if limits.min <= value <= limits.max else None
    zero = cast_bytes(bindings, call.args[1])
    return None if zero is None or str(zero.ty.dtype) != str(data.ty.dtype) else Centred(data, zero)


def constant_byte(value: int, like: Any) -> Any:
    """A Relax constant of one element of the type that `like` has."""
    return relax.const(np.array([value], str(like.ty.dtype)))


def cast_bytes(bindings: Bindings, expression: Any) -> Any | None:
    """The tensor of 8 bits that was cast to this one of int32, perhaps reshaped after (where it is one number)."""
    position = bindings.producer(expression)
    while (
        position is not None
        and bindings.operator(position) == "relax.reshape"
        and prod(shape(expression)) == 1
    ):
        expression = bindings.value(position).args[0]
        position = bindings.producer(expression)
    if position is None or bindings.operator(position) != "relax.astype":
        return None
    data = bindings.value(position).args[0]
    return data if str(data.ty.dtype) in BYTES else None


def conv2d_of_bytes(context: Context, position: int) -> Match | None:
    """A convolution of centred bytes with constant weights that are int8, or are that once their middle is 0."""
    bindings = context.bindings
    call = bindings.value(position)
    weights, attributes = constant(call.args[1]), call.attrs
    layouts = (attributes.data_layout, attributes.kernel_layout, attributes.out_layout)
    data = centred(bindings, call.args[0])
    if data is None or weights is None or weights.dtype != np.int32 or layouts != ("NHWC", "OHWI", "NHWC"):
        return None
    around = _as_int8(weights, 0)
    if around is None or prod(weights.shape[1:]) > MAX_DEPTH:
        return None
    packed, zeros = around
    batch, in_h, in_w, in_c = shape(data.data)
    _, out_h, out_w, out_c = shape(bindings.variable(position))
    (stride_h, stride_w), (dilation_h, dilation_w) = (
        map(int, attributes.strides),
        map(int, attributes.dilation),
    )
    pad_top, pad_left = (int(width) for width in attributes.padding[:2])
    geometry = Conv2d(
        batch, in_h, in_w, in_c, out_h, out_w, out_c, weights.shape[1], weights.shape[2], stride_h, stride_w,
        dilation_h, dilation_w, pad_top, pad_left, int(attributes.groups), lanes=context.lanes,
    )  # fmt: skip
    found = follow_sums(bindings, position, context.taken, _largest(weights, 0))
    kernel = Conv2dQuantized(geometry, _quantization(data, found, bool(zeros.any())))
    columns = kernel.pack_columns(_columns(found, zeros), packed)
    return _match(kernel, data, found, relax.const(kernel.pack(packed)), columns)


def matmul_of_bytes(context: Context, position: int) -> Match | None:
    """A product of centred bytes with a constant, or with centred bytes."""
    bindings = context.bindings
    left, right = bindings.value(position).args
    data, matrix = centred(bindings, left), constant(right)
    if data is None or len(shape(left)) < 2 or len(shape(right)) < 2:
        return None
    *leading, rows, depth = shape(left)
    batched = len(shape(right)) > 2
    if depth > MAX_DEPTH or (batched and list(shape(right)[:-2]) != leading):
        return None
    if batched and prod(leading) == 1 and matrix is not None:
        matrix, batched = matrix.reshape(matrix.shape[-2:]), False
    operand, zeros, transposed, b_signed = right, np.zeros(1, np.int64), False, True
    packed: NDArray[np.int8] | None = None
    if matrix is not None:
        around = _as_int8(matrix, -1) if matrix.dtype == np.int32 and not batched else None
        if around is None:
            return None
        packed, zeros = around
    else:
        source, transposed = before_swap(bindings, right)
        other = centred(bindings, source)
        zero = None if other is None else constant(other.zero)
        if other is None or zero is None:
            return None
        operand, b_signed = other.data, other.is_signed
        zeros = zero.astype(np.int64).reshape(1) - (0 if b_signed else 128)
    largest = 255 * 255 * depth if matrix is None else _largest(matrix, -1)
    found = follow_sums(bindings, position, context.taken, largest)
    kernel = MatMulQuantized(
        rows, depth, shape(right)[-1], _quantization(data, found, bool(zeros.any())), prod(leading),
        b_is_constant=matrix is not None, b_transposed=transposed, b_signed=b_signed, b_batched=batched,
        lanes=context.lanes,
    )  # fmt: skip
    columns = kernel.pack_columns(_columns(found, zeros), packed)
    return _match(
        kernel, data, found, operand if packed is None else relax.const(kernel.pack(packed)), columns
    )


def before_swap(bindings: Bindings, expression: Any) -> tuple[Any, bool]:
    """A matrix before its last two axes were swapped, when that is how it was made."""
    position = bindings.producer(expression)
    if position is None or bindings.operator(position) != "relax.permute_dims":
        return expression, False
    call, last = bindings.value(position), len(shape(expression)) - 1
    swap = [*range(last - 1), last, last - 1]
    return (
        (call.args[0], True) if [int(axis) for axis in call.attrs.axes or ()] == swap else (expression, False)
    )


def _largest(weights: NDArray[np.int32], axis: int) -> NDArray[np.int64]:
    """What sums of products with centred bytes cannot exceed, for each index of the axis."""
    others = tuple(i for i in range(weights.ndim) if i != axis % weights.ndim)
    return np.asarray(255 * np.abs(weights.astype(np.int64)).sum(others), np.int64)


def _as_int8(weights: NDArray[np.int32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.int64]] | None:
    """Weights as int8, and the zero point of each index of the axis, 0 where it can be; None where they do not fit."""
    others = tuple(i for i in range(weights.ndim) if i != axis % weights.ndim)
    low, high = weights.min(others, keepdims=True), weights.max(others, keepdims=True)
    fits = (low >= -128) & (high <= 127)
    if np.any(high.astype(np.int64) - low > 255):
        return None
    zeros = np.where(fits, 0, -128 - low.astype(np.int64))
    return (weights + zeros).astype(np.int8), zeros.reshape(-1)


def _quantization(data: Centred, found: Sums, weights_shifted: bool) -> Quantization:
    bounds = (int(found.low), int(found.high)) if found.dtype in BYTES else (-128, 255)
    return Quantization(
        data.is_signed, found.dtype, found.zero, *bounds, weights_shifted=weights_shifted,
        has_offset=bool(found.offset.any()), has_residual=found.residual is not None, activation=found.activation,
    )  # fmt: skip


def _columns(found: Sums, zeros: NDArray[np.int64]) -> Columns:
    return Columns(found.bias, zeros, found.scale, found.offset)


def _match(kernel: Kernel, data: Centred, found: Sums, weights: Any, columns: NDArray[np.int32]) -> Match:
    factor = relax.const(np.ones(1, np.float32)) if found.factor is None else found.factor
    operands = [data.data, data.zero, factor, weights, relax.const(columns), found.residual]
    return Match(kernel, operands, found.last, found.absorbed)
