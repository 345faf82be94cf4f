"""Operators that work on one element at a time, with NumPy's broadcasting.

16-bit floats are computed in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax, te, tirx

from ._nn import cast, scalar, wide, widened
from ._registry import Node, converter

_FLOATS = ("float16", "bfloat16", "float32", "float64")


def is_float(dtype: str) -> bool:
    """Whether arithmetic of this type rounds."""
    return dtype in _FLOATS


def broadcast_te(node: Node, function: Callable[..., Any], *inputs: Any, name: str | None = None) -> Any:
    """Emits a kernel that applies `function` (on TIR expressions) to broadcast `inputs` (Relax expressions)."""

    def kernel(*tensors: te.Tensor) -> te.Tensor:
        shapes = [tuple(int(extent) for extent in tensor.shape) for tensor in tensors]
        shape = np.broadcast_shapes(*shapes)

        def element(*index: Any) -> Any:
            return function(
                *(
                    tensor(*_broadcast_index(index, extents))
                    for tensor, extents in zip(tensors, shapes, strict=True)
                )
            )

        return te.compute(shape, element, name=name or node.op.lower())

    return node.emit_te(kernel, *inputs)


def _broadcast_index(index: tuple[Any, ...], shape: tuple[int, ...]) -> list[Any]:
    inner = index[len(index) - len(shape) :]
    return [tirx.const(0, "int64") if extent == 1 else i for i, extent in zip(inner, shape, strict=True)]


# -- one operand ------------------------------------------------------------------------------------------------------

_UNARY = {
    "Abs": relax.op.abs,
    "Acos": relax.op.acos,
    "Acosh": relax.op.acosh,
    "Asin": relax.op.asin,
    "Asinh": relax.op.asinh,
    "Atan": relax.op.atan,
    "Atanh": relax.op.atanh,
    "Ceil": relax.op.ceil,
    "Cos": relax.op.cos,
    "Cosh": relax.op.cosh,
    "Erf": relax.op.erf,
    "Exp": relax.op.exp,
    "Floor": relax.op.floor,
    "Log": relax.op.log,
    "Neg": relax.op.negative,
    "Relu": relax.op.nn.relu,
    "Sigmoid": relax.op.sigmoid,
    "Sin": relax.op.sin,
    "Sinh": relax.op.sinh,
    "Softplus": relax.op.nn.softplus,
    "Sqrt": relax.op.sqrt,
    "Tan": relax.op.tan,
    "Tanh": relax.op.tanh,
}


def _unary(node: Node) -> Any:
    dtype = node.dtype(0)
    if node.op == "Abs" and dtype.startswith("uint"):
        return node.input(0)
    return cast(_UNARY[node.op](widened(node, 0)), wide(dtype), dtype)


for _op in _UNARY:
    converter(_op)(_unary)


@converter("Identity")
def identity(node: Node) -> Any:
    """The value itself, whatever it is."""
    return [node.value(0)]


@converter("Sign", since=9)
def sign(node: Node) -> Any:
    """-1, 0 or 1."""
    dtype = node.dtype(0)
    if dtype.startswith("uint"):
        return relax.op.minimum(node.input(0), scalar(1, dtype))
    return cast(relax.op.sign(widened(node, 0)), wide(dtype), dtype)


@converter("Reciprocal")
def reciprocal(node: Node) -> Any:
    """1 / x."""
    dtype = node.dtype(0)
    return cast(relax.op.divide(scalar(1, wide(dtype)), widened(node, 0)), wide(dtype), dtype)


@converter("Round", since=11)
def round_half_even(node: Node) -> Any:
    """To the nearest integer, halves to the even one."""
    dtype = node.dtype(0)
    rounded = broadcast_te(node, tirx.nearbyint, widened(node, 0))
    return cast(rounded, wide(dtype), dtype)


@converter("IsNaN", since=9)
def is_nan(node: Node) -> Any:
    """Whether x is not a number."""
    return broadcast_te(node, tirx.isnan, widened(node, 0))


@converter("IsInf", since=10)
def is_inf(node: Node) -> Any:
    """Whether x is infinite, of a sign that the attributes name."""
    dtype = wide(node.dtype(0))
    positive, negative = node.attribute("detect_positive", 1), node.attribute("detect_negative", 1)

    def function(x: Any) -> Any:
        limit = tirx.const(np.finfo(dtype).max, dtype)
        return tirx.any(
            tirx.const(False, "bool"), *([x > limit] if positive else []), *([x < -limit] if negative else [])
        )

    return broadcast_te(node, function, widened(node, 0))


@converter("Binarizer", domain="ai.onnx.ml")
def binarizer(node: Node) -> Any:
    """1 above a threshold, else 0."""
    dtype = node.dtype(0)
    above = relax.op.greater(node.input(0), scalar(node.attribute("threshold", 0.0), dtype))
    return relax.op.astype(above, dtype)


@converter("Not")
def logical_not(node: Node) -> Any:
    """Not x."""
    return relax.op.logical_not(node.input(0))


@converter("BitwiseNot", since=18)
def bitwise_not(node: Node) -> Any:
    """All bits flipped."""
    return relax.op.bitwise_not(node.input(0))


# -- two operands -----------------------------------------------------------------------------------------------------

_ARITHMETIC = {"Add": relax.op.add, "Sub": relax.op.subtract, "Mul": relax.op.multiply}
_LOGICAL = {"And": relax.op.logical_and, "Or": relax.op.logical_or, "Xor": relax.op.logical_xor}
_BITWISE = {
    "BitwiseAnd": relax.op.bitwise_and,
    "BitwiseOr": relax.op.bitwise_or,
    "BitwiseXor": relax.op.bitwise_xor,
}
_COMPARISON = {
    "Equal": relax.op.equal,
    "Greater": relax.op.greater,
    "GreaterOrEqual": relax.op.greater_equal,
    "Less": relax.op.less,
    "LessOrEqual": relax.op.less_equal,
}


def _arithmetic(node: Node) -> Any:
    dtype = node.dtype(0)
    return cast(_ARITHMETIC[node.op](widened(node, 0), widened(node, 1)), wide(dtype), dtype)


def _logical(node: Node) -> Any:
    return {**_LOGICAL, **_BITWISE}[node.op](node.input(0), node.input(1))


def _comparison(node: Node) -> Any:
    if node.op == "Equal" and node.dtype(0) == "bool":  # LLVM compares truth values as floats, and fails
        return relax.op.logical_not(node.emit(relax.op.logical_xor(node.input(0), node.input(1))))
    return _COMPARISON[node.op](widened(node, 0), widened(node, 1))


for _op in _ARITHMETIC:
    converter(_op, since=7)(_arithmetic)
for _op in (*_LOGICAL, *_BITWISE):
    converter(_op, since=7)(_logical)
for _op in _COMPARISON:
    converter(_op, since=7)(_comparison)


@converter("Div", since=7)
def div(node: Node) -> Any:
    """The quotient; integers are rounded toward zero, and divided by 0 they are 0."""
    dtype = node.dtype(0)
    if is_float(dtype):
        return cast(relax.op.divide(widened(node, 0), widened(node, 1)), wide(dtype), dtype)
    return broadcast_te(node, lambda x, y: _whole(tirx.truncdiv, x, y, dtype), node.input(0), node.input(1))


def _whole(divide: Callable[[Any, Any], Any], x: Any, y: Any, dtype: str) -> Any:
    """A quotient or rest of integers, also where machines have none: 0 of a division by 0.

    WebAssembly and x86 trap there, and where the lowest number is divided by -1, whose quotient wraps around to itself.
    """
    zero, one = tirx.const(0, dtype), tirx.const(1, dtype)
    if dtype.startswith("uint"):
        return tirx.Select(y == zero, zero, divide(x, tirx.Select(y == zero, one, y)))
    negated = y == tirx.const(-1, dtype)
    result = divide(x, tirx.Select(tirx.any(y == zero, negated), one, y))
    of_minus_one = zero - x if divide is tirx.truncdiv else zero
    return tirx.Select(y == zero, zero, tirx.Select(negated, of_minus_one, result))


@converter("Mod", since=10)
def mod(node: Node) -> Any:
    """The rest of a division: with the divisor's sign, or (`fmod`) with the dividend's; 0 of integers by 0."""
    dtype = node.dtype(0)
    truncate = bool(node.attribute("fmod", 0))
    if not is_float(dtype):
        function = tirx.truncmod if truncate else tirx.floormod
        return broadcast_te(node, lambda x, y: _whole(function, x, y, dtype), node.input(0), node.input(1))
    compute = wide(dtype)

    def rest(x: Any, y: Any) -> Any:
        of_dividend = tirx.call_pure_extern(compute, "fmod" if compute == "float64" else "fmodf", x, y)
        if truncate:
            return of_dividend
        zero = tirx.const(0, compute)
        apart = tirx.any(tirx.all(of_dividend < zero, y > zero), tirx.all(of_dividend > zero, y < zero))
        return tirx.Select(apart, of_dividend + y, of_dividend)

    return cast(broadcast_te(node, rest, widened(node, 0), widened(node, 1)), compute, dtype)


@converter("BitShift", since=11)
def bit_shift(node: Node) -> Any:
    """Bits moved; by less than 0 or at least the width of the type leaves none but copies of the sign."""
    left = node.attribute("direction", "LEFT") == "LEFT"
    dtype = node.dtype(0)
    width = 8 * np.dtype(dtype).itemsize
    zero, last = tirx.const(0, dtype), tirx.const(width - 1, dtype)

    def function(x: Any, y: Any) -> Any:
        within = tirx.all(y >= zero, y <= last)
        distance = tirx.Select(within, y, zero)
        shifted = x << distance if left else x >> distance
        return tirx.Select(within, shifted, zero if left or dtype.startswith("uint") else x >> last)

    return broadcast_te(node, function, node.input(0), node.input(1))


@converter("Pow", since=7)
def power(node: Node) -> Any:
    """The first operand to the power of the second, in the first one's type."""
    base, exponent = node.dtype(0), node.dtype(1)
    if not is_float(base) and not is_float(exponent):
        return broadcast_te(node, lambda x, y: _integer_power(x, y, base), node.input(0), node.input(1))
    compute = wide(base if is_float(base) else exponent)
    x = node.emit(cast(node.input(0), base, compute))
    constant = node.constant(1)
    if constant is not None and constant.size == 1 and node.rank(1) <= node.rank(0) and constant.item() == 2:
        return cast(relax.op.multiply(x, x), compute, base)
    y = node.emit(cast(node.input(1), exponent, compute))
    return cast(relax.op.power(x, y), compute, base)


