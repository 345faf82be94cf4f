"""Floats to 8 bits, sums of quantized tensors, and the extremes that dynamic quantization needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ...._errors import InvalidArgument
from .base import Descriptor, bits, check_sizes

__all__ = ["AddQuantized", "Extreme", "Quantize"]

Bytes = Literal["int8", "uint8"]


@dataclass(frozen=True, slots=True)
class Quantize:
    """`y = clip(round(x / scale) + zero, low, high)` of `count` floats, ties to even; NaN becomes 0.

    The scale is one float32, the zero point one byte of the result's type.
    """

    count: int
    result: Bytes
    low: int
    high: int

    parameters: ClassVar[tuple[str, ...]] = ("x", "scale", "zero", "y", "scratch")
    symbol: ClassVar[str] = "wg_quantize"

    def __post_init__(self) -> None:
        check_sizes(self, self.count)
        _check_bounds(self, self.result, self.low, self.high)

    def descriptor(self) -> Descriptor:
        """Return the fields of `struct Quantize` in cpp/graph_runtime/kernels/quantize.cpp."""
        return np.array([self.count, int(self.result == "int8"), self.low, self.high], np.int32)

    def scratch_bytes(self) -> int:
        """Return 0: none is needed."""
        return 0

    def flops(self) -> int:
        """Return one operation for each value."""
        return self.count


@dataclass(frozen=True, slots=True)
class AddQuantized:
    """`y = clip(round(a * a_scale + b * b_scale + offset) + zero, low, high)` of `count` bytes, ties to even."""

    count: int
    a_type: Bytes
    b_type: Bytes
    result: Bytes
    zero: int
    low: int
    high: int
    a_scale: float
    b_scale: float
    offset: float

    parameters: ClassVar[tuple[str, ...]] = ("a", "b", "y", "scratch")
    symbol: ClassVar[str] = "wg_add_quantized"

    def __post_init__(self) -> None:
        check_sizes(self, self.count)
        _check_bounds(self, self.result, self.low, self.high)
        _check_bounds(self, self.result, self.zero, self.zero)

    def descriptor(self) -> Descriptor:
        """Return the fields of `struct AddQuantized` in cpp/graph_runtime/kernels/quantize.cpp."""
        signs = [int(dtype == "int8") for dtype in (self.a_type, self.b_type, self.result)]
        numbers = [bits(value) for value in (self.a_scale, self.b_scale, self.offset)]
        return np.array([self.count, *signs, self.zero, self.low, self.high, *numbers], np.int32)

    def scratch_bytes(self) -> int:
        """Return 0: none is needed."""
        return 0

    def flops(self) -> int:
        """Return the three operations of each value."""
        return 3 * self.count


@dataclass(frozen=True, slots=True)
class Extreme:
    """The largest or the smallest of `count` floats, NaN when one is."""

    kind: Literal["max", "min"]
    count: int

    parameters: ClassVar[tuple[str, ...]] = ("x", "y", "scratch")

    def __post_init__(self) -> None:
        check_sizes(self, self.count)

    @property
    def symbol(self) -> str:
        """The C function."""
        return f"wg_{self.kind}"

    def descriptor(self) -> Descriptor:
        """Return [count]."""
        return np.array([self.count], np.int32)

    def scratch_bytes(self) -> int:
        """Return 0: none is needed."""
        return 0

    def flops(self) -> int:
        """Return one operation for each value."""
        return self.count


def _check_bounds(kernel: object, dtype: Bytes, low: int, high: int) -> None:
    limits = np.iinfo(dtype)
    if not limits.min <= low <= high <= limits.max:
        raise InvalidArgument(
            f"{kernel}: bounds and zero point must be values of the result's type, in their order"
        )
