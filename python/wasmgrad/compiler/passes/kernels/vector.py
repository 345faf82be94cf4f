"""Kernels that read rows of floats: element-wise functions, softmax, layer normalization, transposition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from ...._errors import InvalidArgument
from .base import Descriptor, Tensor, bits, check_sizes

__all__ = ["LayerNorm", "Softmax", "Transpose", "Unary", "UnaryFunction"]

UnaryFunction = Literal["exp", "log", "erf", "tanh", "sigmoid", "swish", "hardswish", "gelu"]


@dataclass(frozen=True, slots=True)
class Unary:
    """`y = function(x)` for each of `count` floats; y may be x. "gelu" is the exact one, by erf."""

    function: UnaryFunction
    count: int

    parameters: ClassVar[tuple[str, ...]] = ("x", "y", "scratch")

    def __post_init__(self) -> None:
        check_sizes(self, self.count)
        if self.function not in get_args(UnaryFunction):
            raise InvalidArgument(f"no kernel computes {self.function}")

    @property
    def symbol(self) -> str:
        """The C function."""
        return f"wg_{self.function}"

    def descriptor(self) -> Descriptor:
        """Return [count]."""
        return np.array([self.count], np.int32)

    def scratch_bytes(self) -> int:
        """Return 0: none is needed."""
        return 0

    def flops(self) -> int:
        """Return one operation for each value."""
        return self.count


@dataclass(frozen=True, slots=True)
class Softmax:
    """Softmax, or its logarithm, over the last axis of [rows, columns]; y may be x."""

    rows: int
    columns: int
    log: bool = False

    parameters: ClassVar[tuple[str, ...]] = ("x", "y", "scratch")

    def __post_init__(self) -> None:
        check_sizes(self, self.rows, self.columns)

    @property
    def symbol(self) -> str:
        """The C function."""
        return "wg_softmax"

    def descriptor(self) -> Descriptor:
        """Return [rows, columns, log]."""
        return np.array([self.rows, self.columns, int(self.log)], np.int32)

    def scratch_bytes(self) -> int:
        """Return 0: none is needed."""
        return 0

    def flops(self) -> int:
        """Return four operations for each value: maximum, difference, exponential or sum, scale."""
        return 4 * self.rows * self.columns


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """Normalization of each row of [rows, columns] to mean 0 and variance 1, then `* scale + bias`; y may be x."""

    rows: int
    columns: int
    epsilon: float = 1e-5

    parameters: ClassVar[tuple[str, ...]] = ("x", "scale", "bias", "y", "scratch")

    def __post_init__(self) -> None:
        check_sizes(self, self.rows, self.columns)

    @property
    def symbol(self) -> str:
        """The C function."""
        return "wg_layer_norm"

    def descriptor(self) -> Descriptor:
        """Return [rows, columns, bits of epsilon]."""
        return np.array([self.rows, self.columns, bits(self.epsilon)], np.int32)

    def pack_scale(self, scale: Tensor | None) -> Tensor:
        """Return the [columns] scales; ones when there are none."""
        return self._row(scale, 1.0)

    def pack_bias(self, bias: Tensor | None) -> Tensor:
        """Return the [columns] biases; zeros when there are none."""
        return self._row(bias, 0.0)

    def scratch_bytes(self) -> int:
        """Return 0: none is needed."""
        return 0

    def flops(self) -> int:
        """Return eight operations for each value: sum, difference, square, sum, scale by deviation and weight, bias."""
        return 8 * self.rows * self.columns

    def _row(self, values: Tensor | None, default: float) -> Tensor:
        if values is None:
            return np.full(self.columns, default, np.float32)
        if values.size != self.columns:
            raise InvalidArgument(f"layer normalization has {values.size} weights, expected {self.columns}")
        return np.ascontiguousarray(values.reshape(-1), np.float32)


@dataclass(frozen=True, slots=True)
class Transpose:
    """`y[b, j, i] = x[b, i, j]`: [batch, rows, columns, inner] to [batch, columns, rows, inner]; y must not be x.

    NCHW to NHWC is (n, c, h * w), the way back (n, h * w, c).
    """

    batch: int
    rows: int
    columns: int
    inner: int = 1

    parameters: ClassVar[tuple[str, ...]] = ("x", "y", "scratch")

    def __post_init__(self) -> None:
        check_sizes(self, self.batch, self.rows, self.columns, self.inner)

    @property
    def symbol(self) -> str:
        """The C function."""
        return "wg_transpose"

    def descriptor(self) -> Descriptor:
        """Return [batch, rows, columns, inner]."""
        return np.array([self.batch, self.rows, self.columns, self.inner], np.int32)

    def scratch_bytes(self) -> int:
        """Return 0: none is needed."""
        return 0

    def flops(self) -> int:
        """Return 0: values only move."""
        return 0
