"""One step of an LSTM layer, after the products with its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Descriptor, check_sizes

__all__ = ["Lstm"]


@dataclass(frozen=True, slots=True)
class Lstm:
    """The states `next_memory = sigmoid(f) * memory + sigmoid(i) * tanh(c)` and `y = sigmoid(o) * tanh(next_memory)`.

    The gates i, o, f, c lie in this order in the sum of `product` and `inputs[step]`. inputs are
    [steps, batch, 4 * hidden], the product is [batch, 4 * hidden], y and both memories are [batch, hidden].
    """

    step: int
    batch: int
    hidden: int

    parameters: ClassVar[tuple[str, ...]] = ("inputs", "product", "memory", "y", "next_memory", "scratch")

    def __post_init__(self) -> None:
        check_sizes(self, self.step + 1, self.batch, self.hidden)

    @property
    def symbol(self) -> str:
        """The C function."""
        return "wg_lstm"

    def descriptor(self) -> Descriptor:
        """Return [step, batch, hidden]."""
        return np.array([self.step, self.batch, self.hidden], np.int32)

    def scratch_bytes(self) -> int:
        """Return 0: none is needed."""
        return 0

    def flops(self) -> int:
        """Return thirteen operations for each element: four sums, five functions, three products and their sum."""
        return 13 * self.batch * self.hidden
