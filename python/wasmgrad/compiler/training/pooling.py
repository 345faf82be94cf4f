"""Gradients of pooling and resizing, for windows that may overlap."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from .axes import spread, taps_of

__all__ = ["DECOMPOSITIONS"]

_aten = torch.ops.aten


def _each(values: Sequence[int] | int, axes: int) -> list[int]:
    given = [values] if isinstance(values, int) else list(values)
    return given * axes if len(given) == 1 else given


def _max_pool_backward(
    axes: int,
    gradient: Tensor,
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    _ceil_mode: bool,
    _indices: Tensor,
) -> Tensor:
    """The gradient at the first of the largest elements of each window, a NaN counting as larger than all before it."""
    kernel, padding, dilation = (_each(each, axes) for each in (kernel, padding, dilation))
    stride = _each(stride, axes) if stride else kernel
    sizes, counts = x.shape[-axes:], gradient.shape[-axes:]
    first = x.dim() - axes
    seen = [x]
    real = [torch.ones(sizes, dtype=torch.bool)] if any(padding) or _reaches_out(
        kernel, stride, padding, dilation, sizes, counts
    ) else None  # fmt: skip
    for axis in range(axes):
        along = (kernel[axis], stride[axis], dilation[axis], padding[axis], counts[axis])
        seen = list(itertools.chain.from_iterable(taps_of(part, first + axis, *along) for part in seen))
        if real is not None:
            real = list(itertools.chain.from_iterable(taps_of(part, axis, *along) for part in real))
    chosen = _first_of_largest(seen, real)
    zero = torch.zeros((), dtype=gradient.dtype)
    parts = [torch.where(chosen == tap, gradient, zero) for tap in range(len(seen))]
    for axis in reversed(range(axes)):
        where = (stride[axis], dilation[axis], padding[axis], sizes[axis])
        groups = [parts[i : i + kernel[axis]] for i in range(0, len(parts), kernel[axis])]
        parts = [spread(group, first + axis, *where) for group in groups]
    return parts[0]


def _reaches_out(
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    sizes: Sequence[int],
    counts: Sequence[int],
) -> bool:
    """Whether a window goes beyond the end, as in ceil mode."""
    return any(
        (count - 1) * s + (k - 1) * d + 1 - p > size
        for k, s, p, d, size, count in zip(kernel, stride, padding, dilation, sizes, counts, strict=True)
    )


def _first_of_largest(seen: Sequence[Tensor], real: Sequence[Tensor] | None) -> Tensor:
    """Which tap: int32. real: where a tap sees an element, not padding; None: everywhere."""
    best = seen[0]
    chosen = torch.zeros_like(best, dtype=torch.int32)
    found = None if real is None else real[0]
    for tap in range(1, len(seen)):
        value = seen[tap]
        better = (value > best) | torch.isnan(value)
        if real is not None:
            assert found is not None
            better = (better & real[tap]) | (real[tap] & ~found)
            found = found | real[tap]
        best = torch.where(better, value, best)
        chosen = torch.where(better, torch.full((), tap, dtype=torch.int32), chosen)
    return chosen


def _avg_pool_backward(
    axes: int,
    gradient: Tensor,
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    _ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    kernel, padding = _each(kernel, axes), _each(padding, axes)
    stride = _each(stride, axes) if stride else kernel
    first, sizes = x.dim() - axes, x.shape[-axes:]
    windows = [
        _window_sizes(*along, count_include_pad)
        for along in zip(kernel, stride, padding, sizes, gradient.shape[-axes:], strict=True)
    ]
    share = gradient / (divisor or _outer(windows).to(gradient.dtype))
    for axis in range(axes):
        along = (stride[axis], 1, padding[axis], sizes[axis])
        share = spread([share] * kernel[axis], first + axis, *along)
    return share


def _window_sizes(
    kernel: int, stride: int, padding: int, size: int, count: int, with_padding: bool
) -> list[int]:
    """How many elements of one axis a window at each position is divided by."""
    starts = [i * stride - padding for i in range(count)]
    ends = [min(start + kernel, size + padding) for start in starts]
    if with_padding:
        return [end - start for start, end in zip(starts, ends, strict=True)]
    return [min(end, size) - max(start, 0) for start, end in zip(starts, ends, strict=True)]


def _outer(sizes: Sequence[Sequence[int]]) -> Tensor:
    """The product of one number for each axis, at every position."""
    values = [prod(combination) for combination in itertools.product(*sizes)]
    return torch.tensor(values, dtype=torch.float64).reshape([len(each) for each in sizes])


def _adaptive_matrix(size: int, count: int, dtype: torch.dtype) -> Tensor:
    """[count, size]: the share of each element in the mean of each window."""
    rows = torch.zeros(count, size, dtype=torch.float64)
    for i in range(count):
        begin, end = i * size // count, -(-(i + 1) * size // count)
        rows[i, begin:end] = 1 / (end - begin)
    return rows.to(dtype)


def _through(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Each of the last axes of x through a matrix [new, old]."""
    for i, matrix in enumerate(matrices):
        axis = x.dim() - len(matrices) + i
        x = torch.matmul(x.transpose(axis, -1), matrix.t()).transpose(axis, -1)
    return x


