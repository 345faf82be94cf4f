"""Where everything of a program lies in memory: weights, then intermediates, then inputs and outputs, then states.

One plan runs at a time: intermediates of all of them share memory, and so do inputs and outputs.

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
from .plan import Call, Operand, Plan, Program

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


def lay_out(program: Program) -> MemoryLayout:
    """Gives every constant and buffer its place: buffers that never live at the same time share memory.

    Errors: `TooLarge` when the whole would not fit a 32-bit module.
    """
    placed = _place_weights(program)
    in_loads = [load.results[1] for load in program.loads]
    load_bytes = placed.load_end + max((_aligned(scratch.type.bytes) for scratch in in_loads), default=0)
    offsets = {scratch.index: placed.load_end for scratch in in_loads}

    def place(begin: int, indices: Sequence[int]) -> int:
        """Puts buffers side by side; returns their end."""
        sizes = [_aligned(program.buffer_bytes[index]) for index in indices]
        offsets.update(zip(indices, (begin + start for start in _starts(sizes)), strict=True))
        return begin + sum(sizes)

    passing_end = max(load_bytes, placed.end)
    for plan in program.plans:
        passing, size = _place_passing(program, _lives(program, plan))
        offsets.update({index: placed.end + offset for index, offset in passing.items()})
        passing_end = max(passing_end, placed.end + size)
    ends = [place(passing_end, _ends(program, plan)) for plan in program.plans]
    workspace_bytes = place(max(ends, default=passing_end), sorted(_states(program))) - placed.end
    buffers = [offsets.get(index, 0) for index in range(len(program.buffer_bytes))]
    if placed.end + workspace_bytes > _MAX_BYTES:
        raise TooLarge(
            f"the model needs {placed.end:,} bytes of weights and {workspace_bytes:,} of workspace; "
            f"a 32-bit module holds {_MAX_BYTES:,}"
        )
    return MemoryLayout(
        placed.constants, placed.made, tuple(buffers), placed.loads, placed.stored_bytes, placed.moved_bytes,
        placed.moved_by, placed.end, workspace_bytes,
    )  # fmt: skip


def weights(program: Program, layout: MemoryLayout) -> bytes:
    """All constants as they are stored: `layout.stored_bytes` bytes."""
    pieces: list[Any] = []
    for index in sorted(range(len(program.constants)), key=lambda index: (layout.stored_at(index), index)):
        array = np.ascontiguousarray(program.constants[index])
        pieces += [array.reshape(-1).view(np.uint8).data, bytes(_aligned(array.nbytes) - array.nbytes)]
    return b"".join(pieces)


def _place_weights(program: Program) -> _Weights:
    """Constants that calls read, what is made, and, at its end, what that is made of."""
    used = [each for plan in program.plans for each in _operands(plan.calls, plan.outputs)]
    read = {each.index for each in (*used, *program.states) if each.kind == "constant"}
    only_loaded = {each.index for each in _operands(program.loads) if each.kind == "constant"} - read
    kept = [index for index in range(len(program.constants)) if index not in only_loaded]
    sizes = [_aligned(array.nbytes) for array in program.constants]

    def passing(load: Call) -> list[int]:
        return [each.index for each in load.arguments if each.index in only_loaded]

    loads = sorted(program.loads, key=lambda load: -sum(sizes[index] for index in {*passing(load)}))
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


def _place_passing(program: Program, lives: dict[int, range]) -> tuple[dict[int, int], int]:
    """Offsets of buffers that do not live always, and their end.

    Greedy by size: the largest buffer first, each at the lowest offset that is free during its whole life.
    """
    placed: list[tuple[int, int, range]] = []  # offset, end, life
    offsets = {}
    for index in sorted(lives, key=lambda index: -program.buffer_bytes[index]):
        size, life, offset = _aligned(program.buffer_bytes[index]), lives[index], 0
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


def _ends(program: Program, plan: Plan) -> list[int]:
    """Buffers that live as long as a plan is chosen: its inputs and outputs, but for states."""
    ends = {operand.index for _, operand in plan.inputs}
    ends |= {operand.index for operand in plan.outputs if operand.kind == "buffer"}
    return sorted(ends - _states(program))


def _states(program: Program) -> set[int]:
    """Buffers of states."""
    return {state.index for state in program.states if state.kind == "buffer"}


def _lives(program: Program, plan: Plan) -> dict[int, range]:
    """For each other buffer, from the call that writes it to the last one that uses it, both included."""
    lasting = {*_ends(program, plan), *_states(program)}
    lives: dict[int, range] = {}
    for position, call in enumerate(plan.calls):
        for operand in call.operands:
            if operand.kind == "buffer" and operand.index not in lasting:
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
