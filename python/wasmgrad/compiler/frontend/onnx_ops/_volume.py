"""Convolutions over three axes as some over pictures: the taps of the first axis lie side by side as channels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from ._nn import Window
from ._registry import Node, literal

__all__ = ["by_pictures"]


def by_pictures(node: Node, data: Any, weights: NDArray[Any], window: Window, groups: int) -> Any:
    """Convolution without bias of float32 data [n, c, d, h, w] by weights [m, c / groups, *kernel]."""
    batch, channels, *sizes = (int(extent) for extent in data.ty.shape)
    depth, per_group = window.output[0], channels // groups
    pads = [0, 0, 0, 0, window.before[0], window.after[0], 0, 0, 0, 0]
    if any(pads):
        data = node.emit(relax.op.nn.pad(data, pads))
    taps = window.kernel[0]
    slices = []
    for tap in range(taps):
        first = tap * window.dilations[0]
        last = first + (depth - 1) * window.strides[0] + 1
        part = node.emit(relax.op.strided_slice(data, [2], [first], [last], [window.strides[0]]))
        slices.append(node.emit(relax.op.reshape(part, (batch, groups, 1, per_group, depth, *sizes[1:]))))
    beside = slices[0] if taps == 1 else node.emit(relax.op.concat(slices, axis=2))
    # [n, depth, groups, taps, c / groups, h, w]
    apart = node.emit(relax.op.permute_dims(beside, [0, 4, 1, 2, 3, 5, 6]))
    pictures = node.emit(relax.op.reshape(apart, (batch * depth, taps * channels, *sizes[1:])))
    flat = np.ascontiguousarray(
        weights.swapaxes(1, 2).reshape(len(weights), taps * per_group, *window.kernel[1:])
    )
    result = relax.op.nn.conv2d(
        pictures,
        literal(flat),
        strides=list(window.strides[1:]),
        padding=[*window.before[1:], *window.after[1:]],
        dilation=list(window.dilations[1:]),
        groups=groups,
    )
    whole = node.emit(relax.op.reshape(node.emit(result), (batch, depth, len(weights), *window.output[1:])))
    return node.emit(relax.op.permute_dims(whole, [0, 2, 1, 3, 4]))
