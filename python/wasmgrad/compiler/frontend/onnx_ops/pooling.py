"""Pooling: MaxPool, AveragePool, LpPool, their global forms and MaxUnpool.

What Relax's canonical pooling can express becomes that; the rest is one kernel of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tvm import relax, te, tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ._nn import Window, all_of, cast, scalar, sliding_window, wide, widened
from ._registry import Node, converter
from .looped import looped

_MAX_POOLS = {1: relax.op.nn.max_pool1d, 2: relax.op.nn.max_pool2d, 3: relax.op.nn.max_pool3d}
_AVERAGE_POOLS = {1: relax.op.nn.avg_pool1d, 2: relax.op.nn.avg_pool2d, 3: relax.op.nn.avg_pool3d}


def _window(node: Node) -> Window:
    shape = node.shape(0)
    if len(shape) < 3:
        node.refuse(f"an input of shape {shape} has no spatial axes")
    return sliding_window(node, shape[2:], node.attribute("kernel_shape", []))


def _canonical(build: Callable[..., Any], data: Any, window: Window, **options: Any) -> Any:
    return build(
        data,
        list(window.kernel),
        strides=list(window.strides),
        padding=window.padding,
        dilation=list(window.dilations),
        **options,
    )


def _taps(window: Window) -> list[Any]:
    return [te.reduce_axis((0, size), "tap") for size in window.kernel]


def _source(window: Window, position: Sequence[Any], taps: Sequence[Any]) -> list[Any]:
    """Where in the input tap `taps` of the window at output `position` lies."""
    return [
        p * s + k * d - b
        for p, s, k, d, b in zip(position, window.strides, taps, window.dilations, window.before, strict=True)
    ]


def _inside(source: Sequence[Any], sizes: Sequence[int]) -> Any:
    return all_of([tirx.all(i >= 0, i < size) for i, size in zip(source, sizes, strict=True)])


@converter("MaxPool", since=1)
def max_pool(node: Node) -> Any:
    """The largest element of every window, and on demand where it is within the whole input."""
    window = _window(node)
    spatial = len(window.kernel)
    if node.wanted(1):
        return _max_pool_with_indices(node, window)
    if spatial not in _MAX_POOLS:
        node.refuse(f"pooling over {spatial} spatial axes is not supported")
    dtype = node.dtype(0)
    pooled = _canonical(_MAX_POOLS[spatial], widened(node, 0), window)
    return cast(pooled, wide(dtype), dtype)


def _max_pool_with_indices(node: Node, window: Window) -> Any:
    shape, dtype = node.shape(0), wide(node.dtype(0))
    sizes = shape[2:]
    column_major = bool(node.attribute("storage_order", 0))
    order = range(len(sizes)) if not column_major else reversed(range(len(sizes)))
    steps = [0] * len(sizes)
    step = 1
    for axis in reversed(list(order)):
        steps[axis] = step
        step *= sizes[axis]

    def better(left: Any, right: Any) -> Any:
        keep = tirx.any(left[1] > right[1], tirx.all(left[1] == right[1], left[0] <= right[0]))
        if "float" in dtype:  # NaN wins, the last of several as in PyTorch
            nan = tirx.isnan(left[1]), tirx.isnan(right[1])
            keep = tirx.Select(nan[1], tirx.all(nan[0], left[0] > right[0]), tirx.any(nan[0], keep))
        return tirx.Select(keep, left[0], right[0]), tirx.Select(keep, left[1], right[1])

    lowest = tirx.const(-math.inf, dtype) if "float" in dtype else tirx.min_value(dtype)

    def identity(index_type: str, _: str) -> Any:
        return tirx.max_value(index_type), lowest

    def compute(data: Any) -> Any:
        taps = _taps(window)
        reducer = te.comm_reducer(better, identity, name="first_largest")

        def element(n: Any, c: Any, *position: Any) -> Any:
            source = _source(window, position, taps)
            inside = _inside(source, sizes)
            place = (n * shape[1] + c) * math.prod(sizes)
            for i, stride in zip(source, steps, strict=True):
                place += i * stride
            index = tirx.if_then_else(inside, place.astype("int64"), tirx.max_value("int64"))
            value = tirx.if_then_else(inside, data[(n, c, *source)], lowest)
            return reducer((index, value), axis=taps)

        indices, values = te.compute((*shape[:2], *window.output), element, name="max_pool")
        return [values, indices]

    pair = node.emit_te(compute, widened(node, 0))
    return [cast(pair[0], dtype, node.dtype(0)), pair[1]]


@converter("AveragePool", since=1)
def average_pool(node: Node) -> Any:
    """The mean of every window; padding counts on demand, what lies beyond the padding never."""
    window = _window(node)
    spatial = len(window.kernel)
    dtype = node.dtype(0)
    counted = bool(node.attribute("count_include_pad", 0))
    data = widened(node, 0)
    plain = window.after == window.declared_after or not counted
    if plain and not window.dilated and spatial in _AVERAGE_POOLS:
        pooled = _canonical(_AVERAGE_POOLS[spatial], data, window, count_include_pad=counted)
        return cast(pooled, wide(dtype), dtype)
    sums = node.emit_te(lambda x: _window_sums(x, window), data)
    return cast(relax.op.divide(sums, _window_counts(node, window, counted)), wide(dtype), dtype)


def _window_sums(data: Any, window: Window) -> Any:
    """The sum over every window of data [n, c, *spatial]."""
    taps = _taps(window)

    def element(n: Any, c: Any, *position: Any) -> Any:
        source = _source(window, position, taps)
        inside = _inside(source, [int(size) for size in data.shape[2:]])
        value = tirx.if_then_else(inside, data[(n, c, *source)], tirx.const(0, data.dtype))
        return te.sum(value, axis=taps)

    return te.compute((*data.shape[:2], *window.output), element, name="window_sums")


def _window_counts(node: Node, window: Window, padding_counts: bool) -> Any:
    """How many elements each window has, as a constant that broadcasts against the window sums."""
    counts = np.ones((1,) * len(window.kernel))
    sizes = node.shape(0)[2:]
    for axis, size in enumerate(sizes):
        starts = np.arange(window.output[axis]) * window.strides[axis] - window.before[axis]
        places = starts[:, None] + np.arange(window.kernel[axis]) * window.dilations[axis]
        low, high = (
            (-window.before[axis], size + window.declared_after[axis]) if padding_counts else (0, size)
        )
        along = ((places >= low) & (places < high)).sum(1)
        counts = counts * along.reshape([-1 if a == axis else 1 for a in range(len(sizes))])
    return relax.const(counts[None, None].astype(wide(node.dtype(0))))


@converter("LpPool", since=2)
def lp_pool(node: Node) -> Any:
    """The p-norm of every window; padding adds nothing to it."""
    window, order, dtype = _window(node), int(node.attribute("p", 2)), node.dtype(0)
    powers = node.emit(_power(relax.op.abs(widened(node, 0)), order, wide(dtype)))
    sums = node.emit_te(lambda x: _window_sums(x, window), powers)
    return cast(_root(sums, order, wide(dtype)), wide(dtype), dtype)


def _power(value: Any, order: int, dtype: str) -> Any:
    if order == 1:
        return value
    return relax.op.square(value) if order == 2 else relax.op.power(value, scalar(order, dtype))


def _root(value: Any, order: int, dtype: str) -> Any:
    if order == 1:
        return value
    return relax.op.sqrt(value) if order == 2 else relax.op.power(value, scalar(1 / order, dtype))


def _global(node: Node, reduce: Callable[[Any, list[int]], Any]) -> Any:
    rank, dtype = node.rank(0), node.dtype(0)
    if rank < 3:
        node.refuse(f"an input of shape {node.shape(0)} has no spatial axes")
    return cast(reduce(widened(node, 0), list(range(2, rank))), wide(dtype), dtype)


@converter("GlobalAveragePool", since=1)
def global_average_pool(node: Node) -> Any:
    """The mean over all spatial axes."""
    return _global(node, lambda data, axes: relax.op.mean(data, axes, keepdims=True))


@converter("GlobalMaxPool", since=1)
def global_max_pool(node: Node) -> Any:
    """The maximum over all spatial axes."""
    return _global(node, lambda data, axes: relax.op.max(data, axes, keepdims=True))


@converter("GlobalLpPool", since=2)
def global_lp_pool(node: Node) -> Any:
    """The p-norm over all spatial axes."""
    order, dtype = int(node.attribute("p", 2)), wide(node.dtype(0))

    def reduce(data: Any, axes: list[int]) -> Any:
        return _root(
            relax.op.sum(_power(relax.op.abs(data), order, dtype), axes, keepdims=True), order, dtype
        )

    return _global(node, reduce)


@converter("MaxUnpool", since=9)
def max_unpool(node: Node) -> Any:
    """Scatters a pooled tensor back to the places that MaxPool's indices name; the rest is zero."""
    shape, dtype = node.shape(0), node.dtype(0)
    spatial = len(shape) - 2
    kernel = node.attribute("kernel_shape", [])
    strides = node.attribute("strides", None) or [1] * spatial
    pads = node.attribute("pads", None) or [0] * 2 * spatial
    inferred = [
        (n - 1) * s + k - a - b
        for n, s, k, a, b in zip(shape[2:], strides, kernel, pads[:spatial], pads[spatial:], strict=True)
    ]
    sizes = [*shape[:2], *inferred]
    if node.has(2):
        sizes = [int(size) for size in node.require_constant(2, "output_shape")]
    count, total = math.prod(shape), math.prod(sizes)
    if 0 in shape or len(sizes) != len(shape):
        node.refuse(f"an input of shape {shape} does not unpool to the shape {tuple(sizes)}")

    def body(data: Any, indices: Any, out: Any) -> None:
        with T.serial(0, total) as i:
            out[i] = tirx.const(0, dtype)
        with T.serial(0, count) as u:
            target = _moved(indices[u], inferred, sizes[2:])
            with T.If(tirx.all(target >= 0, target < total)), T.Then():
                out[target] = data[u]

    return looped(node, [node.input(0), node.input(1)], [(sizes, dtype)], body)


def _moved(index: Any, sizes: Sequence[int], wider: Sequence[int]) -> Any:
    """A flat index into tensors of spatial `sizes` as one into tensors of spatial `wider` sizes."""
    place, step = tirx.const(0, "int64"), 1
    for size, room in zip(reversed(sizes), reversed(wider), strict=True):
        place += tirx.floormod(index, tirx.const(size, "int64")) * step
        index = tirx.floordiv(index, tirx.const(size, "int64"))
        step *= room
    return place + index * step