def _integer_power(x: Any, y: Any, dtype: str) -> Any:
    """By squaring, modulo the width of the type; a negative exponent gives the quotient rounded toward zero."""
    one, zero = tirx.const(1, dtype), tirx.const(0, dtype)
    exponent = y.astype("int64")
    result, square = one, x
    for bit in range(6):
        odd = ((exponent >> tirx.const(bit, "int64")) & tirx.const(1, "int64")) == 1
        result = tirx.Select(odd, result * square, result)
        square = square * square
    if not dtype.startswith("uint"):
        odd = (exponent & tirx.const(1, "int64")) == 1
        minus = tirx.const(-1, dtype)
        unit = tirx.Select(x == one, one, tirx.Select(x == minus, tirx.Select(odd, minus, one), zero))
        result = tirx.Select(exponent < 0, unit, result)
    return result


# -- many operands ----------------------------------------------------------------------------------------------------


def _variadic(node: Node, function: Callable[[Any, Any], Any]) -> Any:
    dtype = node.dtype(0)
    result = widened(node, 0)
    for i in range(1, len(node.values)):
        result = node.emit(function(result, widened(node, i)))
    if node.op == "Mean":
        result = relax.op.divide(result, scalar(len(node.values), wide(dtype)))
    return cast(result, wide(dtype), dtype)


