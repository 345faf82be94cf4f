"""Operators that move, select or repeat elements by positions known while importing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from onnx import numpy_helper
from tvm import relax, te, tirx

from ._nn import scalar
from ._registry import Node, converter, dtype_name, literal

# -- the same bytes under another shape -------------------------------------------------------------------------------


@converter("Reshape", since=5)
def reshape(node: Node) -> Any:
    """Another shape: 0 keeps an extent (unless `allowzero`), -1 takes what is left."""
    shape = node.shape(0)
    wanted = [int(extent) for extent in node.require_constant(1, "the shape")]
    if not node.attribute("allowzero", 0):
        if any(extent == 0 and i >= len(shape) for i, extent in enumerate(wanted)):
            node.refuse(f"shape {wanted} copies an extent that a tensor of shape {list(shape)} does not have")
        wanted = [shape[i] if extent == 0 else extent for i, extent in enumerate(wanted)]
    if -1 in wanted:
        known = prod(extent for extent in wanted if extent != -1)
        wanted[wanted.index(-1)] = prod(shape) // known if known else 0
    return _reshaped(node, wanted)


def _reshaped(node: Node, shape: Sequence[int]) -> Any:
    if prod(shape) != prod(node.shape(0)) or min(shape, default=1) < 0:
        node.refuse(f"a tensor of shape {list(node.shape(0))} cannot take shape {list(shape)}")
    if not prod(shape):
        return _empty(node, shape)
    return relax.op.reshape(node.input(0), list(shape))


@converter("Flatten")
def flatten(node: Node) -> Any:
    """A matrix: axes before `axis` are its rows, the others its columns."""
    shape = node.shape(0)
    axis = node.attribute("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return _reshaped(node, [prod(shape[:axis]), prod(shape[axis:])])


def _axes(node: Node, what: str = "axes") -> list[int] | None:
    """`axes` as an attribute (older operator sets) or as input 1."""
    if node.has(1):
        return [int(axis) for axis in node.require_constant(1, what).reshape(-1)]
    axes = node.attribute("axes", None)
    return None if axes is None else [int(axis) for axis in axes]


@converter("Squeeze")
def squeeze(node: Node) -> Any:
    """Without axes of extent 1."""
    shape = node.shape(0)
    axes = _axes(node)
    if axes is None:
        gone = {i for i, extent in enumerate(shape) if extent == 1}
    else:
        gone = {node.normalize_axis(axis, len(shape)) for axis in axes}
    if any(shape[axis] != 1 for axis in gone):
        node.refuse(f"axes {sorted(gone)} of shape {list(shape)} are not all of extent 1")
    return _reshaped(node, [extent for i, extent in enumerate(shape) if i not in gone])


@converter("Unsqueeze")
def unsqueeze(node: Node) -> Any:
    """With new axes of extent 1."""
    axes = _axes(node) or []
    rank = node.rank(0) + len(axes)
    new = {node.normalize_axis(axis, rank) for axis in axes}
    if len(new) != len(axes):
        node.refuse(f"axes {axes} name an axis twice")
    kept = iter(node.shape(0))
    return _reshaped(node, [1 if i in new else next(kept) for i in range(rank)])


# -- elements in other places -----------------------------------------------------------------------------------------


@converter("Transpose")
def transpose(node: Node) -> Any:
    """Axes in another order, by default reversed."""
    order = node.attribute("perm", None) or list(reversed(range(node.rank(0))))
    return relax.op.permute_dims(node.input(0), [int(axis) for axis in order])


@converter("Expand", since=8)
def expand(node: Node) -> Any:
    """Broadcast to a shape."""
    wanted = [int(extent) for extent in node.require_constant(1, "the shape")]
    shape = np.broadcast_shapes(node.shape(0), wanted)
    return node.input(0) if shape == node.shape(0) else relax.op.broadcast_to(node.input(0), shape)


@converter("Tile", since=6)
def tile(node: Node) -> Any:
    """Repeated along every axis."""
    repeats = [int(count) for count in node.require_constant(1, "repeats")]
    shape = node.shape(0)
    if len(repeats) != len(shape) or min(repeats, default=0) < 0:
        node.refuse(f"repeats {repeats} do not fit a tensor of {len(shape)} dimensions")
    result = [extent * count for extent, count in zip(shape, repeats, strict=True)]

    def kernel(x: te.Tensor) -> te.Tensor:
        return te.compute(result, lambda *i: x(*(tirx.floormod(a, n) for a, n in zip(i, shape, strict=True))))

    return node.emit_te(kernel, node.input(0)) if prod(shape) else _empty(node, result)


def _empty(node: Node, shape: Sequence[int]) -> Any:
    return literal(np.zeros(shape, np.uint8), node.dtype(0))


@converter("Concat", since=4)
def concat(node: Node) -> Any:
    """Tensors one after the other along an axis."""
    return joined(node, node.inputs, node.axis(None, node.rank(0)))


def joined(node: Node, tensors: Sequence[Any], axis: int) -> Any:
    """The concatenation of Relax tensors; empty ones are left out."""
    shapes = [tuple(int(extent) for extent in tensor.ty.shape.values) for tensor in tensors]
    full = [tensor for tensor, shape in zip(tensors, shapes, strict=True) if shape[axis]]
    if len(full) < 2:
        return (full or list(tensors))[0]
    return node.emit(relax.op.concat(full, axis))


def sliced(node: Node, x: Any, starts: Sequence[int], shape: Sequence[int], steps: Sequence[int]) -> Any:
    """Emits x[start + i * step] for i below the extents of `shape`, on every axis."""

    def kernel(tensor: te.Tensor) -> te.Tensor:
        return te.compute(
            tuple(shape),
            lambda *i: tensor(*(a * step + start for a, start, step in zip(i, starts, steps, strict=True))),
        )

    return node.emit_te(kernel, x, primfunc_name_hint="slice")


def part(node: Node, x: Any, shape: Sequence[int], axis: int, start: int, length: int) -> Any:
    """Emits the part of `x` (of `shape`) from `start` on along one axis."""
    starts = [start if i == axis else 0 for i in range(len(shape))]
    extents = [length if i == axis else extent for i, extent in enumerate(shape)]
    return sliced(node, x, starts, extents, [1] * len(shape))


@converter("Slice", since=1)
def slice_by_attributes(node: Node) -> Any:
    """Bounds given as attributes."""
    starts, ends = node.attribute("starts"), node.attribute("ends")
    axes = node.attribute("axes", None) or list(range(len(starts)))
    return _slice(node, starts, ends, axes, [1] * len(starts))


@converter("Slice", since=10)
def slice_by_inputs(node: Node) -> Any:
    """Bounds given as inputs."""
    starts = [int(value) for value in node.require_constant(1, "starts")]
    ends = [int(value) for value in node.require_constant(2, "ends")]
    axes = [int(v) for v in node.require_constant(3, "axes")] if node.has(3) else list(range(len(starts)))
    steps = [int(v) for v in node.require_constant(4, "steps")] if node.has(4) else [1] * len(starts)
    return _slice(node, starts, ends, axes, steps)


def _slice(
    node: Node, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int]
) -> Any:
    shape = list(node.shape(0))
    begin, stride, extents = [0] * len(shape), [1] * len(shape), list(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step == 0:
            node.refuse("a step is 0")
        axis = node.normalize_axis(axis, len(shape))  # noqa: PLW2901
        chosen = range(shape[axis])[slice(int(start), int(end), int(step))]
        begin[axis], stride[axis], extents[axis] = chosen.start, chosen.step, len(chosen)
    if extents == shape and all(step == 1 for step in stride):
        return node.input(0)
    return sliced(node, node.input(0), begin, extents, stride)


def _split_sizes(extent: int, count: int) -> list[int]:
    """`extent` in `count` parts of equal size, the last one smaller when it does not divide."""
    size = -(-extent // count)
    return [max(0, min(size, extent - i * size)) for i in range(count)]


@converter("Split")
def split(node: Node) -> Any:
    """Parts along an axis."""
    shape = node.shape(0)
    axis = node.axis(0, len(shape))
    if node.has(1):
        sizes = [int(size) for size in node.require_constant(1, "split")]
    else:
        parts = node.attribute("num_outputs", node.outputs)
        sizes = node.attribute("split", None) or _split_sizes(shape[axis], parts)
    if sum(sizes) != shape[axis] or min(sizes, default=0) < 0:
        node.refuse(f"parts of {sizes} do not add up to {shape[axis]}")
    starts = np.cumsum([0, *sizes])
    return [
        part(node, node.input(0), shape, axis, int(start), int(size))
        for start, size in zip(starts, sizes, strict=False)
    ]


# -- padding ----------------------------------------------------------------------------------------------------------


@converter("Pad")
def pad_by_attributes(node: Node) -> Any:
    """Pads given as attributes."""
    pads = node.attribute("pads", None) or node.attribute("paddings")
    return _pad(node, pads, list(range(node.rank(0))), node.attribute("value", 0.0))


@converter("Pad", since=11)
def pad_by_inputs(node: Node) -> Any:
    """Pads given as inputs."""
    rank = node.rank(0)
    pads = [int(pad) for pad in node.require_constant(1, "pads")]
    axes = list(range(rank))
    if node.has(3):
        axes = [node.normalize_axis(int(axis), rank) for axis in node.require_constant(3, "axes")]
    if not node.has(2):
        return _pad(node, pads, axes, 0)
    fill = node.constant(2)
    return _pad(node, pads, axes, node.input(2) if fill is None else fill.item())


def _pad(node: Node, pads: Sequence[int], axes: Sequence[int], fill: Any) -> Any:
    """`fill` is a number, or a Relax tensor of one."""
    shape, dtype = node.shape(0), node.dtype(0)
    known = isinstance(fill, (int, float))
    mode = node.attribute("mode", "constant")
    if len(pads) != 2 * len(axes):
        node.refuse(f"{len(pads)} pads do not fit {len(axes)} axes")
    before, result = [0] * len(shape), list(shape)
    for i, axis in enumerate(axes):
        before[axis] = int(pads[i])
        result[axis] += int(pads[i]) + int(pads[len(axes) + i])
    if min(result, default=1) < 0:
        node.refuse(f"pads {list(pads)} cut more than a tensor of shape {list(shape)} has")
    if mode not in _SOURCES and mode != "constant":
        node.refuse(f"mode {mode!r} is unknown")
    if mode != "constant" and any(n == 0 and r > 0 for n, r in zip(shape, result, strict=True)):
        node.refuse(f"mode {mode!r} needs elements to repeat, the tensor has shape {list(shape)}")
    value = scalar(fill, dtype) if known else relax.op.reshape(fill, [])
    if not prod(shape):
        return relax.op.broadcast_to(value, result)

    def constant(x: te.Tensor, fill: te.Tensor) -> te.Tensor:
        def element(*index: Any) -> Any:
            source = [i - first for i, first in zip(index, before, strict=True)]
            inside = [
                condition
                for a, first, extent, wide in zip(source, before, shape, result, strict=True)
                for condition in ([a >= 0] * (first > 0) + [a < extent] * (wide - first > extent))
            ]
            return tirx.if_then_else(tirx.all(*inside), x(*source), fill()) if inside else x(*source)

        return te.compute(tuple(result), element)

    def repeated(x: te.Tensor) -> te.Tensor:
        source = _SOURCES[mode]
        return te.compute(
            tuple(result),
            lambda *index: x(
                *(source(i - first, n) for i, first, n in zip(index, before, shape, strict=True))
            ),
        )

    if mode == "constant":
        if known and "float" in dtype and min(pads, default=0) >= 0:
            widths = zip(before, shape, result, strict=True)
            pairs = [pad for first, extent, wide in widths for pad in (first, wide - first - extent)]
            return relax.op.nn.pad(node.input(0), pairs, "constant", float(fill))
        return node.emit_te(constant, node.input(0), node.emit(value))
    return node.emit_te(repeated, node.input(0))


def _reflected(i: Any, extent: int) -> Any:
    if extent == 1:
        return i * 0
    period = 2 * (extent - 1)
    i = tirx.floormod(i, period)
    return tirx.min(i, period - i)


_SOURCES = {
    "reflect": _reflected,
    "edge": lambda i, extent: tirx.max(tirx.min(i, extent - 1), 0),
    "wrap": tirx.floormod,
}


# -- tensors made from nothing ----------------------------------------------------------------------------------------


@converter("ConstantOfShape", since=9)
def constant_of_shape(node: Node) -> Any:
    """One value everywhere."""
    shape = [int(extent) for extent in node.require_constant(0, "the shape")]
    value = node.attribute("value", None)
    fill = np.zeros((), np.float32) if value is None else numpy_helper.to_array(value).reshape(())
    return relax.op.full(shape, literal(fill), str(fill.dtype))


@converter("EyeLike", since=9)
def eye_like(node: Node) -> Any:
    """Ones on a diagonal, in the shape of the input."""
    rows, columns = node.shape(0)
    to = node.attribute("dtype", None)
    dtype = node.dtype(0) if to is None else dtype_name(to)
    return literal(np.eye(rows, columns, node.attribute("k", 0)), dtype)


@converter("Range", since=11)
def arithmetic_sequence(node: Node) -> Any:
    """Numbers from start to limit by delta; only as a constant, because they decide its length."""
    start, limit, delta = (
        node.require_constant(i, what).item() for i, what in enumerate(("start", "limit", "delta"))
    )
    count = max(0, int(np.ceil((limit - start) / delta)))
    return literal(start + np.arange(count) * delta, node.dtype(0))


@converter("Trilu", since=14)
def trilu(node: Node) -> Any:
    """The triangle above or below a diagonal, 0 elsewhere."""
    k = int(node.require_constant(1, "k").item()) if node.has(1) else 0
    upper, shape = node.attribute("upper", 1), node.shape(0)
    zero = tirx.const(0, node.dtype(0))
    if not prod(shape):
        return node.input(0)

    def kernel(x: te.Tensor) -> te.Tensor:
        def element(*index: Any) -> Any:
            distance = index[-1] - index[-2]
            return tirx.if_then_else(distance >= k if upper else distance <= k, x(*index), zero)

        return te.compute(shape, element)

    return node.emit_te(kernel, node.input(0))
