"""Where everything of a plan lies in memory: weights, then intermediates, then inputs and outputs.

Weights that are made when a module is loaded are made in the order of falling size of what they are made of, which
lies as far behind them as it must so that none of it is overwritten too early: it takes the place of weights that are
not yet made, and of intermediates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from ..._errors import TooLarge
from .plan import Call, Operand, Plan

__all__ = ["ALIGNMENT", "MemoryLayout", "lay_out", "memory_of_thread", "weights"]

ALIGNMENT = 64
_THREAD_STACK = 1 << 16  # as cpp/graph_runtime/threads/exports.cpp has it
_MAX_BYTES = (1 << 31) - (
    1 << 24
)  # offsets are signed 32-bit; what is left holds the module's own data and stack


@dataclass(frozen=True)
class MemoryLayout:
    """Offsets in bytes from the base of a module's memory, each a multiple of 64.

    `constants` are where they lie when the module is loaded. Those that it no longer needs then, the last
    `moved_bytes` of the `stored_bytes`, are stored `moved_by` bytes before that. `loads` have the order that they need.
    """

    constants: tuple[int, ...]
    made: tuple[int, ...]
    buffers: tuple[int, ...]
    loads: tuple[Call, ...]
    stored_bytes: int
    moved_bytes: int
    moved_by: int
    weights_bytes: int
    workspace_bytes: int

    def offset(self, operand: Operand) -> int:
        """Where an operand lies."""
        offsets = {"constant": self.constants, "made": self.made, "buffer": self.buffers}
        return offsets[operand.kind][operand.index]

    def stored_at(self, constant: int) -> int:
        """Where a constant is stored."""
        offset = self.constants[constant]
        return offset if offset < self.stored_bytes - self.moved_bytes else offset - self.moved_by

    @property
    def end(self) -> int:
        """The first byte after everything that is laid out."""
        return self.weights_bytes + self.workspace_bytes


@dataclass(frozen=True)
class _Weights:
    """Offsets of constants and of what is made of them, and the end of what is only there while they are loaded."""

    constants: tuple[int, ...]
    made: tuple[int, ...]
    loads: tuple[Call, ...]
    stored_bytes: int
    moved_bytes: int
    moved_by: int
    end: int
    load_end: int


def memory_of_thread(scratch_bytes: Iterable[int]) -> int:
    """What each thread but the first one has: a stack, and scratch memory for any of the kernels that take so much."""
    return _THREAD_STACK + _aligned(max(scratch_bytes, default=0))


def lay_out(plan: Plan) -> MemoryLayout:
    """Gives every constant and buffer its place: buffers that never live at the same time share memory.

    Errors: `TooLarge` when the whole would not fit a 32-bit module.
    """
    placed = _place_weights(plan)
    lives = _lives(plan)
    passing = {index: life for index, life in lives.items() if life.start >= 0}
    offsets, passing_bytes = _place_passing(plan, passing)
    in_loads = [load.results[1] for load in plan.loads]
    load_bytes = placed.load_end + max((_aligned(scratch.type.bytes) for scratch in in_loads), default=0)
    passing_bytes = max(passing_bytes, load_bytes - placed.end)
    buffers = [0] * len(plan.buffer_bytes)
    for scratch in in_loads:
        buffers[scratch.index] = placed.load_end
    for index, offset in offsets.items():
        buffers[index] = placed.end + offset
    workspace_bytes = passing_bytes
    for index in lives.keys() - passing.keys():
        buffers[index] = placed.end + workspace_bytes
        workspace_bytes += _aligned(plan.buffer_bytes[index])
    if placed.end + workspace_bytes > _MAX_BYTES:
        raise TooLarge(
            f"the model needs {placed.end:,} bytes of weights and {workspace_bytes:,} of workspace; "
            f"a 32-bit module holds {_MAX_BYTES:,}"
        )
    return MemoryLayout(
        placed.constants, placed.made, tuple(buffers), placed.loads, placed.stored_bytes, placed.moved_bytes,
        placed.moved_by, placed.end, workspace_bytes,
    )  # fmt: skip


def weights(plan: Plan, layout: MemoryLayout) -> bytes:
    """All constants as they are stored: `layout.stored_bytes` bytes."""
    pieces: list[Any] = []
    for index in sorted(range(len(plan.constants)), key=lambda index: (layout.stored_at(index), index)):
        array = np.ascontiguousarray(plan.constants[index])
        pieces += [array.reshape(-1).view(np.uint8).data, bytes(_aligned(array.nbytes) - array.nbytes)]
    return b"".join(pieces)


def _place_weights(plan: Plan) -> _Weights:
    """Constants that calls read, what is made, and, at its end, what that is made of."""
    read = {each.index for each in _operands(plan.calls, plan.outputs) if each.kind == "constant"}
    only_loaded = {each.index for each in _operands(plan.loads) if each.kind == "constant"} - read
    kept = [index for index in range(len(plan.constants)) if index not in only_loaded]
    sizes = [_aligned(array.nbytes) for array in plan.constants]

    def passing(load: Call) -> list[int]:
        return [each.index for each in load.arguments if each.index in only_loaded]

    loads = sorted(plan.loads, key=lambda load: -sum(sizes[index] for index in {*passing(load)}))
    last = {index: position for position, load in enumerate(loads) for index in passing(load)}
    groups = [
        [index for index in dict.fromkeys(passing(load)) if last[index] == i] for i, load in enumerate(loads)
    ]
    constants = dict(zip(kept, _starts(sizes[index] for index in kept), strict=True))
    begin = sum(sizes[index] for index in kept)

    made_sizes = [_aligned(load.results[0].type.bytes) for load in loads]
    made = {load.results[0].index: begin + at for load, at in zip(loads, _starts(made_sizes), strict=True)}
    end = begin + sum(made_sizes)
    group_starts = _starts(sum(sizes[index] for index in group) for group in groups)
    # What a load makes must end before what it and those after it are made of.
    ends = accumulate(made_sizes)
    distance = max((made_end - start for made_end, start in zip(ends, group_starts, strict=True)), default=0)
    distance = max(distance, 0)
    order = [index for group in groups for index in group]
    for index, at in zip(order, _starts(sizes[index] for index in order), strict=True):
        constants[index] = begin + distance + at
    moved = sum(sizes[index] for index in order)
    return _Weights(
        tuple(constants[index] for index in range(len(sizes))),
        tuple(made[index] for index in range(len(made))),
        tuple(loads), begin + moved, moved, distance, end, max(begin + distance + moved, end),
    )  # fmt: skip


def _place_passing(plan: Plan, lives: dict[int, range]) -> tuple[dict[int, int], int]:
    """Offsets of buffers that do not live always, and their end.

    Greedy by size: the largest buffer first, each at the lowest offset that is free during its whole life.
    """
    placed: list[tuple[int, int, range]] = []  # offset, end, life
    offsets = {}
    for index in sorted(lives, key=lambda index: -plan.buffer_bytes[index]):
        size, life, offset = _aligned(plan.buffer_bytes[index]), lives[index], 0
        for other_offset, other_end, other_life in sorted(placed, key=lambda place: place[0]):
            apart = other_life.stop <= life.start or life.stop <= other_life.start
            if apart or other_end <= offset:
                continue
            if offset + size <= other_offset:
                break
            offset = other_end
        placed.append((offset, offset + size, life))
        offsets[index] = offset
    return offsets, max((end for _, end, _ in placed), default=0)


def _lives(plan: Plan) -> dict[int, range]:
    """From the call that writes a buffer to the last one that uses it, both included.

    Inputs, outputs and states live always, from before the first call.
    """
    always = {operand.index for operand in (*(operand for _, operand in plan.inputs), *plan.states)}
    always |= {operand.index for operand in plan.outputs if operand.kind == "buffer"}
    lives = {index: range(-1, len(plan.calls) + 1) for index in sorted(always)}
    for position, call in enumerate(plan.calls):
        for operand in call.operands:
            if operand.kind == "buffer" and operand.index not in always:
                start = lives[operand.index].start if operand.index in lives else position
                lives[operand.index] = range(start, position + 1)
    return lives


def _operands(calls: Iterable[Call], more: Iterable[Operand] = ()) -> list[Operand]:
    return [*(operand for call in calls for operand in call.operands), *more]


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _starts(sizes: Iterable[int]) -> Sequence[int]:
    """Offsets of parts of these sizes that lie side by side."""
    sizes = list(sizes)
    return [0, *accumulate(sizes)][: len(sizes)]
