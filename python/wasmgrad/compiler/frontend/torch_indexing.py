"""Writes at a list of places along one axis: as torch's exporter has them, the whole is transposed before and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["DECOMPOSITIONS"]

_aten = torch.ops.aten


def _placed(x: Any, axis: int, index: Any, values: Any) -> Any:
    """`x` with `values` at the places `index` [n] of the axis."""
    shape = [*x.shape]
    shape[axis] = index.shape[0]
    places = index.to(torch.int64).reshape([-1 if i == axis else 1 for i in range(x.dim())]).expand(shape)
    return _aten.scatter.src(x, axis, places, values.expand(shape))


def _index_put(x: Any, indices: list[Any], values: Any, accumulate: bool = False) -> Any:
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    if accumulate or len(axes) != 1:
        return NotImplemented
    index = indices[axes[0]]
    if index.dim() != 1 or index.dtype not in (torch.int32, torch.int64):
        return NotImplemented
    return _placed(x, axes[0], index, values)


def _index_copy(x: Any, axis: int, index: Any, values: Any) -> Any:
    if x.dim() == 0:
        return NotImplemented
    return _placed(x, axis % x.dim(), index.reshape(-1), values)


DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    _aten.index_put.default: _index_put,
    _aten.index_copy.default: _index_copy,
}
