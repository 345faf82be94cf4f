"""Operators whose generated kernels TVM would build with other limits than IEEE's: maxima, pooling, signs.

Its own maxima begin with the lowest finite number, which is greater than a window of -inf, and its sign of NaN is 0.
What a comparison with NaN gives is a matter of code generation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import te, tirx, topi

from .._relax import neutral, reducer

__all__ = ["LEGALIZATIONS"]


def _extreme(kind: str) -> Callable[[Any, Any], Any]:
    """Of `relax.max` and `relax.min`."""

    def kernel(x: te.Tensor, axes: list[int], keepdims: bool) -> te.Tensor:
        rank = len(x.shape)
        inner = [te.reduce_axis((0, x.shape[axis]), "k") for axis in axes]
        kept = [axis for axis in range(rank) if keepdims or axis not in axes]

        def element(*index: Any) -> Any:
            place = dict(zip(kept, index, strict=True)) | dict(zip(axes, inner, strict=True))
            return reducer(kind)(x(*(place[axis] for axis in range(rank))), axis=inner)

        return te.compute([1 if axis in axes else x.shape[axis] for axis in kept], element, name=kind)

    def legalize(builder: Any, call: Any) -> Any:
        x, attributes = call.args[0], call.attrs
        rank = len(x.ty.shape)
        axes = range(rank) if attributes.axis is None else (int(axis) % rank for axis in attributes.axis)
        return builder.call_te(kernel, x, sorted(axes), bool(attributes.keepdims), primfunc_name_hint=kind)

    return legalize


def _max_pool(builder: Any, call: Any) -> Any:
    """Of `relax.nn.max_pool1d`, `2d` and `3d`, in the layout that they have."""
    attributes = call.attrs
    spatial = [axis for axis, letter in enumerate(str(attributes.layout)) if letter in "DHW"]
    kernel, strides, dilation, padding = (
        [int(value) for value in values]
        for values in (attributes.pool_size, attributes.strides, attributes.dilation, attributes.padding)
    )
    output = [int(extent) for extent in call.ty.shape]

    def pool(x: te.Tensor) -> te.Tensor:
        before, after = [0] * len(output), [0] * len(output)
        for i, axis in enumerate(spatial):
            before[axis] = padding[i]
            reach = (output[axis] - 1) * strides[i] + (kernel[i] - 1) * dilation[i] + 1
            after[axis] = max(padding[len(spatial) + i], reach - int(x.shape[axis]) - before[axis])
        if any((*before, *after)):
            x = topi.nn.pad(x, before, after, pad_value=neutral("max", str(x.dtype)))
        taps = [te.reduce_axis((0, size), "k") for size in kernel]

        def element(*index: Any) -> Any:
            place = list(index)
            for i, axis in enumerate(spatial):
                place[axis] = index[axis] * strides[i] + taps[i] * dilation[i]
            return reducer("max")(x(*place), axis=taps)

        return te.compute(output, element, name="max_pool")

    return builder.call_te(pool, call.args[0], primfunc_name_hint=f"max_pool{len(spatial)}d")


def _sign(builder: Any, call: Any) -> Any:
    def sign(x: te.Tensor) -> te.Tensor:
        dtype = str(x.dtype)
        zero, one, minus_one = (tirx.const(value, dtype) for value in (0, 1, -1))

        def element(*index: Any) -> Any:
            value = x(*index)
            rest = tirx.Select(tirx.isnan(value), value, zero) if "float" in dtype else zero
            return tirx.Select(value > zero, one, tirx.Select(value < zero, minus_one, rest))

        return te.compute(x.shape, element, name="sign")

    return builder.call_te(sign, call.args[0], primfunc_name_hint="sign")


LEGALIZATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "relax.max": _extreme("max"),
    "relax.min": _extreme("min"),
    **dict.fromkeys((f"relax.nn.max_pool{spatial}d" for spatial in (1, 2, 3)), _max_pool),
    "relax.sign": _sign,
}
