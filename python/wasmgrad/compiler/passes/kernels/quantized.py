"""Products of 8-bit integers: what the quantized convolutions and matrix products share.

The layouts are those of cpp/graph_runtime/kernels/{dot,quantized}.hpp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...._errors import InvalidArgument
from .base import Activation, round_up

__all__ = ["MAX_DEPTH", "Columns", "Quantization", "block_of_rows", "pack_dots", "packed_bytes"]

Integers = npt.NDArray[np.integer[Any]]
Result = Literal["int32", "float32", "int8", "uint8"]

# The numbers of `enum class Result` in quantized.hpp.
_RESULTS: tuple[Result, ...] = ("int32", "float32", "int8", "uint8")
_DEPTH = 4  # products of one dot
_FIELDS = 5  # of a column
_ROWS = 12  # a multiple of the rows of every tile
_PANEL_BYTES = 48 * 1024

MAX_DEPTH = 2**31 // (256 * 255)
"""Products of any 8-bit integers that int32 holds the sum of."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """How bytes are read and what becomes of the sums.

    A result of 8 bits is `clip(round(sum * scale + offset) + zero, low, high)`, ties to even; one of float32 is
    `activation(sum * scale * factor + offset + residual)`; one of int32 is the sum. `weights_shifted`: whether a zero
    point of the weights differs from 0; `has_offset`: whether an offset does.
    """

    x_signed: bool
    result: Result = "int32"
    zero: int = 0
    low: int = -128
    high: int = 255
    weights_shifted: bool = False
    has_offset: bool = True
    has_residual: bool = False
    activation: Activation = field(default_factory=Activation)

    def __post_init__(self) -> None:
        limits = {"int8": (-128, 127), "uint8": (0, 255)}.get(self.result)
        if limits is None:
            return
        if not limits[0] <= self.zero <= limits[1]:
            raise InvalidArgument(f"{self}: the zero point must be a value of the result's type")
        object.__setattr__(self, "low", max(self.low, limits[0]))
        object.__setattr__(self, "high", min(self.high, limits[1]))
        if self.low > self.high or self.has_residual or self.activation.kind != "none":
            raise InvalidArgument(f"{self}: a result of 8 bits has bounds, no residual and no activation")

    def fields(self) -> list[int]:
        """Return the fields of `struct Quantization`."""
        number = _RESULTS.index(self.result)
        bounds = [self.zero, self.low, self.high]
        flags = [int(self.x_signed), int(self.weights_shifted)]
        return [
            *flags,
            number,
            *bounds,
            int(self.has_offset),
            int(self.has_residual),
            *self.activation.fields(),
        ]


@dataclass(frozen=True, slots=True)
class Columns:
    """What belongs to each column of a product: all vectors are [n], or one number for all.

    `zeros`: zero points of the weights, as they are packed. A product is `(sum + bias) * scale + offset`.
    """

    bias: Any = 0
    zeros: Any = 0
    scale: Any = 1.0
    offset: Any = 0.0

    def pack(self, sums: Integers, groups: int, unit: int) -> npt.NDArray[np.int32]:
        """Return [groups, 5, n / groups] int32, padded to multiples of `unit`. sums: [n], of the packed weights."""
        n = sums.size
        padded = np.zeros((groups, _FIELDS, round_up(n // groups, unit)), np.int32)
        vectors = [
            np.asarray(sums, np.int32), np.asarray(self.zeros, np.int32), np.asarray(self.bias, np.int32),
            np.asarray(self.scale, np.float32).view(np.int32), np.asarray(self.offset, np.float32).view(np.int32),
        ]  # fmt: skip
        for i, vector in enumerate(vectors):
            padded[:, i, : n // groups] = np.broadcast_to(vector, (n,)).reshape(groups, -1)
        return padded


def pack_dots(weights: Integers, lanes: int) -> npt.NDArray[np.int8]:
    """Pack [..., n, k] int8 to [..., n / (2 lanes), k / 4, 2 lanes, 4], padded with zeros."""
    *batch, n, k = weights.shape
    padded = np.zeros((*batch, round_up(n, 2 * lanes), round_up(k, _DEPTH)), np.int8)
    padded[..., :n, :k] = weights
    blocks = padded.reshape(*batch, -1, 2 * lanes, padded.shape[-1] // _DEPTH, _DEPTH)
    return np.ascontiguousarray(blocks.swapaxes(-3, -2))


def packed_bytes(n: int, k: int, lanes: int) -> int:
    """Size of [n, k] weights that are packed."""
    return round_up(n, 2 * lanes) * round_up(k, _DEPTH)


def block_of_rows(rows: int, k: int) -> int:
    """Return how many rows are packed at a time: so many that their panels stay in the caches."""
    fit = _PANEL_BYTES // (2 * round_up(k, _DEPTH)) // _ROWS * _ROWS
    return min(round_up(rows, _ROWS), max(fit, _ROWS))


def gemm_scratch(rows: int, n: int, k: int, lanes: int) -> int:
    """Bytes of `multiply` in quantized_gemm.cpp."""
    depth = round_up(k, _DEPTH)
    block = block_of_rows(rows, k)
    return 4 * round_up(n, 2 * lanes) + 2 * block * depth + depth + 4 * block
