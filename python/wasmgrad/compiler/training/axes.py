"""What gradients are made of, axis by axis: paddings, slices, placements of taps, and sums in stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["between_zeros", "padded", "placed", "spread", "taps_of", "total"]

_LONGEST = 512  # terms of a sum in one float32 accumulator


def padded(x: Tensor, axis: int, before: int, after: int, value: float = 0.0) -> Tensor:
    """X with so many more elements of that value; with fewer where a number is negative."""
    if before < 0 or after < 0:
        size = x.shape[axis]
        x = x.narrow(axis, max(0, -before), size - max(0, -before) - max(0, -after))
    before, after = max(0, before), max(0, after)
    if before == after == 0:
        return x
    behind = [0, 0] * (x.dim() - 1 - axis)
    return torch.constant_pad_nd(x, [*behind, before, after], value)


def between_zeros(x: Tensor, axis: int, stride: int) -> Tensor:
    """X with stride - 1 zeros between its elements."""
    if stride == 1:
        return x
    size = x.shape[axis]
    apart = padded(x.unsqueeze(axis + 1), axis + 1, 0, stride - 1)
    return apart.flatten(axis, axis + 1).narrow(axis, 0, (size - 1) * stride + 1)


def placed(x: Tensor, axis: int, stride: int, first: int, size: int) -> Tensor:
    """Zeros of that size along the axis with element i of x at first + i * stride; what falls outside is left out."""
    spaced = between_zeros(x, axis, stride)
    return padded(spaced, axis, first, size - first - spaced.shape[axis])


def spread(taps: Sequence[Tensor], axis: int, stride: int, dilation: int, before: int, size: int) -> Tensor:
    """The sum of all taps, element i of tap t at i * stride + t * dilation - before, along an axis of that size."""
    if len(taps) == stride and dilation == 1:
        together = torch.stack(list(taps), axis + 1).flatten(axis, axis + 1)
        return padded(together, axis, -before, size + before - together.shape[axis])
    each = [placed(tap, axis, stride, t * dilation - before, size) for t, tap in enumerate(taps)]
    result = each[0]
    for one in each[1:]:
        result = result + one
    return result


def taps_of(
    x: Tensor, axis: int, kernel: int, stride: int, dilation: int, before: int, count: int, value: float = 0.0
) -> list[Tensor]:
    """For each tap what it sees: element i * stride + t * dilation - before, for i up to count, `value` outside."""
    size = x.shape[axis]
    reach = (count - 1) * stride + (kernel - 1) * dilation + 1
    whole = padded(x, axis, before, reach - before - size, value)
    return [
        torch.ops.aten.slice.Tensor(
            whole, axis, t * dilation, t * dilation + (count - 1) * stride + 1, stride
        )
        for t in range(kernel)
    ]


def total(x: Tensor, axes: Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """The sum over axes (None: all), one after another and long ones in parts: float32 keeps its digits."""
    chosen = range(x.dim()) if axes is None else sorted(axis % x.dim() for axis in axes)
    for axis in reversed(chosen):
        x = _sum(x, axis)
    if keepdim:
        for axis in chosen:
            x = x.unsqueeze(axis)
    return x


def _sum(x: Tensor, axis: int) -> Tensor:
    size = x.shape[axis]
    if size > _LONGEST:
        part = next((p for p in range(_LONGEST, 15, -1) if size % p == 0), None)
        if part is None:
            part = _LONGEST // 2
            x = padded(x, axis, 0, -size % part)
        apart = x.reshape(*x.shape[:axis], -1, part, *x.shape[axis + 1 :])
        return _sum(torch.ops.aten.sum.dim_IntList(apart, [axis + 1]), axis)
    result: Tensor = torch.ops.aten.sum.dim_IntList(x, [axis])
    return result
