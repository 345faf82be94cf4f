"""Operators that only move elements: DepthToSpace, SpaceToDepth, Col2Im, CenterCropPad, ReverseSequence."""

from __future__ import annotations

import math
from typing import Any

from tvm import relax, te, tirx

from ._nn import all_of, cast, per_axis, wide
from ._registry import Node, converter


def _blocks(node: Node) -> tuple[tuple[int, int, int, int], int, bool]:
    """Shape of input 0, block size, and whether the channel is outside of the block (CRD) instead of inside (DCR)."""
    shape, block = node.shape(0), int(node.attribute("blocksize"))
    mode = node.attribute("mode", "DCR")
    if len(shape) != 4 or block < 1 or mode not in {"DCR", "CRD"}:
        node.refuse(f"an input of shape {shape} with blocksize {block} and mode '{mode}' is not supported")
    return (shape[0], shape[1], shape[2], shape[3]), block, mode == "CRD"


@converter("DepthToSpace", since=1)
def depth_to_space(node: Node) -> Any:
    """Spreads channels over blocks of pixels."""
    (n, c, h, w), b, channel_first = _blocks(node)
    depth = c // (b * b)
    if depth * b * b != c:
        node.refuse(f"{c} channels do not fill blocks of {b} x {b}")
    split = [n, depth, b, b, h, w] if channel_first else [n, b, b, depth, h, w]
    order = [0, 1, 4, 2, 5, 3] if channel_first else [0, 3, 4, 1, 5, 2]
    moved = relax.op.permute_dims(relax.op.reshape(node.input(0), split), order)
    return relax.op.reshape(moved, [n, depth, h * b, w * b])


@converter("SpaceToDepth", since=1)
def space_to_depth(node: Node) -> Any:
    """Collects blocks of pixels into channels."""
    (n, c, h, w), b, channel_first = _blocks(node)
    if h % b or w % b:
        node.refuse(f"{h} x {w} pixels do not divide into blocks of {b} x {b}")
    order = [0, 1, 3, 5, 2, 4] if channel_first else [0, 3, 5, 1, 2, 4]
    split = relax.op.reshape(node.input(0), [n, c, h // b, b, w // b, b])
    return relax.op.reshape(relax.op.permute_dims(split, order), [n, c * b * b, h // b, w // b])


@converter("Col2Im", since=18)
def col2im(node: Node) -> Any:
    """Adds up overlapping blocks [n, c · block, positions] to an image [n, c, *sizes]."""
    sizes = [int(size) for size in node.require_constant(1, "image_shape")]
    block = [int(size) for size in node.require_constant(2, "block_shape")]
    spatial, (batch, rows, positions) = len(sizes), node.shape(0)
    strides, dilations = per_axis(node, "strides", spatial, 1), per_axis(node, "dilations", spatial, 1)
    pads = [int(pad) for pad in node.attribute("pads", None) or [0] * 2 * spatial]
    counts = [
        (size + a + b - (k - 1) * d - 1) // s + 1
        for size, a, b, k, d, s in zip(
            sizes, pads[:spatial], pads[spatial:], block, dilations, strides, strict=True
        )
    ]
    channels = rows // math.prod(block)
    if channels * math.prod(block) != rows or math.prod(counts) != positions:
        node.refuse(f"an input of shape {node.shape(0)} does not fit an image of shape {tuple(sizes)}")
    dtype = node.dtype(0)
    work = wide(dtype)

    def compute(data: Any) -> Any:
        taps = [te.reduce_axis((0, size), "tap") for size in block]

        def element(n: Any, c: Any, *place: Any) -> Any:
            row, column, conditions = c, tirx.const(0, "int64"), []
            for axis, tap in enumerate(taps):
                offset = place[axis] + pads[axis] - tap * dilations[axis]
                index = tirx.floordiv(offset, strides[axis])
                conditions += [tirx.floormod(offset, strides[axis]) == 0, index >= 0, index < counts[axis]]
                row = row * block[axis] + tap
                column = column * counts[axis] + index
            value = data[n, row, column].astype(work)
            return te.sum(tirx.if_then_else(all_of(conditions), value, tirx.const(0, work)), axis=taps)

        return te.compute((batch, channels, *sizes), element, name="col2im")

    return cast(node.emit_te(compute, node.input(0)), work, dtype)


@converter("CenterCropPad", since=18)
def center_crop_pad(node: Node) -> Any:
    """Crops or zero-pads axes to given sizes, evenly on both sides; the odd element goes to the end."""
    shape = node.shape(0)
    axes = [
        node.normalize_axis(int(a), len(shape)) for a in node.attribute("axes", None) or range(len(shape))
    ]
    sizes = [int(size) for size in node.require_constant(1, "shape")]
    if len(axes) != len(sizes):
        node.refuse(f"{len(axes)} axes need as many sizes, not {len(sizes)}")
    begins, ends, pads = [0] * len(shape), list(shape), [0] * 2 * len(shape)
    for axis, size in zip(axes, sizes, strict=True):
        if size < shape[axis]:
            begins[axis] = (shape[axis] - size) // 2
            ends[axis] = begins[axis] + size
        else:
            missing = size - shape[axis]
            pads[2 * axis : 2 * axis + 2] = missing // 2, missing - missing // 2
    result = node.input(0)
    if (begins, ends) != ([0] * len(shape), list(shape)):
        result = relax.op.strided_slice(result, list(range(len(shape))), begins, ends)
    if any(pads):
        result = relax.op.nn.pad(result, pads, "constant", 0)
    return result


@converter("ReverseSequence", since=10)
def reverse_sequence(node: Node) -> Any:
    """Turns around the beginning of every sequence of a batch, each by its own length."""
    batch, time = int(node.attribute("batch_axis", 1)), int(node.attribute("time_axis", 0))
    if {batch, time} != {0, 1}:
        node.refuse(f"batch_axis {batch} and time_axis {time} must be 0 and 1")
    return node.emit_te(reversed_sequences, node.input(0), node.input(1), batch, time)


def reversed_sequences(data: Any, lengths: Any, batch: int, time: int) -> Any:
    """The kernel of ReverseSequence: `lengths` holds one length per index of axis `batch`."""

    def element(*place: Any) -> Any:
        length = lengths[place[batch]].astype("int64")
        source = list(place)
        step = place[time].astype("int64")
        source[time] = tirx.Select(step < length, length - 1 - step, step)
        # A length beyond the sequence would read outside of it.
        last = tirx.const(int(data.shape[time]) - 1, "int64")
        source[time] = tirx.max(tirx.min(source[time], last), tirx.const(0, "int64"))
        return data[tuple(source)]

    return te.compute(data.shape, element, name="reverse_sequence")
