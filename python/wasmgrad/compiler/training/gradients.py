"""What torch's recording of a training step is told to write in smaller operators: all gradients, and long sums.

Gradients come from torch's own autograd. Where torch has its operators in smaller ones, those are taken; the others are
ours. What has neither is refused by its name when the step is translated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .axes import total
from .convolution import convolution_backward
from .pooling import DECOMPOSITIONS as POOLING

__all__ = ["decompositions"]

_aten = torch.ops.aten
_ALSO = (
    "native_layer_norm",
    "native_group_norm",
    "log_sigmoid_forward",
)  # with what gradients need besides the result


def _staged_sum(
    x: Tensor, axes: Sequence[int] | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Any:
    chosen = list(axes) if axes else list(range(x.dim()))
    if len(chosen) <= 1 and (not chosen or x.shape[chosen[0]] <= 512):
        return NotImplemented
    if x.dtype not in (torch.float32, torch.float64) or (dtype is not None and dtype != x.dtype):
        return NotImplemented
    return total(x, chosen, keepdim)


def _staged_mean(
    x: Tensor, axes: Sequence[int] | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Any:
    result = _staged_sum(x, axes, keepdim, dtype=dtype)
    if result is NotImplemented:
        return result
    count = 1
    for axis in axes or range(x.dim()):
        count *= x.shape[axis]
    return result / count


def _torch_has(operator: Any) -> bool:
    name = str(operator.name()).removeprefix("aten::").split(".")[0]
    return "_backward" in name or name in _ALSO


def decompositions() -> dict[Any, Callable[..., Any]]:
    """By operator."""
    table = torch._decomp.decomposition_table
    theirs = {
        operator: decompose
        for operator, decompose in table.items()
        if isinstance(operator, torch._ops.OpOverload) and _torch_has(operator)
    }
    return {
        **theirs,
        **POOLING,
        _aten.convolution_backward.default: convolution_backward,
        _aten.sum.default: _staged_sum,
        _aten.sum.dim_IntList: _staged_sum,
        _aten.mean.default: _staged_mean,
        _aten.mean.dim: _staged_mean,
    }
