"""Gradients of convolutions in one to three dimensions, as convolutions and products of matrices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from .axes import between_zeros, padded, taps_of, total

__all__ = ["convolution_backward"]


@dataclass(frozen=True)
class _Window:
    """One number for each spatial axis; `reach` is what a kernel covers."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))


def convolution_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """As aten.convolution_backward: gradients of x, weight and bias, where the mask asks for them.

    x: [n, c, *sizes]; weight: [m, c / groups, *kernel], or [c, m / groups, *kernel] of a transposed convolution.
    """
    axes = weight.dim() - 2
    kernel = tuple(weight.shape[2:])
    stride, padding, dilation = (
        tuple(each) * (axes if len(each) == 1 else 1) for each in (stride, padding, dilation)
    )
    window = _Window(kernel, stride, padding, dilation)
    of_x = of_weight = of_bias = None
    if output_mask[0] and transposed:
        of_x = torch.ops.aten.convolution.default(
            gradient, weight, None, list(stride), list(padding), list(dilation), False, [0] * axes, groups
        )
        for axis in range(2, 2 + axes):  # a window may fit into what was padded at the end
            of_x = of_x.narrow(axis, 0, x.shape[axis])
    elif output_mask[0]:
        of_x = _of_input(gradient, weight, window, x.shape[2:], groups)
    if output_mask[1]:
        inner, outer = (gradient, x) if transposed else (x, gradient)
        of_weight = _of_weight(outer, inner, window, groups)
    if output_mask[2]:
        of_bias = total(gradient, [0, *range(2, 2 + axes)])
    return of_x, of_weight, of_bias


def _of_input(gradient: Tensor, weight: Tensor, window: _Window, sizes: Sequence[int], groups: int) -> Tensor:
    """The transposed convolution of the gradient: a convolution with the kernel turned round."""
    axes = len(sizes)
    turned = _turned(weight, groups)
    around = []
    for axis, size in enumerate(sizes):
        gradient = between_zeros(gradient, 2 + axis, window.stride[axis])
        before = window.reach[axis] - 1 - window.padding[axis]
        after = size - 1 + window.reach[axis] - before - gradient.shape[2 + axis]
        both = max(0, min(before, after))
        gradient = padded(gradient, 2 + axis, before - both, after - both)
        around.append(both)
    ones = [1] * axes
    result: Tensor = torch.ops.aten.convolution.default(
        gradient, turned, None, ones, around, list(window.dilation), False, [0] * axes, groups
    )
    return result


def _turned(weight: Tensor, groups: int) -> Tensor:
    """[m, c / groups, *kernel] as [c, m / groups, *kernel], the last tap first."""
    m, c, *kernel = weight.shape
    grouped = weight.reshape(groups, m // groups, c, *kernel).transpose(1, 2)
    return grouped.reshape(groups * c, m // groups, *kernel).flip(list(range(2, 2 + len(kernel))))


def _of_weight(outer: Tensor, inner: Tensor, window: _Window, groups: int) -> Tensor:
    """[outer channels, inner channels / groups, *kernel]: for each tap the products of both, summed over positions.

    outer: [n, m, *positions], what every position has; inner: [n, c, *sizes], what windows at the positions see.
    """
    n, m, *positions = outer.shape
    c = inner.shape[1]
    seen = _columns(inner.transpose(0, 1), window, positions)  # for each tap, [c, n, *positions]
    if m // groups == c // groups == 1:
        products = [total(outer.transpose(0, 1) * each, range(1, outer.dim())) for each in seen]
        return torch.stack(products, 1).reshape(m, 1, *window.kernel)
    count, taps = n * prod(positions), len(seen)
    left = torch.stack(seen, 1).reshape(groups, c // groups * taps, count)
    right = outer.transpose(0, 1).reshape(groups, m // groups, count).transpose(1, 2)
    sums = torch.mm(left[0], right[0]).unsqueeze(0) if groups == 1 else torch.bmm(left, right)
    return sums.transpose(1, 2).reshape(m, c // groups, *window.kernel)


def _columns(x: Tensor, window: _Window, positions: Sequence[int]) -> list[Tensor]:
    """What each tap of the kernel sees at the positions, zeros outside of x; the last axis of the kernel is fastest.

    x: [channels, n, *sizes].
    """
    parts = [x]
    for axis, count in enumerate(positions):
        along = (
            window.kernel[axis],
            window.stride[axis],
            window.dilation[axis],
            window.padding[axis],
            count,
        )
        parts = list(itertools.chain.from_iterable(taps_of(part, 2 + axis, *along) for part in parts))
    return parts
