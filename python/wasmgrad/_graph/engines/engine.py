"""What every engine of graph modules does, and what several of them need to do it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Engine", "packed"]


class Engine(Protocol):
    """An instance of one graph module. Errors of all: `RuntimeFailure` for a trap or a kernel's own error.

    All but `select` speak of the plan that was chosen last, at first of the first one.
    """

    def select(self, number: int, batch: int) -> None:
        """Chooses a plan of the metadata, by number, for so many samples (0 for a plan without choice).

        Its inputs and outputs hold nothing that is known.
        """

    def write_input(self, index: int, array: NDArray[Any]) -> None:
        """Copies an array of the input's dtype and shape, however it is strided, into the module."""

    def run(self) -> float:
        """Runs the plan; the seconds it took."""

    def call(self, index: int) -> float:
        """Runs one call of the plan; the seconds it took."""

    def read_output(self, index: int) -> NDArray[Any]:
        """A copy of an output."""

    def write_state(self, index: int, array: NDArray[Any]) -> None:
        """As `write_input`, of a state."""

    def read_state(self, index: int) -> NDArray[Any]:
        """A copy of a state, zero before the first run."""

    def close(self) -> None:
        """Frees the instance. Nothing else may be called after it."""


def packed(array: NDArray[Any]) -> memoryview:
    """The bytes of an array, dense and row-major; copied only when it is not so already."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
