"""Two-dimensional pooling in NHWC; global pooling is a window as large as the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ...._errors import InvalidArgument
from .base import Descriptor, check_sizes

__all__ = ["Pool2d"]


@dataclass(frozen=True, slots=True)
class Pool2d:
    """The maximum or the average of every window.

    x is [batch, in_h, in_w, channels], y is [batch, out_h, out_w, channels]. Padding never wins a maximum. The average
    counts padded pixels when `count_include_pad`: `pad_bottom` and `pad_right` say how far padding goes, what lies
    beyond (`ceil_mode`) is never counted.

    Raises:
        InvalidArgument: a size below 1 or negative padding.
    """

    kind: Literal["max", "average"]
    batch: int
    in_h: int
    in_w: int
    channels: int
    out_h: int
    out_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    pad_top: int = 0
    pad_left: int = 0
    pad_bottom: int = 0
    pad_right: int = 0
    count_include_pad: bool = False

    parameters: ClassVar[tuple[str, ...]] = ("x", "y", "scratch")

    def __post_init__(self) -> None:
        check_sizes(self, *self._geometry()[:12])
        if min(self.pad_top, self.pad_left, self.pad_bottom, self.pad_right) < 0:
            raise InvalidArgument(f"{self}: padding must not be negative")

    @classmethod
    def over_all(
        cls, kind: Literal["max", "average"], batch: int, height: int, width: int, channels: int
    ) -> Pool2d:
        """Global pooling: y is [batch, 1, 1, channels]."""
        return cls(kind, batch, height, width, channels, 1, 1, height, width)

    @property
    def symbol(self) -> str:
        """The C function."""
        return "wg_pool2d"

    def descriptor(self) -> Descriptor:
        """Return the fields of `struct Pool2d` in cpp/graph_runtime/kernels/pool2d.cpp."""
        padding = [self.pad_top, self.pad_left, self.pad_bottom, self.pad_right]
        flags = [int(self.kind == "max"), int(self.count_include_pad)]
        return np.array([*self._geometry(), *padding, *flags], np.int32)

    def scratch_bytes(self) -> int:
        """Return 0: none is needed."""
        return 0

    def flops(self) -> int:
        """Return one operation for each value of each window."""
        return self.batch * self.out_h * self.out_w * self.channels * self.kernel_h * self.kernel_w

    def _geometry(self) -> list[int]:
        return [
            self.batch, self.in_h, self.in_w, self.channels, self.out_h, self.out_w, self.kernel_h, self.kernel_w,
            self.stride_h, self.stride_w, self.dilation_h, self.dilation_w,
        ]  # fmt: skip
