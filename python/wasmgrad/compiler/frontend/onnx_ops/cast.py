"""Changes of element type."""

from __future__ import annotations

import math
from typing import Any

from tvm import relax, tirx

from ..._casts import converted as converted_constant
from ._nn import wide
from ._registry import CARRIERS, DTYPES, Node, Stored, converter, dtype_name, numpy_dtype
from ._stored import FLOATS, integer_limits, to_float8, to_integer
from .elementwise import broadcast_te


def converted(node: Node, x: Any, source: str, target: str) -> Any:
    """`x` of type `source` as `target`; floats are rounded to the nearest, integers wrap around."""
    for dtype in (source, target):
        if dtype not in DTYPES:
            node.refuse(f"tensors of {dtype} are not supported")
    if source == target:
        return x
    if target == "bool":
        return broadcast_te(node, lambda value: value != tirx.const(0, source), x, name="to_bool")
    if target == "bfloat16" or (source == "bfloat16" and target != "float32"):
        x = node.emit(relax.op.astype(x, "float32"))
    return relax.op.astype(x, target)


@converter("Cast", since=6)
def cast_to(node: Node) -> Any:
    """To the type that an attribute names."""
    return _cast(node, dtype_name(node.attribute("to")))


@converter("CastLike", since=15)
def cast_like(node: Node) -> Any:
    """To the type of another tensor."""
    return _cast(node, node.dtype(1))


def _cast(node: Node, target: str) -> Any:
    saturate = bool(node.attribute("saturate", 1))
    if node.dtype(0) == target:
        return [node.value(0)]
    inner = node.carried()
    constant = inner.constant(0)
    if constant is None:
        if target in FLOATS:
            x = node.emit(converted(node, inner.input(0), inner.dtype(0), "float32"))
            return to_float8_at_run_time(node, x, target, saturate)
        if target in CARRIERS:
            return _to_integer_at_run_time(inner, target)
        return converted(inner, inner.input(0), inner.dtype(0), target)
    if target in FLOATS:
        return Stored(target, to_float8(constant, target, saturate))
    if target in CARRIERS:
        return Stored(target, to_integer(constant, target))
    if inner.dtype(0) in DTYPES and target in DTYPES:
        return converted_constant(constant, numpy_dtype(target))
    return converted(inner, inner.input(0), inner.dtype(0), target)


def to_float8_at_run_time(node: Node, x: Any, dtype: str, saturate: bool) -> Stored:
    """What `to_float8` makes of a Relax tensor of float32."""
    form = FLOATS[dtype]
    largest, zero = tirx.const(form.largest, "float32"), tirx.const(0.0, "float32")
    beyond = math.inf if form.infinite else math.nan
    limit = largest if saturate else tirx.const(beyond, "float32")

    def rounded(x: Any) -> Any:
        # A multiple of the power of two that the last place counts: of x's own exponent, or of the lowest one.
        exponent = (tirx.reinterpret("uint32", x) >> _bits(23)) & _bits(255)
        exponent = tirx.max(exponent, _bits(127 + form.exponent))
        place = tirx.reinterpret("float32", (exponent - _bits(form.fraction)) << _bits(23))
        y = tirx.nearbyint(x / place) * place
        y = tirx.Select(y > largest, limit, tirx.Select(y < -largest, -limit, y))
        return y if form.signed_zero else tirx.Select(y == zero, zero, y)

    return Stored(dtype, broadcast_te(node, rounded, x, name="to_float8"))


def _bits(value: int) -> Any:
    return tirx.const(value, "uint32")


def _to_integer_at_run_time(node: Node, dtype: str) -> Stored:
    """What `to_integer` makes of input 0."""
    source, carrier = node.dtype(0), CARRIERS[dtype]
    if source == "bool" or "int" in source:
        x = node.input(0) if source == carrier else node.emit(relax.op.astype(node.input(0), carrier))
        unused = tirx.const(
            8 - int(integer_limits(dtype)[1] - integer_limits(dtype)[0]).bit_length(), carrier
        )
        return Stored(dtype, broadcast_te(node, lambda value: (value << unused) >> unused, x, name="wrapped"))
    work = wide(source)
    x = node.emit(converted(node, node.input(0), source, work))

    def nearest(x: Any) -> Any:
        whole = tirx.trunc(x)
        half, one = tirx.const(0.5, work), tirx.const(1.0, work)
        further = tirx.Select(x < tirx.const(0.0, work), whole - one, whole + one)
        return tirx.Select(tirx.abs(x - whole) >= half, further, whole)

    whole = broadcast_te(node, nearest, x, name="nearest")
    return Stored(dtype, node.emit(clipped(whole, dtype)))


def clipped(value: Any, dtype: str) -> Any:
    """A Relax tensor of whole floats as an integer type, or the carrier of one; NaN becomes 0."""
    low, high = integer_limits(dtype)
    carrier = CARRIERS.get(dtype, dtype)
    within = relax.op.clip(value, low, high)
    if carrier in {"int8", "uint8", "int16", "uint16"}:
        within = relax.op.astype(within, "int32")  # which processors convert several floats to at a time
    return relax.op.astype(within, carrier)


@converter("BitCast", since=1)
def bit_cast(node: Node) -> Any:
    """The same bits as another type of the same width."""
    source, target = node.dtype(0), dtype_name(node.attribute("to"))
    for dtype in (source, target):
        if dtype not in DTYPES:
            node.refuse(f"tensors of {dtype} are not supported")
    if "bool" in (source, target):  # held in bytes, but one bit while computing
        return converted(node, node.input(0), source, target)
    return broadcast_te(node, lambda x: tirx.reinterpret(target, x), node.input(0))
