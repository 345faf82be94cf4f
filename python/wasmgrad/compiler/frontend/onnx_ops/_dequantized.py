"""Tensors that were dequantized: the integers that they were, so that products may be computed of those.

A product of dequantized tensors is one of integers times the scales, exact up to the last rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import ir, relax

from ._registry import Node, literal

__all__ = ["Dequantized", "Steps", "along", "fits_int32", "real", "steps_of"]

_LARGEST = 255  # distance of 8-bit integers
_SCALES = 2.0**-50, 2.0**50  # products of two with any sum are floats that are neither infinite nor 0


class Dequantized(np.ndarray[Any, Any]):
    """A constant that is `steps * scale`, with both: int32 of the same shape, and float32 that broadcasts to it.

    What NumPy makes of it, a part of it for one, has neither: None.
    """

    steps: NDArray[np.int32] | None = None
    scale: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, steps: NDArray[np.int32], scale: NDArray[np.float32]) -> Dequantized:
        """The product, rounded to float32."""
        array = (steps.astype(np.float32) * scale).view(cls)
        array.steps = steps
        array.scale = scale.reshape((1,) * (steps.ndim - scale.ndim) + scale.shape)
        return array

    def transposed(self, axes: list[int] | None) -> NDArray[Any]:
        """The same with its axes in another order."""
        if self.steps is None or self.scale is None:
            return np.ascontiguousarray(self.transpose(axes))
        return Dequantized.of(np.ascontiguousarray(self.steps.transpose(axes)), self.scale.transpose(axes))


@dataclass(frozen=True)
class Steps:
    """A tensor as int32 steps times a scale.

    value: a Relax tensor of 8-bit integers less their zero point. array: the same of a constant. scale: float32 that
    broadcasts to it, of one element where it is no constant.
    """

    value: Any
    array: NDArray[np.int32] | None
    scale: NDArray[np.float32]


def steps_of(node: Node, index: int) -> Steps | None:
    """Input `index` as steps, when it was dequantized from 8 bits."""
    value = node.value(index)
    if isinstance(value, Dequantized):
        if value.steps is None or value.scale is None:
            return None
        near = np.abs(value.steps).max(initial=0) <= _LARGEST and _ordinary(value.scale)
        return Steps(literal(value.steps), value.steps, value.scale) if near else None
    product = _bound_call(node, value, "relax.multiply")
    if product is None:
        return None
    scale = getattr(getattr(product.args[1], "value", None), "numpy", lambda: None)()
    cast = _bound_call(node, product.args[0], "relax.astype")
    if scale is None or scale.dtype != np.float32 or scale.size != 1 or cast is None:
        return None
    if not _ordinary(scale):
        return None
    centred = cast.args[0]
    less = _bound_call(node, centred, "relax.subtract")
    bytes_ = _bound_call(node, centred if less is None else less.args[0], "relax.astype")
    if bytes_ is None or str(bytes_.args[0].ty.dtype) not in ("int8", "uint8"):
        return None
    return Steps(centred, None, np.asarray(scale).reshape(()))


def _ordinary(scale: NDArray[np.float32]) -> bool:
    """Whether products with it commute with sums: not so of 0, infinities, NaN and what leads to them."""
    size = np.abs(scale)
    return bool(np.all((size >= _SCALES[0]) & (size <= _SCALES[1])))


def _bound_call(node: Node, value: Any, operator: str) -> Any | None:
    """The call of `operator` that computed a variable; None for anything else."""
    if not isinstance(value, relax.Var):
        return None
    call = node.graphs.builder.lookup_binding(value)
    return call if isinstance(call, ir.Call) and getattr(call.op, "name", None) == operator else None


def fits_int32(weights: Steps, depth: int, axis: int) -> bool:
    """Whether sums of `depth` products with steps of 8 bits cannot leave int32. axis: that of the weights' columns."""
    if weights.array is None:
        return depth * _LARGEST * _LARGEST < 2**31
    others = tuple(i for i in range(weights.array.ndim) if i != axis % weights.array.ndim)
    sums = np.abs(weights.array).sum(axis=others, dtype=np.int64)
    return int(sums.max(initial=0)) * _LARGEST < 2**31


def along(scale: NDArray[np.float32], axis: int) -> NDArray[np.float32] | None:
    """A scale that varies at most along one axis, as a vector (or one number); None for any other."""
    if scale.size == 1:
        return scale.reshape(())
    return scale.reshape(-1) if scale.shape[axis] == prod(scale.shape) else None


def real(node: Node, sums: Any, scale: NDArray[np.float32]) -> Any:
    """Sums of products of steps as real numbers."""
    return node.emit(
        relax.op.multiply(relax.op.astype(node.emit(sums), "float32"), literal(scale, "float32"))
    )
