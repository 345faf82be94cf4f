"""What every kernel of the library shares: activations, packing of int32 descriptors, the protocol of a call.

Knows nothing about graphs, TVM or engines: numbers and arrays only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ...._errors import InvalidArgument

__all__ = ["Activation", "Descriptor", "Kernel", "Tensor", "bits", "check_sizes", "round_up"]

Tensor: TypeAlias = npt.NDArray[np.float32]
Descriptor: TypeAlias = npt.NDArray[np.int32]
ActivationKind: TypeAlias = Literal["none", "relu", "clip", "sigmoid", "swish", "hardswish", "gelu", "tanh"]

# The numbers of `enum class Activation` in cpp/graph_runtime/kernels/activation.hpp.
_KIND_NUMBERS: dict[str, int] = {
    "none": 0,
    "relu": 1,
    "clip": 1,
    "sigmoid": 2,
    "swish": 3,
    "hardswish": 4,
    "gelu": 5,
    "tanh": 6,
}


@dataclass(frozen=True, slots=True)
class Activation:
    """The element-wise function at the end of a kernel; `low` and `high` are the bounds of "clip"."""

    kind: ActivationKind = "none"
    low: float = -np.inf
    high: float = np.inf

    def fields(self) -> list[int]:
        """Return the three descriptor fields: kind and the bits of both bounds. ReLU is a clip at zero."""
        bounds = {"relu": (0.0, np.inf), "clip": (self.low, self.high)}
        low, high = bounds.get(self.kind, (-np.inf, np.inf))
        return [_KIND_NUMBERS[self.kind], bits(low), bits(high)]


class Kernel(Protocol):
    """One kernel with all its sizes fixed at compile time.

    `symbol` names the C function, `parameters` its pointers in order after the descriptor; the last one is always
    the scratch memory, `scratch_bytes()` long and 64-byte aligned (any address when it is 0).
    """

    parameters: ClassVar[tuple[str, ...]]

    @property
    def symbol(self) -> str:
        """The C function."""

    def descriptor(self) -> Descriptor:
        """The sizes, as the C function reads them."""

    def scratch_bytes(self) -> int:
        """Scratch memory, in bytes."""

    def flops(self) -> int:
        """Additions and multiplications of one call."""


def bits(value: float) -> int:
    """Return a float32 as the int32 of the same bits, as descriptors hold it."""
    return int(np.float32(value).view(np.int32))


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple


def check_sizes(kernel: object, *sizes: int) -> None:
    """Refuse a kernel with a size below 1 or above what an int32 descriptor holds."""
    if min(sizes) < 1 or max(sizes) > np.iinfo(np.int32).max:
        raise InvalidArgument(f"{kernel}: every size, stride and dilation must be from 1 to 2147483647")
