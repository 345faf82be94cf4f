"""Element types in which values are stored but nothing is computed: integers of 4 and 2 bits, floats of 8.

A value of such a type is carried by one of a type that there is at run time, which holds all its numbers exactly:
integers by 8 bits, floats by float32. Only operators that know of it see the carrier; all others refuse the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._relax import numpy_dtype

__all__ = [
    "CARRIERS",
    "FLOATS",
    "MOVES",
    "FloatFormat",
    "Stored",
    "common_type",
    "integer_limits",
    "stored",
    "to_float8",
    "to_integer",
]

CARRIERS = {
    "int4": "int8", "uint4": "uint8", "int2": "int8", "uint2": "uint8",
    "float8_e4m3fn": "float32", "float8_e4m3fnuz": "float32", "float8_e5m2": "float32", "float8_e5m2fnuz": "float32",
}  # fmt: skip

# Operators that only move elements, and so may move those of a carrier.
MOVES = frozenset(
    (
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "Pad",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    )
)


@dataclass(frozen=True)
class FloatFormat:
    """A float of 8 bits: bits of its fraction, the exponent of its smallest normal number, its largest number.

    `infinite`: whether it has infinities, else NaN stands for them. `signed_zero`: whether it has -0.
    """

    fraction: int
    exponent: int
    largest: float
    infinite: bool
    signed_zero: bool


FLOATS = {
    "float8_e4m3fn": FloatFormat(3, -6, 448.0, infinite=False, signed_zero=True),
    "float8_e4m3fnuz": FloatFormat(3, -7, 240.0, infinite=False, signed_zero=False),
    "float8_e5m2": FloatFormat(2, -14, 57344.0, infinite=True, signed_zero=True),
    "float8_e5m2fnuz": FloatFormat(2, -15, 57344.0, infinite=False, signed_zero=False),
}


@dataclass(frozen=True)
class Stored:
    """A value of type `dtype`, carried by an array or a Relax variable of type `CARRIERS[dtype]`."""

    dtype: str
    carrier: Any


def stored(array: NDArray[Any]) -> Any:
    """A constant as it stands in a graph: carried where its type is one to store in, else itself."""
    carrier = CARRIERS.get(str(array.dtype))
    return array if carrier is None else Stored(str(array.dtype), array.astype(carrier))


def common_type(values: Sequence[Any]) -> str | None:
    """The type of those values that are carried; None where there are none, or of several types."""
    types = {value.dtype for value in values if isinstance(value, Stored)}
    return types.pop() if len(types) == 1 else None


def to_float8(array: NDArray[Any], dtype: str, saturate: bool) -> NDArray[Any]:
    """The nearest numbers of a float of 8 bits, ties to even, in float32.

    `saturate` makes the largest number of what is beyond it, infinities among them; else they become the type's
    infinities, or NaN.
    """
    with np.errstate(all="ignore"):
        wide = array.astype(np.float32)
        rounded = wide.astype(numpy_dtype(dtype)).astype(np.float32)
        beyond = ~np.isfinite(rounded) & ~np.isnan(wide)
        largest = np.float32(FLOATS[dtype].largest)
        return np.where(beyond, np.copysign(largest, wide), rounded) if saturate else rounded


def to_integer(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Numbers of an integer type of less than 8 bits, in its carrier.

    Integers lose their upper bits. Floats become the nearest integer, halves away from zero, as onnxruntime has it:
    the standard leaves it open. Of what the type cannot hold they become its nearest number, of NaN 0.
    """
    small, carrier = numpy_dtype(dtype), CARRIERS[dtype]
    if array.dtype.kind in "biu":
        return array.astype(np.int64).astype(np.int8).astype(small).astype(carrier)
    limits = integer_limits(dtype)
    with np.errstate(all="ignore"):
        wide = array if array.dtype == np.float64 else array.astype(np.float32)
        whole = np.trunc(wide)
        further = whole + np.copysign(wide.dtype.type(1), wide)
        nearest = np.nan_to_num(np.where(np.abs(wide - whole) >= 0.5, further, whole), nan=0.0)
        return np.asarray(np.clip(nearest, *limits).astype(carrier))


def integer_limits(dtype: str) -> tuple[int, int]:
    """The lowest and the highest number of an integer type, also of one of less than 8 bits."""
    if dtype not in CARRIERS:
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    return (0, (1 << bits) - 1) if dtype.startswith("u") else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
