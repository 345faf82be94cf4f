"""Batch normalization over the rows of a batch that count, and its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from .axes import total

__all__ = ["Rows"]

_aten = torch.ops.aten


class Rows:
    """Which rows of a batch count: `weights` is [n], 1 or 0, float32. None while all of them do.

    `least` is how many must: a variance needs two values.
    """

    def __init__(self) -> None:
        self.weights: Tensor | None = None
        self.least = 1

    def decompositions(self) -> dict[Any, Callable[..., Any]]:
        """Of the operators that look across rows."""
        return {
            _aten.native_batch_norm.default: self._forward,
            _aten.native_batch_norm_backward.default: self._backward,
        }

    def _forward(
        self,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        training: bool,
        momentum: float,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        shape = [1, -1, *[1] * (x.dim() - 2)]
        none = x.new_zeros(0)
        if not training:
            assert running_mean is not None and running_var is not None
            normal = (x - running_mean.reshape(shape)) * torch.rsqrt(running_var + eps).reshape(shape)
            return _affine(normal, weight, bias, shape), none, none
        counted, count = self._counted(x)
        mean = total(x if counted is None else x * counted, _across(x)) / count
        centred = x - mean.reshape(shape)
        squares = centred * centred
        variance = total(squares if counted is None else squares * counted, _across(x)) / count
        inverse = torch.rsqrt(variance + eps)
        if running_mean is not None:
            running_mean.copy_(running_mean * (1 - momentum) + mean * momentum)
        if running_var is not None:
            unbiased = variance * (count / (count - 1))
            running_var.copy_(running_var * (1 - momentum) + unbiased * momentum)
        return _affine(centred * inverse.reshape(shape), weight, bias, shape), mean, inverse

    def _backward(
        self,
        gradient: Tensor,
        x: Tensor,
        weight: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        mean: Tensor | None,
        inverse: Tensor | None,
        training: bool,
        eps: float,
        output_mask: Sequence[bool],
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        shape = [1, -1, *[1] * (x.dim() - 2)]
        if not training:
            assert running_mean is not None and running_var is not None
            mean, inverse = running_mean, torch.rsqrt(running_var + eps)
        assert mean is not None and inverse is not None
        normal = (x - mean.reshape(shape)) * inverse.reshape(shape)
        of_bias, of_weight = total(gradient, _across(x)), total(gradient * normal, _across(x))
        of_x = None
        if output_mask[0]:
            of_x = gradient
            if training:
                counted, count = self._counted(x)
                common = (of_bias / count).reshape(shape) + normal * (of_weight / count).reshape(shape)
                of_x = gradient - (common if counted is None else common * counted)
            scale = inverse if weight is None else inverse * weight
            of_x = of_x * scale.reshape(shape)
        return of_x, of_weight if output_mask[1] else None, of_bias if output_mask[2] else None

    def _counted(self, x: Tensor) -> tuple[Tensor | None, Any]:
        """The weights of the rows of x, and how many elements of a channel count."""
        each = prod(x.shape[2:])
        weights = self.weights
        if weights is None or x.shape[0] != weights.shape[0]:
            return None, x.shape[0] * each
        if each == 1:
            self.least = 2
        kind = weights.to(x.dtype)
        return kind.reshape([-1, *[1] * (x.dim() - 1)]), total(kind) * each


def _across(x: Tensor) -> list[int]:
    return [0, *range(2, x.dim())]


def _affine(normal: Tensor, weight: Tensor | None, bias: Tensor | None, shape: list[int]) -> Tensor:
    if weight is not None:
        normal = normal * weight.reshape(shape)
    return normal if bias is None else normal + bias.reshape(shape)
