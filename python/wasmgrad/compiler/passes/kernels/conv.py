"""Two-dimensional convolution in NHWC: which algorithm a shape gets, its descriptor, weights, scratch and FLOPs.

The algorithms are C functions with the same parameters; only the packed weights differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np

from ...._errors import InvalidArgument
from . import winograd
from .base import Activation, Descriptor, Tensor, check_sizes, round_up
from .expand import Arrangement
from .gemm import Blocking, pack_bias, pack_columns

__all__ = ["Conv2d"]

_TILE_PARTS = 4  # runs of neighbours that the kernels "direct" and "plane" compute at a time
_PLANE_CHANNELS = 2  # of a tile of "plane"
_SHARED_TAPS = 3  # of a row of the window, from which on it pays to copy them beside each other
_BLOCK_CHANNELS = 16  # that the kernel "depthwise_shared" computes at a time
_PICTURE_BYTES = 1 << 18  # of the rows that it copies at a time: half of a small second-level cache
_FEW_CHANNELS = 16  # up to two register tiles: packed windows are used too seldom


@dataclass(frozen=True, slots=True)
class Conv2d:
    """A convolution `y = activation(conv(x, weights) + bias + residual)`; every shape is supported.

    x is [batch, in_h, in_w, in_c], weights are [out_c, kernel_h, kernel_w, in_c / groups], y and the residual are
    [batch, out_h, out_w, out_c]. Padding is given at the top and the left; how far it goes at the bottom and the
    right follows from the output size. `lanes` is the number of floats of a vector: 1 without SIMD, 4 for wasm SIMD.
    The algorithm is chosen for `usual_batch`, unless that is 0: for this one. Weights that are computed in a run, which
    are not `fixed`, are packed in columns: "gemm" or "direct".

    Raises:
        InvalidArgument: a size below 1, negative padding, or channels that the groups do not divide.
    """

    batch: int
    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    pad_top: int = 0
    pad_left: int = 0
    groups: int = 1
    activation: Activation = field(default_factory=Activation)
    has_residual: bool = False
    lanes: int = 4
    usual_batch: int = 0
    fixed: bool = True

    parameters: ClassVar[tuple[str, ...]] = ("x", "weights", "bias", "residual", "y", "scratch")

    def __post_init__(self) -> None:
        check_sizes(self, *self.geometry()[:13], self.groups, self.lanes)
        if self.pad_top < 0 or self.pad_left < 0:
            raise InvalidArgument(f"{self}: padding must not be negative")
        if self.in_c % self.groups or self.out_c % self.groups:
            raise InvalidArgument(f"{self}: the groups must divide the channels")

    @property
    def algorithm(self) -> Literal["gemm", "winograd", "depthwise", "depthwise_shared", "direct", "plane"]:
        """The cheapest way to compute this shape."""
        if not self.fixed:
            few = self.out_c // self.groups <= _FEW_CHANNELS
            return "direct" if few and self._has_tile_of(1) else "gemm"
        if self._is_depthwise():
            return "depthwise_shared" if self._shares_columns() else "depthwise"
        if self._tile():
            return "winograd"
        if self.out_c // self.groups > _FEW_CHANNELS:
            return "gemm"
        if self._has_idle_lanes():
            return "plane"
        return "direct" if self._has_tile_of(1) else "gemm"

    @property
    def symbol(self) -> str:
        """The C function."""
        return f"wg_conv2d_{self.algorithm}"

    def descriptor(self) -> Descriptor:
        """Return the fields of `struct Conv2d` in cpp/graph_runtime/kernels/conv2d.hpp."""
        blocking = self._blocking()
        rows = blocking.rows
        if self.algorithm in {"direct", "plane"}:
            rows = int(self._is_padded())
        elif self.algorithm == "depthwise_shared":
            rows = self._rows_of_block()
        tail = [blocking.depth, rows, self._tile()]
        flags = [self.groups, int(self.has_residual), *self.activation.fields()]
        fields = [*(self._flat() if self._pointwise() else self).geometry(), *flags, *tail]
        return np.array(fields, np.int32)

    @property
    def arrangement(self) -> Arrangement:
        """What is made of packed weights before the kernel reads them."""
        if self.algorithm != "winograd":
            return "as stored"
        return "winograd 4" if self._tile() == 4 else "winograd 2"

    def pack(self, weights: Tensor) -> Tensor:
        """Return [out_c, kernel_h, kernel_w, in_c / groups] weights as [panels, taps, columns of a panel].

        The kernel reads them in this order, or what `arrangement` makes of them.
        """
        shape = (self.out_c, self.kernel_h, self.kernel_w, self.in_c // self.groups)
        if weights.shape != shape:
            raise InvalidArgument(f"convolution weights have shape {weights.shape}, expected {shape}")
        taps = self.kernel_h * self.kernel_w
        if self._is_depthwise():
            unit = self._depthwise_unit()
            padded = np.zeros((taps, round_up(self.in_c, unit)), np.float32)
            padded[:, : self.in_c] = weights.reshape(self.out_c, -1).T
            if self.algorithm == "depthwise":
                return padded[None]
            return np.ascontiguousarray(padded.reshape(taps, -1, unit).swapaxes(0, 1))
        if self.algorithm == "plane":
            starts = range(0, self.out_c, _PLANE_CHANNELS)
            parts = [weights[start : start + _PLANE_CHANNELS].reshape(-1, taps) for start in starts]
            return np.concatenate([part.T.reshape(-1) for part in parts]).reshape(1, -1, 1)
        columns = weights.reshape(self.groups, self.out_c // self.groups, -1).swapaxes(1, 2)
        packed = pack_columns(columns, self.lanes)
        return packed.reshape(-1, *packed.shape[-2:])

    def pack_factors(self, factors: Tensor) -> Tensor | None:
        """Return [out_c] factors of packed weights, for each column of each panel; None where they have none."""
        if self.algorithm == "plane":
            return None
        if self._is_depthwise():
            unit = self._depthwise_unit()
            padded = np.zeros(round_up(self.in_c, unit), np.float32)
            padded[: self.in_c] = factors
            return padded[None] if self.algorithm == "depthwise" else padded.reshape(-1, unit)
        columns = factors.reshape(self.groups, 1, -1)
        return pack_columns(columns, self.lanes).reshape(-1, 2 * self.lanes)

    def pack_bias(self, bias: Tensor | None) -> Tensor:
        """Return the [out_c] biases, padded; the kernels always add one."""
        if bias is not None and bias.size != self.out_c:
            raise InvalidArgument(f"convolution bias has {bias.size} values, expected {self.out_c}")
        groups = 1 if self._is_depthwise() else self.groups
        return pack_bias(bias, groups, self.out_c // groups, self.lanes)

    def scratch_bytes(self) -> int:
        """Return the memory the kernel needs while it runs."""
        if self.algorithm == "depthwise":
            return 0
        if self.algorithm == "depthwise_shared":
            return self._rows_of_block(overlap=True) * self._reach()[1] * 4 * _BLOCK_CHANNELS
        blocking = self._blocking()
        if self.algorithm in {"direct", "plane"}:
            height, width = self._reach()
            return 4 * height * width * self.in_c if self._is_padded() else 0
        if not self._tile():
            return blocking.scratch_bytes()
        points = (self._tile() + 2) ** 2
        transformed = points * blocking.rows * (self.in_c + self.out_c) * 4
        return transformed + blocking.scratch_bytes()

    def flops(self) -> int:
        """Return the floating-point operations of the convolution as defined, whatever the algorithm saves."""
        outputs = self.batch * self.out_h * self.out_w * self.out_c
        return 2 * outputs * self.kernel_h * self.kernel_w * self.in_c // self.groups

    def geometry(self) -> list[int]:
        """Return the fields of `struct Conv2d` up to the padding."""
        return [
            self.batch, self.in_h, self.in_w, self.in_c, self.out_h, self.out_w, self.out_c, self.kernel_h,
            self.kernel_w, self.stride_h, self.stride_w, self.dilation_h, self.dilation_w, self.pad_top, self.pad_left,
        ]  # fmt: skip

    def _pointwise(self) -> bool:
        plain = self.kernel_h == self.kernel_w == self.stride_h == self.stride_w == 1
        return (
            plain
            and (self.in_h, self.in_w) == (self.out_h, self.out_w)
            and self.pad_top == self.pad_left == 0
        )

    def _flat(self) -> Conv2d:
        """All pixels in one row: where windows do not overlap, the kernel need not know where rows end."""
        pixels = self.batch * self.in_h * self.in_w
        return replace(self, batch=1, in_h=1, in_w=pixels, out_h=1, out_w=pixels)

    def _reach(self) -> tuple[int, int]:
        """Height and width of what all windows together cover."""
        height = (self.out_h - 1) * self.stride_h + (self.kernel_h - 1) * self.dilation_h + 1
        return height, (self.out_w - 1) * self.stride_w + (self.kernel_w - 1) * self.dilation_w + 1

    def _depthwise_unit(self) -> int:
        return self.lanes if self.algorithm == "depthwise" else _BLOCK_CHANNELS

    def _is_depthwise(self) -> bool:
        return self.fixed and self.groups > 1 and self.groups == self.in_c == self.out_c

    def _shares_columns(self) -> bool:
        """Whether what neighbours see in a row of their windows is mostly the same."""
        adjoining = self.stride_h == self.stride_w == self.dilation_w == 1
        return adjoining and self.kernel_w >= _SHARED_TAPS and self.out_w >= _TILE_PARTS

    def _rows_of_block(self, *, overlap: bool = False) -> int:
        """Rows of outputs that a block of channels is computed for at a time, or what their windows see."""
        more = (self.kernel_h - 1) * self.dilation_h
        fitting = _PICTURE_BYTES // (4 * _BLOCK_CHANNELS * self._reach()[1]) - more
        rows = min(self.out_h, max(1, fitting))
        return rows + more if overlap else rows

    def _has_idle_lanes(self) -> bool:
        """Whether lanes along a row of the picture do more than lanes along the channels would."""
        one_channel = self.in_c == self.stride_w == self.dilation_w == 1 and not self.has_residual
        return one_channel and self._has_tile_of(self.lanes) and self.out_c % (2 * self.lanes) > 0

    def _has_tile_of(self, unit: int) -> bool:
        """Whether one of the shapes of a tile of `_TILE_PARTS` times `unit` neighbours fits into the output."""
        return any(self.out_h >= rows and self.out_w >= _TILE_PARTS // rows * unit for rows in (1, 2, 4))

    def _is_padded(self) -> bool:
        height, width = self._reach()
        return self.pad_top > 0 or self.pad_left > 0 or height > self.in_h or width > self.in_w

    def _tile(self) -> int:
        plain = self.stride_h == self.stride_w == self.dilation_h == self.dilation_w == self.groups == 1
        vectors = self.in_c % self.lanes == 0 and self.out_c % self.lanes == 0
        if not (self.fixed and plain and vectors and self.kernel_h == self.kernel_w == 3):
            return 0
        pixels = (self.usual_batch or self.batch, self.out_h, self.out_w)
        return winograd.choose_tile(pixels, self.in_c, self.out_c)

    def _blocking(self) -> Blocking:
        columns = self.out_c // self.groups
        tile = self._tile()
        if tile:
            tiles = self.batch * -(-self.out_h // tile) * -(-self.out_w // tile)
            rows = winograd.tiles_per_pass(tile, tiles, self.in_c, self.out_c)
            depth = Blocking.choose(rows, self.in_c, columns, self.lanes).depth
            return Blocking(depth, rows, self.lanes)
        depth = self.kernel_h * self.kernel_w * self.in_c // self.groups
        return Blocking.choose(self.batch * self.out_h * self.out_w, depth, columns, self.lanes)
