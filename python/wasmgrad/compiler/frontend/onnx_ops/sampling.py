"""Sampling at computed positions: GridSample, AffineGrid, RoiAlign, MaxRoiPool."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax, te, tirx

from ..._relax import reducer
from ._nn import all_of, cast, wide
from ._registry import Node, converter, literal

_MODES = {
    "linear": "linear",
    "bilinear": "linear",
    "cubic": "cubic",
    "bicubic": "cubic",
    "nearest": "nearest",
}
_CUBIC_A = -0.75


def _reflected(x: Any, size: int, align_corners: bool, dtype: str) -> Any:
    """A position folded back into the image at its borders, as often as it takes."""
    low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
    if span <= 0:
        return tirx.const(low, dtype)
    away = tirx.abs(x - tirx.const(low, dtype))
    turns = tirx.floor(away / tirx.const(span, dtype))
    rest = away - turns * tirx.const(span, dtype)
    even = turns - tirx.const(2, dtype) * tirx.floor(turns / tirx.const(2, dtype)) < tirx.const(0.5, dtype)
    return tirx.Select(even, tirx.const(low, dtype) + rest, tirx.const(low + span, dtype) - rest)


def _reflected_index(i: Any, size: int, align_corners: bool) -> Any:
    period = 2 * (size - 1) if align_corners else 2 * size
    if period <= 0:
        return tirx.const(0, "int64")
    m = tirx.floormod(i, tirx.const(period, "int64"))
    last = period if align_corners else period - 1
    return tirx.Select(m < size, m, tirx.const(last, "int64") - m)


def _positions(
    grid: Any, sizes: Sequence[int], mode: str, padding: str, align_corners: bool, dtype: str
) -> Any:
    """Where in the image every output lies: [n, *output, axis]; the grid's last axis counts axes from the back."""

    def element(*place: Any) -> Any:
        *lead, axis = place
        spatial = len(sizes)
        result = tirx.const(0, dtype)
        for a, size in enumerate(sizes):
            x = grid[(*lead, spatial - 1 - a)].astype(dtype)
            one, half = tirx.const(1, dtype), tirx.const(0.5, dtype)
            x = (
                (x + one) * half * tirx.const(size - 1, dtype)
                if align_corners
                else (((x + one) * tirx.const(size, dtype) - one) * half)
            )
            if mode == "nearest":
                x = tirx.nearbyint(x)
            elif padding == "border" and mode == "linear":
                x = tirx.min(tirx.max(x, tirx.const(0, dtype)), tirx.const(size - 1, dtype))
            elif padding == "reflection":
                x = _reflected(x, size, align_corners, dtype)
            result = x if a == 0 else tirx.Select(axis == a, x, result)
        return result

    return te.compute((*grid.shape[:-1], len(sizes)), element, name="positions")


def _kernel(distance: Any, mode: str, dtype: str) -> Any:
    x = tirx.abs(distance)
    one = tirx.const(1, dtype)
    if mode == "linear":
        return tirx.max(tirx.const(0, dtype), one - x)
    a = _CUBIC_A
    near = (tirx.const(a + 2, dtype) * x - tirx.const(a + 3, dtype)) * x * x + one
    far = ((tirx.const(a, dtype) * x - tirx.const(5 * a, dtype)) * x + tirx.const(8 * a, dtype)) * x
    far -= tirx.const(4 * a, dtype)
    return tirx.Select(x <= one, near, tirx.Select(x < tirx.const(2, dtype), far, tirx.const(0, dtype)))


@converter("GridSample", since=16)
def grid_sample(node: Node) -> Any:
    """Reads an image at the positions of a grid whose coordinates run from -1 to 1."""
    shape, grid_shape = node.shape(0), node.shape(1)
    sizes = shape[2:]
    given = node.attribute("mode", "linear")
    padding = node.attribute("padding_mode", "zeros")
    align_corners = bool(node.attribute("align_corners", 0))
    if given not in _MODES or padding not in {"zeros", "border", "reflection"}:
        node.refuse(f"mode '{given}' with padding_mode '{padding}' is unknown")
    if len(grid_shape) != len(shape) or grid_shape[-1] != len(sizes) or 0 in shape:
        node.refuse(f"a grid of shape {grid_shape} does not fit an input of shape {shape}")
    mode, dtype = _MODES[given], node.dtype(0)
    work = wide(dtype)

    def pixel(data: Any, lead: Sequence[Any], index: Sequence[Any]) -> Any:
        if padding == "zeros":
            inside = all_of([tirx.all(i >= 0, i < size) for i, size in zip(index, sizes, strict=True)])
            return tirx.if_then_else(inside, data[(*lead, *index)].astype(work), tirx.const(0, work))
        if padding == "border":
            index = [
                tirx.min(tirx.max(i, tirx.const(0, "int64")), tirx.const(size - 1, "int64"))
                for i, size in zip(index, sizes, strict=True)
            ]
        else:
            index = [_reflected_index(i, size, align_corners) for i, size in zip(index, sizes, strict=True)]
        return data[(*lead, *index)].astype(work)

    def compute(data: Any, grid: Any) -> Any:
        positions = _positions(grid, sizes, mode, padding, align_corners, work)
        first, count = {"nearest": (0, 1), "linear": (0, 2), "cubic": (-1, 4)}[mode]
        taps = [te.reduce_axis((0, count), "tap") for _ in sizes]

        def element(n: Any, c: Any, *place: Any) -> Any:
            x = [positions[(n, *place, axis)] for axis in range(len(sizes))]
            if mode == "nearest":
                return pixel(data, (n, c), [value.astype("int64") for value in x])
            index = [tirx.floor(v).astype("int64") + t + first for v, t in zip(x, taps, strict=True)]
            value = pixel(data, (n, c), index)
            for i, v in zip(index, x, strict=True):
                value *= _kernel(i.astype(work) - v, mode, work)
            return te.sum(value, axis=taps)

        return te.compute((*shape[:2], *grid_shape[1:-1]), element, name="grid_sample")

    return cast(node.emit_te(compute, node.input(0), node.input(1)), work, dtype)


