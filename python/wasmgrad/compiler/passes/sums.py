"""What follows sums of products of integers and can be computed with them: scale, offset, rounding to 8 bits.

It only finds; the offloading pass replaces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bindings import Bindings, constant, is_float32, shape
from .epilogue import Chain, activation_after, per_channel
from .kernels import Activation

__all__ = ["Sums", "bytes_after", "follow_sums", "rounding_after"]

_FLOATS = 2.0**100  # factors and offsets beyond are left alone: products of them would leave float32's range


@dataclass(kw_only=True)
class Sums(Chain):
    """What becomes of sums [..., n]; `dtype` is the type of the result.

    float32: `activation((sum + bias) * scale * factor + offset + residual)`; 8 bits: `clip(round((sum + bias) * scale +
    offset) + zero, low, high)`; int32: `sum + bias`. scale and offset: [n] float64; factor: a Relax tensor of one
    element, or None. zero_tensor: a Relax tensor of float32 in place of the zero point, which no product has.
    room: [n], how large a bias may be for sums to stay in int32.
    """

    room: NDArray[np.int64]
    bias: NDArray[np.int64]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    dtype: Any = "int32"
    factor: Any = None
    residual: Any = None
    zero: int = 0
    zero_tensor: Any = None
    low: float = -math.inf
    high: float = math.inf


def follow_sums(
    bindings: Bindings, anchor: int, taken: Container[int], largest: NDArray[np.int64] | int
) -> Sums:
    """The longest that follows the int32 tensor of the binding `anchor`, without bindings that are `taken`.

    largest: what the sums' absolute values cannot exceed, [n] or one number.
    """
    n = shape(bindings.variable(anchor))[-1]
    room = np.broadcast_to(2**31 - 1 - np.asarray(largest, np.int64), (n,))
    found = Sums(last=anchor, bias=np.zeros(n, np.int64), scale=np.ones(n), offset=np.zeros(n), room=room)
    walk = _Walk(bindings, taken, found)
    while walk.step(_bias):
        pass
    if not walk.step(_to_float32):
        return found
    while walk.step(_linear):
        pass
    activation_after(bindings, found, taken)
    real = replace(found, absorbed=list(found.absorbed))
    bounded = found.activation.kind in ("none", "relu", "clip")
    if (
        bounded
        and found.factor is None
        and found.residual is None
        and _rounded(walk)
        and found.zero_tensor is None
    ):
        return found
    return real


class _Walk:
    """A place in a chain of bindings, each of which is the only one that uses the one before."""

    def __init__(self, bindings: Bindings, taken: Container[int], found: Sums) -> None:
        self.bindings = bindings
        self.taken = taken
        self.found = found

    def step(self, absorb: Callable[[_Walk, int, Any], bool]) -> bool:
        """Goes on to the next binding if `absorb` (of the walk, its position, its other operand) takes it."""
        users = self.bindings.users(self.found.last)
        if len(users) != 1 or users[0] in self.taken:
            return False
        result, call = self.bindings.variable(self.found.last), self.bindings.value(users[0])
        if not hasattr(call, "args") or shape(self.bindings.variable(users[0])) != shape(result):
            return False
        others = [argument for argument in call.args if not argument.same_as(result)]
        if len(others) != len(call.args) - 1 or not absorb(self, users[0], others[0] if others else None):
            return False
        self.found.take(users[0])
        return True

    def first(self, position: int) -> bool:
        """Whether the chain is the first operand of that binding."""
        return bool(self.bindings.value(position).args[0].same_as(self.bindings.variable(self.found.last)))

    def dtype(self, position: int) -> str:
        return str(self.bindings.variable(position).ty.dtype)


def _bias(walk: _Walk, position: int, other: Any) -> bool:
    array = constant(other)
    if walk.bindings.operator(position) != "relax.add":
        return False
    vector = per_channel(array, len(walk.found.bias), "int32")
    if vector is None:
        return False
    bias = walk.found.bias + vector.astype(np.int64)
    if np.any(np.abs(bias) >= 2**31):
        return False
    walk.found.bias = bias
    return True


def _to_float32(walk: _Walk, position: int, _: Any) -> bool:
    if walk.bindings.operator(position) != "relax.astype" or walk.dtype(position) != "float32":
        return False
    walk.found.dtype = "float32"
    return True


def _linear(walk: _Walk, position: int, other: Any) -> bool:
    """An addition, subtraction, multiplication or division."""
    operator, found = walk.bindings.operator(position), walk.found
    if operator not in ("relax.add", "relax.subtract", "relax.multiply", "relax.divide"):
        return False
    if found.residual is not None or other is None or not is_float32(other):
        return False
    array = constant(other)
    vector = per_channel(array, len(found.bias))
    if operator == "relax.multiply":
        return _scaled(walk, other, vector)
    if operator == "relax.divide":
        with np.errstate(divide="ignore"):
            return (
                walk.first(position) and vector is not None and _times(found, 1 / vector.astype(np.float64))
            )
    if operator == "relax.subtract" and not walk.first(position):
        return False
    if vector is not None:
        sign = -1 if operator == "relax.subtract" else 1
        return _plus(found, sign * vector.astype(np.float64))
    if (
        operator == "relax.add"
        and array is None
        and shape(other) == shape(walk.bindings.variable(found.last))
    ):
        found.residual = other
        return True
    return False


def _scaled(walk: _Walk, other: Any, vector: NDArray[Any] | None) -> bool:
    found = walk.found
    if vector is not None:
        return _times(found, vector.astype(np.float64))
    if found.factor is not None or np.any(found.offset):
        return False
    if math.prod(shape(other)) == 1:
        found.factor = other
        return True
    producer = walk.bindings.producer(other)  # a factor of the run times a vector of the model
    if producer is None or walk.bindings.operator(producer) != "relax.multiply":
        return False
    operands = walk.bindings.value(producer).args
    for factor, values in (operands, reversed(operands)):
        array = constant(values)
        vector = per_channel(array, len(found.bias))
        if (
            vector is not None
            and constant(factor) is None
            and math.prod(shape(factor)) == 1
            and is_float32(factor)
        ):
            if not _times(found, vector.astype(np.float64)):
                return False
            found.factor = factor
            return True
    return False


def _times(found: Sums, vector: NDArray[np.float64]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        scale, offset = found.scale * vector, found.offset * vector
    if not _in_range(scale) or not _in_range(offset):
        return False
    found.scale, found.offset = scale, offset
    return True


def _plus(found: Sums, vector: NDArray[np.float64]) -> bool:
    if not _in_range(found.offset + vector):
        return False
    found.offset = found.offset + vector
    return True


def _in_range(vector: NDArray[np.float64]) -> bool:
    size = np.abs(vector)
    return bool(np.all((size == 0) | ((size >= 1 / _FLOATS) & (size <= _FLOATS))))


def _rounded(walk: _Walk) -> bool:
    """Takes a division by the steps of the result, and all that `rounding_after` does."""
    found = walk.found
    found.low = 0.0 if found.activation.kind == "relu" else found.activation.low
    found.high = found.activation.high
    walk.step(_one_division)
    if not _to_steps(walk):
        return False
    found.activation = Activation()
    _offset_as_bias(found)
    return True


def rounding_after(bindings: Bindings, anchor: int, taken: Container[int]) -> Sums | None:
    """Rounding, zero point, bounds, and the change to 8 bits, after the float32 tensor of the binding `anchor`.

    None where something else follows.
    """
    one = np.ones(1)
    found = Sums(
        last=anchor, room=np.zeros(1, np.int64), bias=np.zeros(1, np.int64), scale=one, offset=0 * one
    )
    return found if _to_steps(_Walk(bindings, taken, found)) else None


def bytes_after(bindings: Bindings, anchor: int, taken: Container[int]) -> Sums | None:
    """An activation with bounds, a division by steps and all that `rounding_after` does; None where something else is.

    scale is the inverse of the steps, [1].
    """
    one = np.ones(1)
    found = Sums(
        last=anchor, room=np.zeros(1, np.int64), bias=np.zeros(1, np.int64), scale=one, offset=0 * one
    )
    activation_after(bindings, found, taken)
    bounded = found.activation.kind in ("none", "relu", "clip")
    return (
        found if bounded and _rounded(_Walk(bindings, taken, found)) and found.zero_tensor is None else None
    )


def _to_steps(walk: _Walk) -> bool:
    found = walk.found
    if not walk.step(_round):
        return False
    walk.step(_zero_point)
    bounds: dict[str | None, float] = {}
    while walk.step(lambda walk, position, other: _bound(walk, position, other, bounds)):
        pass
    if bounds.keys() != {"relax.maximum", "relax.minimum"}:
        return False
    low, high = bounds["relax.maximum"], bounds["relax.minimum"]
    walk.step(_to_int32)
    if not walk.step(_to_bytes):
        return False
    limits = np.iinfo(found.dtype)
    if not limits.min <= low <= high <= limits.max or not limits.min <= found.zero <= limits.max:
        return False
    found.low = max(low, min(np.rint(found.low) + found.zero, high))
    found.high = min(high, max(np.rint(found.high) + found.zero, low))
    return found.low <= found.high


def _offset_as_bias(found: Sums) -> None:
    """An offset of whole steps of the sums, as quantizers write a bias, is added to the sums, exactly."""
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(found.offset == 0, 0.0, found.offset / found.scale)
    whole = np.rint(steps)
    if not np.all(np.isfinite(steps)) or not np.all(np.abs(steps - whole) <= 1e-3 + 1e-6 * np.abs(whole)):
        return
    bias = whole.astype(np.int64) + found.bias
    if np.all(np.abs(bias) <= found.room):
        found.bias, found.offset = bias, np.zeros_like(found.offset)


def _one_division(walk: _Walk, position: int, other: Any) -> bool:
    """By one number, which bounds are divided by too."""
    array = constant(other)
    operator = walk.bindings.operator(position)
    if array is None or array.size != 1 or array.dtype != np.float32 or not float(array.reshape(())) > 0:
        return False
    if operator not in ("relax.divide", "relax.multiply") or (
        operator == "relax.divide" and not walk.first(position)
    ):
        return False
    number = float(array.reshape(()))
    factor = 1 / number if operator == "relax.divide" else number
    if not _times(walk.found, np.full(1, factor)):
        return False
    walk.found.low, walk.found.high = walk.found.low * factor, walk.found.high * factor
    return True


def _round(walk: _Walk, position: int, _: Any) -> bool:
    return walk.bindings.operator(position) == "relax.round"


def _zero_point(walk: _Walk, position: int, other: Any) -> bool:
    if walk.bindings.operator(position) != "relax.add" or other is None or math.prod(shape(other)) != 1:
        return False
    array = constant(other)
    if array is None:
        walk.found.zero_tensor = other
        return True
    number = float(array.reshape(()))
    if not number.is_integer() or abs(number) > 255:
        return False
    walk.found.zero = int(number)
    return True


def _bound(walk: _Walk, position: int, other: Any, bounds: dict[str | None, float]) -> bool:
    array, operator = constant(other), walk.bindings.operator(position)
    if (
        operator not in ("relax.maximum", "relax.minimum")
        or operator in bounds
        or array is None
        or array.size != 1
    ):
        return False
    number = float(array.reshape(()))
    if not number.is_integer():
        return False
    bounds[operator] = number
    return True


def _to_int32(walk: _Walk, position: int, _: Any) -> bool:
    return walk.bindings.operator(position) == "relax.astype" and walk.dtype(position) == "int32"


def _to_bytes(walk: _Walk, position: int, _: Any) -> bool:
    if walk.bindings.operator(position) != "relax.astype" or walk.dtype(position) not in ("int8", "uint8"):
        return False
    walk.found.dtype = walk.dtype(position)
    return True
