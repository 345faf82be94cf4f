"""Resize and Upsample.

Interpolation is separable and its coordinates are known while compiling: every axis becomes a table of the input
elements that an output element reads, and of their weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax, te

from ._nn import cast, scalar, wide
from ._registry import Node, converter, literal

Floats = NDArray[np.floating[Any]]

_SLACK = 2.0**-12  # more than sums of bytes in float32 are off by

# Resize had no attribute for rounding yet: where pictures shrink, other runtimes round up, else down.
_BEFORE_OPSET_11 = "up where it shrinks, else down"


@dataclass(frozen=True)
class _Axis:
    """One axis to be resized: its sizes, the exact factor between them and the part of the input that is taken."""

    axis: int
    size: int
    output: int
    scale: float
    start: float = 0.0
    end: float = 1.0

    @property
    def unchanged(self) -> bool:
        """Whether the elements stay as they are; so other runtimes have it, also where a part is asked for."""
        return bool(np.float32(self.scale) == 1)


def _coordinates(axis: _Axis, mode: str, dtype: type[np.floating[Any]]) -> Floats | None:
    """The position in the input that each output element is taken from; None for an unknown mode."""
    out, scale = np.arange(axis.output, dtype=dtype), dtype(axis.scale)
    size, last = dtype(axis.size), dtype(max(axis.output - 1, 1))
    half: Floats = (out + dtype(0.5)) / scale - dtype(0.5)
    if mode == "half_pixel":
        return half
    if mode == "half_pixel_symmetric":
        return np.asarray(half + size / 2 * (1 - axis.output / (scale * size)))
    if mode == "pytorch_half_pixel":
        return half if axis.output > 1 else np.zeros_like(out)
    if mode == "tf_half_pixel_for_nn":
        return np.asarray((out + dtype(0.5)) / scale)
    if mode == "asymmetric":
        return np.asarray(out / scale)
    if mode == "align_corners":
        return np.asarray(out * (size - 1) / last)
    if mode == "tf_crop_and_resize":
        start, end = dtype(axis.start), dtype(axis.end)
        if axis.output == 1:
            return np.asarray([dtype(0.5) * (start + end) * (size - 1)], dtype)
        return np.asarray(start * (size - 1) + out * (end - start) * (size - 1) / last)
    return None


def _nearest(x: Floats, mode: str, scale: float) -> Floats | None:
    """The whole number that each position is rounded to; None for an unknown mode."""
    if mode == _BEFORE_OPSET_11:
        return np.ceil(x) if scale < 1 else np.trunc(x)
    rounding: dict[str, Callable[[Floats], Floats]] = {
        "round_prefer_floor": lambda value: np.ceil(value.astype(np.float64) - 0.5),
        "round_prefer_ceil": lambda value: np.floor(value.astype(np.float64) + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    return rounding[mode](x) if mode in rounding else None


def _triangle(x: Floats) -> Floats:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(x: Floats, a: float) -> Floats:
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _table(
    axis: _Axis,
    x: Floats,
    kernel: Callable[[Floats], Floats],
    support: int,
    antialias: bool,
    inside_only: bool,
) -> tuple[NDArray[np.int32], Floats]:
    """Indices and weights [output, taps] of a filter that is zero from `support` on."""
    stretch = min(axis.scale, 1.0) if antialias else 1.0
    first = math.floor(-support / stretch) + 1
    places = np.floor(x)[:, None] + np.arange(first, 2 - first)
    weights = kernel((places - x[:, None]) * stretch)
    outside = (places < 0) | (places >= axis.size)
    if inside_only:
        weights = np.where(outside, 0.0, weights)
    total = weights.sum(1, keepdims=True)
    weights = weights / np.where(total == 0, 1.0, total)
    return np.clip(places, 0, axis.size - 1).astype(np.int32), weights


def _gather(data: Any, indices: Sequence[Any], axes: Sequence[int], shape: Sequence[int]) -> Any:
    """The elements of data whose index along each of `axes` stands in a table."""

    def element(*position: Any) -> Any:
        place = list(position)
        for axis, table in zip(axes, indices, strict=True):
            place[axis] = table[position[axis]]
        return data[tuple(place)]

    return te.compute(tuple(shape), element, name="resize_nearest")


def _filter(data: Any, indices: Any, weights: Any, axis: int) -> Any:
    """Weighted sums along one axis of data."""
    shape = [int(size) for size in data.shape]
    shape[axis] = int(indices.shape[0])
    tap = te.reduce_axis((0, int(indices.shape[1])), "tap")

    def element(*position: Any) -> Any:
        place = list(position)
        place[axis] = indices[position[axis], tap]
        return te.sum(data[tuple(place)] * weights[position[axis], tap], axis=tap)

    return te.compute(tuple(shape), element, name="resize")


def _apply(node: Node, axes: Sequence[_Axis], mode: str, coordinates: str, nearest: str) -> Any:
    """Resizes input 0 along `axes`."""
    shape, dtype = list(node.shape(0)), node.dtype(0)
    if min([*shape, *(axis.output for axis in axes)], default=1) < 1:
        node.refuse("empty tensors are not supported")
    changed = [] if all(axis.size == axis.output for axis in axes) else [a for a in axes if not a.unchanged]
    if node.attribute("antialias", 0):
        changed = [axis for axis in changed if axis.size != axis.output]
    positions = []
    for axis in changed:
        # Rounding to the nearest element jumps at ties: they fall as in float32, the precision of other runtimes.
        found = _coordinates(axis, coordinates, np.float32 if mode == "nearest" else np.float64)
        if found is None:
            node.refuse(f"coordinate_transformation_mode '{coordinates}' is unknown")
        positions.append(found)
        shape[axis.axis] = axis.output
    if not changed:
        return node.input(0)
    if mode == "nearest":
        tables = []
        for axis, x in zip(changed, positions, strict=True):
            places = _nearest(x, nearest, axis.scale)
            if places is None:
                node.refuse(f"nearest_mode '{nearest}' is unknown")
            tables.append(literal(np.clip(places, 0, axis.size - 1), "int32"))
        result = node.emit_te(_gather, node.input(0), tables, [axis.axis for axis in changed], shape)
    else:
        work = _interpolated_in(node, mode)
        result = node.emit(cast(node.input(0), dtype, work))
        for axis, x in zip(changed, positions, strict=True):
            indices, weights = _table(axis, x, *_kernel(node, mode))
            result = node.emit_te(_filter, result, literal(indices), literal(weights, work), axis.axis)
        if "float" not in dtype:
            result = _whole(node, result)
        result = cast(result, work, dtype)
    if coordinates == "tf_crop_and_resize":
        return _extrapolated(node, result, changed, coordinates)
    return result


def _interpolated_in(node: Node, mode: str) -> str:
    """The type to interpolate in. What becomes bytes again is rounded toward zero, as onnxruntime does it."""
    dtype = node.dtype(0)
    if "float" in dtype:
        return wide(dtype)
    if dtype not in {"uint8", "int8"} or mode != "linear" or node.attribute("antialias", 0):
        kind = f"{'antialiased ' if node.attribute('antialias', 0) else ''}{mode}"
        node.refuse(f"{kind} interpolation of {dtype} is not supported")
    return "float32"


def _whole(node: Node, x: Any) -> Any:
    """Moves numbers a little away from zero: rounding toward it then keeps what is whole but for errors of sums.

    A picture of one colour stays one.
    """
    away = relax.op.where(
        relax.op.less(x, scalar(0, "float32")), scalar(-_SLACK, "float32"), scalar(_SLACK, "float32")
    )
    return node.emit(relax.op.add(x, away))


def _kernel(node: Node, mode: str) -> tuple[Callable[[Floats], Floats], int, bool, bool]:
    antialias, inside_only = bool(node.attribute("antialias", 0)), bool(node.attribute("exclude_outside", 0))
    if mode == "cubic":
        a = float(node.attribute("cubic_coeff_a", -0.75))
        return lambda x: _cubic(x, a), 2, antialias, inside_only
    if mode != "linear":
        node.refuse(f"mode '{mode}' is unknown")
    return _triangle, 1, antialias, inside_only


def _extrapolated(node: Node, result: Any, axes: Sequence[_Axis], coordinates: str) -> Any:
    """`result` with a fixed value where the crop reaches outside of the input, by positions in float32."""
    rank, dtype = node.rank(0), node.dtype(0)
    outside = np.zeros((1,) * rank, bool)
    for axis in axes:
        x = _coordinates(axis, coordinates, np.float32)
        assert x is not None
        along = (x < 0) | (x > axis.size - 1)
        outside = outside | along.reshape([-1 if a == axis.axis else 1 for a in range(rank)])
    if not outside.any():
        return result
    value = literal(float(node.attribute("extrapolation_value", 0.0)), dtype)
    return relax.op.where(literal(outside), value, result)


def _given(node: Node, index: int, what: str) -> NDArray[Any] | None:
    """A constant input; None when it is left out or empty."""
    if not node.has(index) or 0 in node.shape(index):
        return None
    return node.require_constant(index, what)


@converter("Resize", since=11)
def resize(node: Node) -> Any:
    """Changes the sizes of a tensor by interpolation."""
    shape = node.shape(0)
    axes = [
        node.normalize_axis(int(a), len(shape)) for a in node.attribute("axes", None) or range(len(shape))
    ]
    mode = node.attribute("mode", "nearest")
    coordinates = node.attribute("coordinate_transformation_mode", "half_pixel")
    scales, sizes = _given(node, 2, "scales"), _given(node, 3, "sizes")
    if (scales is None) == (sizes is None):
        node.refuse("exactly one of scales and sizes must be given")
    if sizes is not None:
        factors, outputs = _from_sizes(node, [shape[a] for a in axes], [int(size) for size in sizes])
    else:
        factors = [float(scale) for scale in scales if scale > 0]  # type: ignore[union-attr]
        outputs = _scaled_sizes([shape[a] for a in axes], factors)
    if not len(axes) == len(factors) == len(outputs):
        node.refuse(f"{len(axes)} axes need as many positive scales or sizes")
    ranges = [(0.0, 1.0)] * len(axes)
    if coordinates == "tf_crop_and_resize":
        roi = _given(node, 1, "roi")
        if roi is None or roi.size != 2 * len(axes):
            node.refuse(f"roi must have {2 * len(axes)} values")
        ranges = [(float(roi[i]), float(roi[i + len(axes)])) for i in range(len(axes))]
    resized = [
        _Axis(axis, shape[axis], output, factor, *span)
        for axis, output, factor, span in zip(axes, outputs, factors, ranges, strict=True)
    ]
    if mode == "nearest" and node.attribute("antialias", 0):
        node.refuse("antialias has no meaning for mode 'nearest'")
    return _apply(node, resized, mode, coordinates, node.attribute("nearest_mode", "round_prefer_floor"))


def _from_sizes(node: Node, shape: Sequence[int], sizes: Sequence[int]) -> tuple[list[float], list[int]]:
    """Factors and output sizes from wanted sizes, which the policy may shrink or widen to keep proportions."""
    if len(sizes) != len(shape):
        node.refuse(f"{len(shape)} axes need as many sizes, not {len(sizes)}")
    factors = [wanted / size for wanted, size in zip(sizes, shape, strict=True)]
    policy = node.attribute("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return factors, list(sizes)
    if policy not in {"not_larger", "not_smaller"}:
        node.refuse(f"keep_aspect_ratio_policy '{policy}' is unknown")
    factor = min(factors) if policy == "not_larger" else max(factors)
    exact = [np.float32(factor) * np.float32(size) for size in shape]
    return [factor] * len(shape), [math.floor(size + np.float32(0.5)) for size in exact]


def _scaled_sizes(shape: Sequence[int], factors: Sequence[float]) -> list[int]:
    """Output sizes: the product is rounded to float32, where 0.7 of 10 is 7, before it is rounded down."""
    return [int(np.float32(size) * np.float32(factor)) for size, factor in zip(shape, factors, strict=False)]


def _by_scales(node: Node, scales: Sequence[float]) -> Any:
    shape = node.shape(0)
    if len(scales) != len(shape):
        node.refuse(f"{len(scales)} scales do not fit an input of shape {shape}")
    axes = [
        _Axis(i, size, output, float(scale))
        for i, (size, output, scale) in enumerate(
            zip(shape, _scaled_sizes(shape, scales), scales, strict=True)
        )
    ]
    mode = node.attribute("mode", "nearest")
    return _apply(node, axes, "linear" if mode == "bilinear" else mode, "asymmetric", _BEFORE_OPSET_11)


@converter("Resize", since=10)
@converter("Upsample", since=9)
def resize_by_scales(node: Node) -> Any:
    """The older forms: factors from an input."""
    return _by_scales(node, [float(scale) for scale in node.require_constant(1, "scales")])


@converter("Upsample", since=7)
def upsample(node: Node) -> Any:
    """The oldest form: factors from an attribute."""
    return _by_scales(node, [float(scale) for scale in node.attribute("scales", [])])