def _adaptive(x: Tensor, counts: Sequence[int]) -> Tensor:
    sizes = x.shape[-len(counts) :]
    return _through(x, [_adaptive_matrix(s, c, x.dtype) for s, c in zip(sizes, counts, strict=True)])


def _adaptive_backward(gradient: Tensor, x: Tensor) -> Tensor:
    axes = x.dim() - 2 if x.dim() > 3 else 2
    pairs = zip(x.shape[-axes:], gradient.shape[-axes:], strict=True)
    return _through(gradient, [_adaptive_matrix(s, c, x.dtype).t() for s, c in pairs])


def _resize_backward(
    operator: Any, axes: int, gradient: Tensor, output: Sequence[int], shape: Sequence[int], *more: Any
) -> Tensor:
    """Of what works on each axis alone: the matrix of each axis, turned round."""
    choices = len(operator._schema.arguments) - 2 - axes  # align_corners, where there is such a choice
    flags, scales = more[:choices], [*more[choices:], *[None] * axes]
    matrices = []
    for axis, (size, count) in enumerate(zip(shape[2:], output, strict=True)):
        one = [1] * axes
        extents, wanted = list(one), list(one)
        extents[axis], wanted[axis] = size, count
        given: list[Any] = [None] * axes
        given[axis] = scales[axis]
        points = torch.eye(size, dtype=torch.float64).reshape(size, 1, *extents)
        resized = operator(points, wanted, *flags, *given)
        matrices.append(resized.reshape(size, count).to(gradient.dtype))
    return _through(gradient, matrices)


def _resizes() -> dict[Any, Callable[..., Any]]:
    kinds = {
        "nearest": 3, "_nearest_exact": 3, "linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3,
    }  # fmt: skip
    found: dict[Any, Callable[..., Any]] = {}
    for kind, most in kinds.items():
        several = kind in ("nearest", "_nearest_exact")
        for axes in range(1, 4) if several else [most]:
            name = f"{'_upsample_nearest_exact' if kind == '_nearest_exact' else f'upsample_{kind}'}{axes}d"
            forward, backward = getattr(_aten, name).default, getattr(_aten, f"{name}_backward").default
            found[backward] = functools.partial(_resize_backward, forward, axes)
    return found


DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    _aten.max_pool2d_with_indices_backward.default: functools.partial(_max_pool_backward, 2),
    _aten.max_pool3d_with_indices_backward.default: functools.partial(_max_pool_backward, 3),
    _aten.avg_pool2d_backward.default: functools.partial(_avg_pool_backward, 2),
    _aten.avg_pool3d_backward.default: functools.partial(_avg_pool_backward, 3),
    _aten._adaptive_avg_pool2d.default: _adaptive,
    _aten._adaptive_avg_pool3d.default: _adaptive,
    _aten._adaptive_avg_pool2d_backward.default: _adaptive_backward,
    _aten._adaptive_avg_pool3d_backward.default: _adaptive_backward,
    **_resizes(),
}
