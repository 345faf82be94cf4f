"""Two-dimensional convolution of 8-bit pictures in NHWC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ...._errors import InvalidArgument
from .base import Descriptor, round_up
from .conv import Conv2d
from .quantized import MAX_DEPTH, Columns, Integers, Quantization, block_of_rows, gemm_scratch, pack_dots

__all__ = ["Conv2dQuantized"]

_QUAD = 4  # rows of the picture that one dot takes


@dataclass(frozen=True, slots=True)
class Conv2dQuantized:
    """The convolution of 8-bit integers of that shape; weights are int8 as [out_c, kernel_h, kernel_w, in_c / groups].

    `zero`, one byte, is x's zero point, which also stands outside of pictures, `factor` one float32. Activation and
    residual are those of the quantization.

    Raises:
        InvalidArgument: so many products that int32 does not hold their sum.
    """

    shape: Conv2d
    quantization: Quantization

    parameters: ClassVar[tuple[str, ...]] = (
        "x",
        "zero",
        "factor",
        "weights",
        "columns",
        "residual",
        "y",
        "scratch",
    )

    def __post_init__(self) -> None:
        if self._products() > MAX_DEPTH:
            raise InvalidArgument(f"{self}: int32 holds the sums of at most {MAX_DEPTH} products")

    @property
    def algorithm(self) -> Literal["gemm", "depthwise"]:
        """How the shape is computed; the kernel for one channel at a time knows no zero points of weights."""
        d = self.shape
        alone = d.groups > 1 and d.groups == d.in_c == d.out_c
        return "depthwise" if alone and not self.quantization.weights_shifted else "gemm"

    @property
    def symbol(self) -> str:
        """The C function."""
        return f"wg_conv2d_quantized_{self.algorithm}"

    def descriptor(self) -> Descriptor:
        """Return the fields of `struct Conv2dQuantized` in cpp/graph_runtime/kernels/conv2d_quantized.hpp."""
        d = self.shape
        rows, quads = self._rows()
        flags = [d.groups, int(d.has_residual), *d.activation.fields()]
        tail = [0, block_of_rows(self._pixels(), self._products()), 0]
        return np.array([*d.geometry(), *flags, *tail, *self.quantization.fields(), rows, quads], np.int32)

    def pack(self, weights: Integers) -> npt.NDArray[np.int8]:
        """Return [out_c, kernel_h, kernel_w, in_c / groups] weights in the order in which the kernel reads them."""
        d = self.shape
        expected = (d.out_c, d.kernel_h, d.kernel_w, d.in_c // d.groups)
        if weights.shape != expected:
            raise InvalidArgument(f"convolution weights have shape {weights.shape}, expected {expected}")
        if self.algorithm == "gemm":
            return pack_dots(weights.reshape(d.groups, d.out_c // d.groups, -1), d.lanes)
        rows, quads = self._rows()
        block = self._block()
        taps = np.zeros((rows, round_up(d.in_c, block), quads * _QUAD, d.kernel_w), np.int8)
        for row in range(rows):
            first = row * d.stride_h
            taps[row, : d.in_c, first : first + d.kernel_h] = weights[..., 0]
        blocks = taps.reshape(rows, -1, block, quads, _QUAD, d.kernel_w)
        return np.ascontiguousarray(blocks.transpose(1, 0, 3, 5, 2, 4))

    def pack_columns(self, columns: Columns, weights: Integers) -> npt.NDArray[np.int32]:
        """Return what belongs to output channels."""
        sums = weights.reshape(self.shape.out_c, -1).sum(-1, dtype=np.int32)
        if self.algorithm == "depthwise":
            return columns.pack(sums, 1, self._block())
        return columns.pack(sums, self.shape.groups, 2 * self.shape.lanes)

    def scratch_bytes(self) -> int:
        """Return the memory the kernel needs while it runs."""
        d = self.shape
        if self.algorithm == "gemm":
            return gemm_scratch(self._pixels(), d.out_c // d.groups, self._products(), d.lanes)
        width = (d.out_w - 1) * d.stride_w + (d.kernel_w - 1) * d.dilation_w + 1
        block = self._block()
        return 4 * round_up(d.in_c, block) + 2 * self._rows()[1] * width * block * _QUAD

    def flops(self) -> int:
        """Return the integer operations of the convolution as defined."""
        return self.shape.flops()

    def _pixels(self) -> int:
        return self.shape.batch * self.shape.out_h * self.shape.out_w

    def _products(self) -> int:
        d = self.shape
        return d.kernel_h * d.kernel_w * d.in_c // d.groups

    def _block(self) -> int:
        return 32 if self.shape.lanes == 16 else 16

    def _rows(self) -> tuple[int, int]:
        """Rows of the output that the depthwise kernel computes from the same quads, and how many quads those are."""
        d = self.shape
        quads = -(-d.kernel_h // _QUAD)
        rows = 1 if d.dilation_h > 1 else (quads * _QUAD - d.kernel_h) // d.stride_h + 1
        return min(rows, d.out_h), quads
