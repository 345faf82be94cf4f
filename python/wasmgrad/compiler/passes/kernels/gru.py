"""One step of a GRU layer, after products with its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Descriptor, check_sizes

__all__ = ["Gru", "GruReset", "GruUpdate"]


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of a layer whose gates are update, reset, hidden; inputs are [steps, batch, 3 * hidden]."""

    step: int
    batch: int
    hidden: int

    def __post_init__(self) -> None:
        check_sizes(self, self.step + 1, self.batch, self.hidden)

    def descriptor(self) -> Descriptor:
        """Return [step, batch, hidden]."""
        return np.array([self.step, self.batch, self.hidden], np.int32)

    def scratch_bytes(self) -> int:
        """Return 0: none is needed."""
        return 0


@dataclass(frozen=True, slots=True)
class Gru(_Step):
    """The state `y = (1 - z) * tanh(inputs[step]_h + r * recurrence_h) + z * old`.

    z and r are the sigmoids of the sums of inputs[step] and recurrence; recurrence is `product`, [batch, 3 * hidden],
    plus `bias`, [3 * hidden]. y and old are [batch, hidden].
    """

    parameters: ClassVar[tuple[str, ...]] = ("inputs", "product", "bias", "old", "y", "scratch")
    symbol: ClassVar[str] = "wg_gru"

    def flops(self) -> int:
        """Return fourteen operations for each element: six sums, three functions, a difference, three products."""
        return 14 * self.batch * self.hidden


@dataclass(frozen=True, slots=True)
class GruReset(_Step):
    """The state that the hidden gate sees, `y = old * sigmoid(inputs[step]_r + product_r)`.

    product is [batch, 2 * hidden]: update and reset. y and old are [batch, hidden].
    """

    parameters: ClassVar[tuple[str, ...]] = ("inputs", "product", "old", "y", "scratch")
    symbol: ClassVar[str] = "wg_gru_reset"

    def flops(self) -> int:
        """Return three operations for each element."""
        return 3 * self.batch * self.hidden


@dataclass(frozen=True, slots=True)
class GruUpdate(_Step):
    """The state `y = (1 - z) * tanh(inputs[step]_h + candidate) + z * old`, z = sigmoid(inputs[step]_z + product_z).

    product is [batch, 2 * hidden], as that of GruReset is; candidate, y and old are [batch, hidden].
    """

    parameters: ClassVar[tuple[str, ...]] = ("inputs", "product", "candidate", "old", "y", "scratch")
    symbol: ClassVar[str] = "wg_gru_update"

    def flops(self) -> int:
        """Return eight operations for each element."""
        return 8 * self.batch * self.hidden
