"""Transposed convolutions as convolutions, one for all outputs that see the same taps (sub-pixel decomposition).

With stride s, the output s * j + r is a sum over the taps k = r + s * t of input j - t: for each phase r, a plain
convolution. The phases are computed beside one another and then put between one another. Phases with different
numbers of taps are convolutions of their own: a tap that is made up would bring NaN where its input is infinite.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from ._nn import Window
from ._registry import Node, literal
from ._volume import by_pictures

__all__ = ["as_convolutions"]

_CONVOLUTIONS = {1: relax.op.nn.conv1d, 2: relax.op.nn.conv2d}
_MOST_PHASES = 16  # with more, convolutions of few taps each cost more than they save

Phase = tuple[int, ...]


def as_convolutions(
    node: Node, data: Any, weights: NDArray[Any], bias: NDArray[Any] | None, groups: int, strides: Sequence[int],
    cut: Sequence[int], output: Sequence[int],
) -> Any | None:  # fmt: skip
    """Transposed convolution without dilation of data [n, c, *sizes] by weights [c, m / groups, *kernel].

    bias: [m], or None for none. cut: what is left out before each axis; output: its sizes. None where it is no sum of
    convolutions that would pay.
    """
    spatial = len(strides)
    kernel = weights.shape[2:]
    phases = list(itertools.product(*map(range, strides)))
    if spatial > 3 or len(phases) > _MOST_PHASES:
        return None
    if any(size < stride for size, stride in zip(kernel, strides, strict=True)):
        return None  # some phase sees no tap: its outputs are zeros
    rows = [-(-(first + size) // stride) for first, size, stride in zip(cut, output, strides, strict=True)]
    alike: dict[Phase, list[Phase]] = defaultdict(list)
    for phase in phases:
        taps = tuple(-(-(k - r) // s) for k, r, s in zip(kernel, phase, strides, strict=True))
        alike[taps].append(phase)
    computed = [
        _convolution(
            node, data, [_taps(weights, phase, strides) for phase in members], bias, groups, taps, rows
        )
        for taps, members in alike.items()
    ]
    together, axis = computed[0], 2 + spatial
    if len(computed) > 1:
        together = node.emit(relax.op.concat(computed, axis=axis))
    order = [phase for members in alike.values() for phase in members]
    if order != phases:
        places = literal(np.array([order.index(phase) for phase in phases]))
        together = node.emit(relax.op.take(together, places, axis))
    return _between(node, together, strides, cut, output)


def _taps(weights: NDArray[Any], phase: Phase, strides: Sequence[int]) -> NDArray[Any]:
    """The taps of a phase, [c, m / groups, *taps], in the order of a convolution's: the first sees the oldest input."""
    return weights[
        (slice(None), slice(None), *(slice(r, None, s) for r, s in zip(phase, strides, strict=True)))
    ][(slice(None), slice(None), *[slice(None, None, -1)] * len(phase))]


def _convolution(
    node: Node, data: Any, phases: Sequence[NDArray[Any]], bias: NDArray[Any] | None, groups: int, taps: Phase,
    rows: Sequence[int],
) -> Any:  # fmt: skip
    """Phases of the same taps, [n, *rows, groups, phases, m / groups]: as pictures are laid out where that is fast."""
    channels, outputs = phases[0].shape[:2]
    per_group = [each.reshape(groups, channels // groups, outputs, *taps) for each in phases]
    # [groups, phases, m / groups, c / groups, *taps]
    stacked = np.stack([each.swapaxes(1, 2) for each in per_group], axis=1)
    weights = np.ascontiguousarray(stacked.reshape(-1, channels // groups, *taps))
    sizes = node.shape(0)[2:]
    before = [count - 1 for count in taps]
    after = [max(0, wanted - size) for wanted, size in zip(rows, sizes, strict=True)]
    reached = [size + last for size, last in zip(sizes, after, strict=True)]
    ones = (1,) * len(taps)
    window = Window(taps, ones, ones, tuple(before), tuple(after), tuple(after), tuple(reached))
    if len(taps) == 3:
        result = by_pictures(node, data, weights, window, groups)
    else:
        result = _CONVOLUTIONS[len(taps)](data, literal(weights), padding=window.padding, groups=groups)
    if bias is not None:
        beside = np.repeat(bias.reshape(groups, 1, outputs), len(phases), axis=1)
        result = relax.op.add(node.emit(result), literal(beside.reshape(1, -1, *[1] * len(taps))))
    if reached != list(rows):
        axes = list(range(2, 2 + len(taps)))
        result = relax.op.strided_slice(node.emit(result), axes, [0] * len(axes), list(rows))
    last = relax.op.permute_dims(node.emit(result), [0, *range(2, 2 + len(taps)), 1])
    return node.emit(
        relax.op.reshape(node.emit(last), (node.shape(0)[0], *rows, groups, len(phases), outputs))
    )


def _between(
    node: Node, phases: Any, strides: Sequence[int], cut: Sequence[int], output: Sequence[int]
) -> Any:
    """The tensor [n, m, *output] of all phases, [n, *rows, groups, phases, m / groups]."""
    batch, *rows, groups, _, outputs = (int(extent) for extent in phases.ty.shape)
    spatial = len(strides)
    apart = node.emit(relax.op.reshape(phases, (batch, *rows, groups, *strides, outputs)))
    order = [0]
    for axis in range(spatial):
        order += [1 + axis, 2 + spatial + axis]
    whole = [row * stride for row, stride in zip(rows, strides, strict=True)]
    between = node.emit(relax.op.permute_dims(apart, [*order, 1 + spatial, 2 + 2 * spatial]))
    merged = node.emit(relax.op.reshape(between, (batch, *whole, groups * outputs)))
    axes = list(range(1, 1 + spatial))
    if any(cut) or whole != list(output):
        ends = [first + size for first, size in zip(cut, output, strict=True)]
        merged = node.emit(relax.op.strided_slice(merged, axes, list(cut), ends))
    return relax.op.permute_dims(merged, [0, 1 + spatial, *axes])
