"""Gives changes to 8 bits, sums of quantized tensors, and the extremes of tensors, to our own kernels."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import numpy as np

from .bindings import Bindings, constant, is_float32, shape
from .kernels import AddQuantized, Extreme, Quantize
from .match import Context, Match
from .quantized import Centred, cast_bytes, centred, constant_byte
from .sums import bytes_after, rounding_after

__all__ = ["addition_of_bytes", "extreme", "quantization"]

_MIN_ELEMENTS = 16  # below, a call costs more than the arithmetic
_LARGEST_SCALE = 2.0**50  # and its inverse is the smallest: sums stay floats


def quantization(context: Context, position: int) -> Match | None:
    """A division by one number, rounding, a zero point, bounds, and the change to 8 bits."""
    bindings = context.bindings
    x, scale = bindings.value(position).args
    count = prod(shape(x))
    if not is_float32(x) or prod(shape(scale)) != 1 or count < _MIN_ELEMENTS:
        return None
    if shape(x) != shape(bindings.variable(position)):
        return None
    found = rounding_after(bindings, position, context.taken)
    if found is None:
        return None
    result = bindings.variable(found.last)
    zero = constant_byte(found.zero, result)
    if found.zero_tensor is not None:
        zero = cast_bytes(bindings, found.zero_tensor)
        if zero is None or str(zero.ty.dtype) != found.dtype:
            return None
    kernel = Quantize(count, found.dtype, int(found.low), int(found.high))
    return Match(kernel, [x, scale, zero], found.last, found.absorbed)


def addition_of_bytes(context: Context, position: int) -> Match | None:
    """The sum of two dequantized tensors that is quantized again."""
    bindings = context.bindings
    terms = [_dequantized(bindings, each) for each in bindings.value(position).args]
    if any(term is None for term in terms):
        return None
    (a, a_scale), (b, b_scale) = (term for term in terms if term is not None)
    extents = shape(bindings.variable(position))
    found = bytes_after(bindings, position, context.taken)
    if found is None or not shape(a.data) == shape(b.data) == extents or prod(extents) < _MIN_ELEMENTS:
        return None
    factor = float(found.scale[0])
    zeros = [constant(each.zero) for each in (a, b)]
    if zeros[0] is None or zeros[1] is None:
        return None
    offset = -(float(zeros[0][0]) * a_scale + float(zeros[1][0]) * b_scale) * factor
    kernel = AddQuantized(
        prod(extents), a.dtype, b.dtype, found.dtype, found.zero, int(found.low), int(found.high), a_scale * factor,
        b_scale * factor, offset,
    )  # fmt: skip
    return Match(kernel, [a.data, b.data], found.last, found.absorbed)


def _dequantized(bindings: Bindings, expression: Any) -> tuple[Centred, float] | None:
    """A tensor of centred bytes times one number."""
    position = bindings.producer(expression)
    if position is None or bindings.operator(position) != "relax.multiply":
        return None
    cast, factor = bindings.value(position).args
    number, producer = constant(factor), bindings.producer(cast)
    if number is None or number.size != 1 or number.dtype != np.float32 or producer is None:
        return None
    if bindings.operator(producer) != "relax.astype":
        return None
    source, scale = centred(bindings, bindings.value(producer).args[0]), float(number.reshape(()))
    ordinary = 1 / _LARGEST_SCALE <= abs(scale) <= _LARGEST_SCALE
    return (source, scale) if source is not None and ordinary else None


def extreme(context: Context, position: int) -> Match | None:
    """The largest or the smallest of all elements."""
    bindings = context.bindings
    call = bindings.value(position)
    count = prod(shape(call.args[0]))
    if prod(shape(bindings.variable(position))) != 1 or count < _MIN_ELEMENTS:
        return None
    kind: Literal["max", "min"] = "max" if bindings.operator(position) == "relax.max" else "min"
    return Match(Extreme(kind, count), [call.args[0]], position)