@converter("AffineGrid", since=20)
def affine_grid(node: Node) -> Any:
    """The grid for GridSample that an affine map of the output's own coordinates describes."""
    size = [int(extent) for extent in node.require_constant(1, "size")]
    batch, sizes, dtype = size[0], size[2:], node.dtype(0)
    if len(sizes) not in {2, 3} or node.shape(0) != (batch, len(sizes), len(sizes) + 1):
        node.refuse(f"theta of shape {node.shape(0)} does not fit an output of shape {tuple(size)}")
    corners = bool(node.attribute("align_corners", 0))
    lines = [np.linspace(-1, 1, n) if corners and n > 1 else (2 * np.arange(n) + 1) / n - 1 for n in sizes]
    places = np.stack([*reversed(np.meshgrid(*lines, indexing="ij")), np.ones(sizes)], axis=-1)
    flat = literal(places.reshape(1, -1, len(sizes) + 1), wide(dtype))
    theta = relax.op.permute_dims(cast(node.input(0), dtype, wide(dtype)), [0, 2, 1])
    grid = relax.op.reshape(relax.op.matmul(flat, theta), [batch, *sizes, len(sizes)])
    return cast(grid, wide(dtype), dtype)


def _neighbours(x: Any, size: int, dtype: str) -> list[tuple[Any, Any]]:
    """The two elements beside a position along an axis, with their weights: 0 outside."""
    one, zero = tirx.const(1.0, dtype), tirx.const(0.0, dtype)
    inside = tirx.all(x >= -one, x <= tirx.const(float(size), dtype))
    x = tirx.min(tirx.max(x, zero), tirx.const(float(size - 1), dtype))
    low = tirx.min(x.astype("int64"), tirx.const(max(size - 2, 0), "int64"))
    high = tirx.min(low + 1, tirx.const(size - 1, "int64"))
    above = x - low.astype(dtype)
    return [(low, tirx.Select(inside, one - above, zero)), (high, tirx.Select(inside, above, zero))]


def _beside(neighbours: list[tuple[Any, Any]], side: Any) -> tuple[Any, Any]:
    """The neighbour on a side, 0 or 1, with its weight."""
    (low, below), (high, above) = neighbours
    return tirx.Select(side == 0, low, high), tirx.Select(side == 0, below, above)


