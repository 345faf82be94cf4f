"""Matrix multiplication with a constant or a computed right-hand side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ...._errors import InvalidArgument
from .base import Activation, Descriptor, Tensor, check_sizes, round_up
from .gemm import Blocking, pack_bias, pack_columns

__all__ = ["MatMul"]


@dataclass(frozen=True, slots=True)
class MatMul:
    """A product `y = activation(a @ b + bias + residual)` of row-major matrices.

    a is [batch, m, k], y and the residual are [batch, m, n], the bias is [n]. b is [batch, k, n] ([batch, n, k] when
    `b_transposed`), without the batch when not `b_batched`: one b for all. A constant b is handed over as `pack(b)`,
    any other as it is: it is packed while the kernel runs.

    Raises:
        InvalidArgument: a size below 1.
    """

    m: int
    k: int
    n: int
    batch: int = 1
    activation: Activation = field(default_factory=Activation)
    has_residual: bool = False
    b_is_constant: bool = True
    b_transposed: bool = False
    b_batched: bool = False
    lanes: int = 4

    parameters: ClassVar[tuple[str, ...]] = ("a", "b", "bias", "residual", "y", "scratch")

    def __post_init__(self) -> None:
        check_sizes(self, self.batch, self.m, self.k, self.n, self.lanes)

    @property
    def symbol(self) -> str:
        """The C function."""
        return "wg_matmul"

    def descriptor(self) -> Descriptor:
        """Return the fields of `struct MatMul` in cpp/graph_runtime/kernels/matmul.cpp."""
        batch, m = self._batch_and_rows()
        blocking = self._blocking()
        flags = [int(self.has_residual), int(self.b_is_constant), int(self.b_transposed)]
        fields = [batch, m, self.k, self.n, *flags, *self.activation.fields(), blocking.depth, blocking.rows]
        return np.array(fields, np.int32)

    def pack(self, b: Tensor) -> Tensor:
        """Return a constant b in the order in which the kernel reads it: [panels, k, columns of a panel]."""
        matrix = (self.n, self.k) if self.b_transposed else (self.k, self.n)
        shape = (self.batch, *matrix) if self.b_batched else matrix
        if b.shape != shape:
            raise InvalidArgument(f"the right-hand matrix has shape {b.shape}, expected {shape}")
        packed = pack_columns(b.swapaxes(-1, -2) if self.b_transposed else b, self.lanes)
        return packed.reshape(-1, *packed.shape[-2:])

    def pack_factors(self, factors: Tensor) -> Tensor:
        """Return [n] factors of a packed b, for each column of each panel."""
        panels = self.batch if self.b_batched else 1
        packed = pack_columns(np.tile(factors, (panels, 1, 1)), self.lanes)
        return packed.reshape(-1, 2 * self.lanes)

    def pack_bias(self, bias: Tensor | None) -> Tensor:
        """Return the [n] biases, padded; the kernel always adds one."""
        if bias is not None and bias.size != self.n:
            raise InvalidArgument(f"the bias has {bias.size} values, expected {self.n}")
        return pack_bias(bias, 1, self.n, self.lanes)

    def scratch_bytes(self) -> int:
        """Return the memory for packed rows and, when b is not constant, for one packed b."""
        packed_b = 0 if self.b_is_constant else 4 * self.k * round_up(self.n, 2 * self.lanes)
        return self._blocking().scratch_bytes() + packed_b

    def flops(self) -> int:
        """Return the floating-point operations."""
        return 2 * self.batch * self.m * self.k * self.n

    def _batch_and_rows(self) -> tuple[int, int]:
        return (self.batch, self.m) if self.b_batched else (1, self.batch * self.m)

    def _blocking(self) -> Blocking:
        return Blocking.choose(self._batch_and_rows()[1], self.k, self.n, self.lanes)