converter("Max", since=8)(lambda node: _variadic(node, relax.op.maximum))
converter("Min", since=8)(lambda node: _variadic(node, relax.op.minimum))
converter("Sum", since=8)(lambda node: _variadic(node, relax.op.add))
converter("Mean", since=8)(lambda node: _variadic(node, relax.op.add))


@converter("Where", since=9)
def where(node: Node) -> Any:
    """The second operand where the first is true, else the third."""
    return relax.op.where(node.input(0), node.input(1), node.input(2))


@converter("Clip", since=6)
def clip_by_attributes(node: Node) -> Any:
    """Limits given as attributes."""
    dtype = node.dtype(0)
    limits = np.finfo(np.float32)
    low, high = node.attribute("min", float(limits.min)), node.attribute("max", float(limits.max))
    return cast(relax.op.clip(widened(node, 0), low, high), wide(dtype), dtype)


@converter("Clip", since=11)
def clip(node: Node) -> Any:
    """Limits given as inputs; the upper one wins."""
    dtype = node.dtype(0)
    low, high = node.constant(1), node.constant(2)
    if is_float(dtype) and wide(dtype) == "float32" and low is not None and high is not None and low <= high:
        return cast(relax.op.clip(widened(node, 0), float(low), float(high)), wide(dtype), dtype)
    result = widened(node, 0)
    if node.has(1):
        result = node.emit(relax.op.maximum(result, widened(node, 1)))
    if node.has(2):
        result = node.emit(relax.op.minimum(result, widened(node, 2)))
    return cast(result, wide(dtype), dtype)