@converter("RoiAlign", since=10)
def roi_align(node: Node) -> Any:
    """Averages (or takes the maximum of) bilinear samples in the bins of regions of interest."""
    shape, regions = node.shape(0), node.shape(1)[0]
    mode = node.attribute("mode", "avg")
    height, width = int(node.attribute("output_height", 1)), int(node.attribute("output_width", 1))
    samples = int(node.attribute("sampling_ratio", 0))
    spatial_scale = float(node.attribute("spatial_scale", 1.0))
    default = "half_pixel" if node.opset >= 16 else "output_half_pixel"
    half_pixel = node.attribute("coordinate_transformation_mode", default) == "half_pixel"
    if mode not in {"avg", "max"} or len(shape) != 4:
        node.refuse(f"mode '{mode}' over an input of shape {shape} is not supported")
    if samples <= 0:
        node.refuse("sampling_ratio 0 makes the number of samples depend on data")
    dtype = node.dtype(0)
    work = wide(dtype)

    def number(value: float) -> Any:
        return tirx.const(value, work)

    def place(rois: Any, n: Any, axis: int, cell: Any, sample: Any) -> Any:
        """Position of a sample along an axis (0 is the height)."""
        cells = (height, width)[axis]
        shift = number(0.5 if half_pixel else 0.0)
        start = rois[n, 1 - axis].astype(work) * number(spatial_scale) - shift
        span = rois[n, 3 - axis].astype(work) * number(spatial_scale) - shift - start
        if not half_pixel:
            span = tirx.max(span, number(1))
        size = span / number(cells)
        return start + cell.astype(work) * size + (sample.astype(work) + number(0.5)) * size / number(samples)

    def compute(data: Any, rois: Any, batches: Any) -> Any:
        taps = [te.reduce_axis((0, samples), "sample") for _ in range(2)]
        # A maximum of the neighbours' own would repeat each of them in its comparisons, which multiply when nested.
        sides = [te.reduce_axis((0, 2), "side") for _ in range(2)]

        def element(n: Any, c: Any, i: Any, j: Any) -> Any:
            y, x = place(rois, n, 0, i, taps[0]), place(rois, n, 1, j, taps[1])
            batch = tirx.min(tirx.max(batches[n].astype("int64"), tirx.const(0, "int64")), shape[0] - 1)
            if mode == "max":
                (row, wy), (column, wx) = (
                    _beside(_neighbours(value, size, work), side)
                    for value, size, side in zip((y, x), shape[2:], sides, strict=True)
                )
                part = data[batch, c, row, column].astype(work) * wy * wx
                return reducer("max")(part, axis=[*taps, *sides])
            parts = [
                data[batch, c, row, column].astype(work) * wy * wx
                for row, wy in _neighbours(y, shape[2], work)
                for column, wx in _neighbours(x, shape[3], work)
            ]
            return te.sum(sum(parts[1:], parts[0]) / number(samples * samples), axis=taps)

        return te.compute((regions, shape[1], height, width), element, name="roi_align")

    return cast(node.emit_te(compute, *node.inputs[:3]), work, dtype)


@converter("MaxRoiPool", since=1)
def max_roi_pool(node: Node) -> Any:
    """The maximum in each bin of regions of interest [batch, x1, y1, x2, y2], whose corners are rounded."""
    shape, regions = node.shape(0), node.shape(1)[0]
    rows, columns = (int(size) for size in node.attribute("pooled_shape"))
    spatial_scale, dtype = float(node.attribute("spatial_scale", 1.0)), node.dtype(0)
    if len(shape) != 4 or math.prod(shape) == 0:
        node.refuse(f"an input of shape {shape} is not supported")
    work = wide(dtype)

    def corner(rois: Any, n: Any, column: int) -> Any:
        # Half away from zero, as C's round.
        value = rois[n, column].astype(work) * tirx.const(spatial_scale, work)
        nearest = tirx.floor(tirx.abs(value) + tirx.const(0.5, work))
        return tirx.Select(value < tirx.const(0, work), -nearest, nearest).astype("int64")

    def span(rois: Any, n: Any, axis: int, cell: Any) -> tuple[Any, Any]:
        """First and one past the last element of a bin along an axis (0 is the height)."""
        size, cells = shape[2 + axis], (rows, columns)[axis]
        start = corner(rois, n, 2 - axis)
        length = tirx.max(corner(rois, n, 4 - axis) - start + 1, tirx.const(1, "int64"))
        first = tirx.floordiv(cell * length, tirx.const(cells, "int64")) + start
        last = tirx.floordiv((cell + 1) * length + cells - 1, tirx.const(cells, "int64")) + start
        low, high = tirx.const(0, "int64"), tirx.const(size, "int64")
        return tirx.min(tirx.max(first, low), high), tirx.min(tirx.max(last, low), high)

    def compute(data: Any, rois: Any) -> Any:
        taps = [te.reduce_axis((0, size), "k") for size in shape[2:]]

        def element(n: Any, c: Any, i: Any, j: Any) -> Any:
            (top, bottom), (left, right) = span(rois, n, 0, i), span(rois, n, 1, j)
            inside = tirx.all(taps[0] >= top, taps[0] < bottom, taps[1] >= left, taps[1] < right)
            batch = tirx.min(tirx.max(rois[n, 0].astype("int64"), tirx.const(0, "int64")), shape[0] - 1)
            value = tirx.if_then_else(inside, data[batch, c, taps[0], taps[1]], tirx.const(-math.inf, dtype))
            return reducer("max")(value, axis=taps)

        largest = te.compute((regions, shape[1], rows, columns), element, name="max_roi_pool")

        def filled(n: Any, c: Any, i: Any, j: Any) -> Any:
            (top, bottom), (left, right) = span(rois, n, 0, i), span(rois, n, 1, j)
            empty = tirx.any(bottom <= top, right <= left)
            return tirx.Select(empty, tirx.const(0, dtype), largest[n, c, i, j])

        return te.compute(largest.shape, filled, name="max_roi_pool_filled")

    return node.emit_te(compute, node.input(0), node.input(1))
