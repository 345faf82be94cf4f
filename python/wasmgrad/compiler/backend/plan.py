"""The plan of a compiled model: a straight line of kernel calls over buffers with fixed places in memory.

It is made from a lowered Relax module and knows nothing of how kernels are generated or linked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from ..._errors import TooLarge, Unsupported
from ..._graph.format.metadata import ITEM_BYTES

__all__ = [
    "ALIGNMENT",
    "Call",
    "MemoryLayout",
    "Operand",
    "Plan",
    "TensorType",
    "extract",
    "lay_out",
    "memory_of_thread",
    "weights",
]

ALIGNMENT = 64
_MAX_BYTES = (1 << 31) - (
    1 << 24
)  # offsets are signed 32-bit; what is left holds the module's own data and stack


_THREAD_STACK = 1 << 16  # as cpp/graph_runtime/threads/exports.cpp has it


@dataclass(frozen=True)
class TensorType:
    """Shape and dtype (NumPy's name) of a dense tensor."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return prod(self.shape) * ITEM_BYTES[self.dtype]

    @classmethod
    def of(cls, ty: Any, what: str) -> TensorType:
        """From a Relax type. Errors: `Unsupported` for a dtype that kernels do not have."""
        dtype = str(ty.dtype)
        if dtype not in ITEM_BYTES:
            raise Unsupported(f"{what}: tensors of {dtype} are not supported")
        return cls(tuple(int(extent) for extent in ty.shape), dtype)


@dataclass(frozen=True)
class Operand:
    """A tensor as a kernel sees it: its type, and the constant or buffer (by index) that holds it."""

    kind: Literal["constant", "buffer"]
    index: int
    type: TensorType


@dataclass(frozen=True)
class Call:
    """One kernel call, with its arguments first and its results after them. `name` is for people."""

    kernel: str
    arguments: tuple[Operand, ...]
    results: tuple[Operand, ...]
    name: str

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Arguments and results, in the order of the kernel's parameters."""
        return self.arguments + self.results

    @property
    def bytes(self) -> int:
        """What the call reads and writes at least once."""
        return sum(operand.type.bytes for operand in self.operands)


@dataclass
class Plan:
    """Calls in order, over `constants` and over buffers of `buffer_bytes`. `states` outlive a run."""

    inputs: list[tuple[str, Operand]] = field(default_factory=list)
    outputs: list[Operand] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    constants: list[NDArray[Any]] = field(default_factory=list)
    buffer_bytes: list[int] = field(default_factory=list)
    states: list[Operand] = field(default_factory=list)


@dataclass(frozen=True)
class MemoryLayout:
    """Offsets in bytes from the base of a module's memory, each a multiple of 64."""

    constants: tuple[int, ...]
    buffers: tuple[int, ...]
    weights_bytes: int
    workspace_bytes: int

    def offset(self, operand: Operand) -> int:
        """Where an operand lies."""
        return self.constants[operand.index] if operand.kind == "constant" else self.buffers[operand.index]

    @property
    def end(self) -> int:
        """The first byte after everything that is laid out."""
        return self.weights_bytes + self.workspace_bytes


def extract(module: Any) -> Plan:
    """The plan of `main` in a module whose calls are all lowered to kernels of static shapes.

    Errors: `Unsupported` for an operator that was not lowered, and for dtypes without kernels.
    """
    return _Extraction(module["main"]).plan


class _Extraction:
    def __init__(self, main: Any) -> None:
        self.plan = Plan()
        self._values: dict[Any, Any] = {}  # Relax variable -> Operand, or a list of them for a tuple
        self._known_constants: dict[tuple[Any, ...], int] = {}
        for parameter in main.params:
            operand = self._new_buffer(parameter.ty, f"input {parameter.name}")
            self._values[parameter] = operand
            self.plan.inputs.append((parameter.name, operand))
        for block in main.body.blocks:
            for binding in block.bindings:
                self._values[binding.var] = self._evaluate(binding.value, binding.var)
        result = self._evaluate(main.body.body, None)
        self.plan.outputs = result if isinstance(result, list) else [result]

    def _new_buffer(self, ty: Any, what: str) -> Operand:
        tensor = TensorType.of(ty, what)
        self.plan.buffer_bytes.append(tensor.bytes)
        return Operand("buffer", len(self.plan.buffer_bytes) - 1, tensor)

    def _constant(self, expression: Any) -> Operand:
        array = expression.value.numpy()
        tensor = TensorType.of(expression.ty, "a constant")
        key = (tensor.dtype, hash(array.tobytes()), array.nbytes)
        index = self._known_constants.setdefault(key, len(self.plan.constants))
        if index == len(self.plan.constants):
            self.plan.constants.append(array)
        return Operand("constant", index, tensor)

    def _evaluate(self, expression: Any, variable: Any) -> Any:
        if isinstance(expression, relax.Var):
            return self._values[expression]
        if isinstance(expression, relax.Tuple):
            return [self._evaluate(part, None) for part in expression.fields]
        if isinstance(expression, relax.TupleGetItem):
            return self._evaluate(expression.tuple_value, None)[expression.index]
        if isinstance(expression, relax.Call):
            return self._call(expression, variable)
        if hasattr(expression, "value") and hasattr(expression.value, "numpy"):
            return self._constant(expression)
        raise Unsupported(f"expressions of kind {type(expression).__name__} have no kernel")

    def _call(self, call: Any, variable: Any) -> Any:
        operator = getattr(call.op, "name", None)
        if operator == "relax.reshape":  # tensors are dense: the same bytes
            whole = self._evaluate(call.args[0], None)
            return Operand(whole.kind, whole.index, TensorType.of(variable.ty, "a reshaped tensor"))
        if operator not in ("relax.call_tir", "relax.call_dps_packed"):
            raise Unsupported(f"operator {operator or type(call.op).__name__} has no kernel")
        arguments = call.args[1].fields if isinstance(call.args[1], relax.Tuple) else [call.args[1]]
        kernel = call.args[0].name_hint if operator == "relax.call_tir" else str(call.args[0].global_symbol)
        several = hasattr(variable.ty, "fields")
        types = variable.ty.fields if several else [variable.ty]
        results = [self._new_buffer(ty, f"a result of {kernel}") for ty in types]
        self.plan.calls.append(
            Call(
                kernel,
                tuple(self._evaluate(argument, None) for argument in arguments),
                tuple(results),
                variable.name,
            )
        )
        return results if several else results[0]


def lay_out(plan: Plan) -> MemoryLayout:
    """Gives every constant and buffer its place: buffers that never live at the same time share memory.

    Greedy by size: the largest buffer first, each at the lowest offset that is free during its whole life. Inputs,
    outputs and states live always. Errors: `TooLarge` when the whole would not fit a 32-bit module.
    """
    constants, weights_bytes = _pack(array.nbytes for array in plan.constants)
    lives = _lives(plan)
    placed: list[tuple[int, int, range]] = []  # offset, end, life
    buffers = [0] * len(plan.buffer_bytes)
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
        buffers[index] = weights_bytes + offset
    workspace_bytes = max((end for _, end, _ in placed), default=0)
    if weights_bytes + workspace_bytes > _MAX_BYTES:
        raise TooLarge(
            f"the model needs {weights_bytes:,} bytes of weights and {workspace_bytes:,} of workspace; "
            f"a 32-bit module holds {_MAX_BYTES:,}"
        )
    return MemoryLayout(tuple(constants), tuple(buffers), weights_bytes, workspace_bytes)


def memory_of_thread(scratch_bytes: Iterable[int]) -> int:
    """What each thread but the first one has: a stack, and scratch memory for any of the kernels that take so much."""
    return _THREAD_STACK + _aligned(max(scratch_bytes, default=0))


def _lives(plan: Plan) -> dict[int, range]:
    """From the call that writes a buffer to the last one that uses it, both included."""
    always = {operand.index for operand in (*(operand for _, operand in plan.inputs), *plan.states)}
    always |= {operand.index for operand in plan.outputs if operand.kind == "buffer"}
    lives = {index: range(-1, len(plan.calls) + 1) for index in always}
    for position, call in enumerate(plan.calls):
        for operand in call.operands:
            if operand.kind == "buffer" and operand.index not in always:
                start = lives[operand.index].start if operand.index in lives else position
                lives[operand.index] = range(start, position + 1)
    return lives


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _pack(sizes: Iterable[int]) -> tuple[list[int], int]:
    offsets, end = [], 0
    for size in sizes:
        offsets.append(end)
        end += _aligned(size)
    return offsets, end


def weights(plan: Plan, layout: MemoryLayout) -> bytes:
    """All constants at their offsets: `layout.weights_bytes` bytes."""
    image = bytearray(layout.weights_bytes)
    for array, offset in zip(plan.constants, layout.constants, strict=True):
        image[offset : offset + array.nbytes] = np.ascontiguousarray(array).tobytes()
    return bytes(image)
