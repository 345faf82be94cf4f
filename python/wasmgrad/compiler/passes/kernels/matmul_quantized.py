"""Product of matrices of 8-bit integers with a constant or a computed right-hand side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...._errors import InvalidArgument
from .base import Descriptor, check_sizes, round_up
from .quantized import (
    MAX_DEPTH,
    Columns,
    Integers,
    Quantization,
    block_of_rows,
    gemm_scratch,
    pack_dots,
    packed_bytes,
)

__all__ = ["MatMulQuantized"]


@dataclass(frozen=True, slots=True)
class MatMulQuantized:
    """A product of a, [batch, m, k] of 8-bit integers, and b, [batch, k, n] ([batch, n, k] when `b_transposed`).

    b has no batch when not `b_batched`. A constant b is int8 and handed over as `pack(b)`; any other has 8 bits,
    `b_signed` or not, and is packed while the kernel runs. `zero`, one byte, is a's zero point, `factor` one float32.

    Raises:
        InvalidArgument: a size below 1, or so many products that int32 does not hold their sum.
    """

    m: int
    k: int
    n: int
    quantization: Quantization
    batch: int = 1
    b_is_constant: bool = True
    b_transposed: bool = False
    b_signed: bool = True
    b_batched: bool = False
    lanes: int = 4

    parameters: ClassVar[tuple[str, ...]] = (
        "x",
        "zero",
        "factor",
        "b",
        "columns",
        "residual",
        "y",
        "scratch",
    )

    def __post_init__(self) -> None:
        check_sizes(self, self.batch, self.m, self.k, self.n, self.lanes)
        if self.k > MAX_DEPTH:
            raise InvalidArgument(f"{self}: int32 holds the sums of at most {MAX_DEPTH} products")

    @property
    def symbol(self) -> str:
        """The C function."""
        return "wg_matmul_quantized"

    def descriptor(self) -> Descriptor:
        """Return the fields of `struct MatMulQuantized` in cpp/graph_runtime/kernels/matmul_quantized.cpp."""
        batch, m = self._batch_and_rows()
        flags = [int(self.b_is_constant), int(self.b_transposed), int(self.b_signed)]
        rows = block_of_rows(m, self.k)
        return np.array([batch, m, self.k, self.n, *flags, rows, *self.quantization.fields()], np.int32)

    def pack(self, b: Integers) -> npt.NDArray[np.int8]:
        """Return a constant b in the order in which the kernel reads it."""
        matrix = (self.n, self.k) if self.b_transposed else (self.k, self.n)
        shape = (self.batch, *matrix) if self.b_batched else matrix
        if b.shape != shape:
            raise InvalidArgument(f"the right-hand matrix has shape {b.shape}, expected {shape}")
        return pack_dots(b if self.b_transposed else b.swapaxes(-1, -2), self.lanes)

    def pack_columns(self, columns: Columns, b: Integers | None) -> npt.NDArray[np.int32]:
        """Return what belongs to columns; a b that is not constant is None."""
        groups = self.batch if self.b_batched and b is not None else 1
        if b is None:
            sums: Integers = np.zeros(self.n, np.int32)
        else:
            sums = b.sum(-1 if self.b_transposed else -2, dtype=np.int32).reshape(-1)
        return columns.pack(sums, groups, 2 * self.lanes)

    def scratch_bytes(self) -> int:
        """Return the memory for panels and, when b is not constant, for one packed b and its columns."""
        own = 0
        if not self.b_is_constant:
            own = 4 * 5 * round_up(self.n, 2 * self.lanes) + packed_bytes(self.n, self.k, self.lanes)
        return own + gemm_scratch(self._batch_and_rows()[1], self.n, self.k, self.lanes)

    def flops(self) -> int:
        """Return the integer operations."""
        return 2 * self.batch * self.m * self.k * self.n

    def _batch_and_rows(self) -> tuple[int, int]:
        return (self.batch, self.m) if self.b_batched else (1, self.batch * self.m)
