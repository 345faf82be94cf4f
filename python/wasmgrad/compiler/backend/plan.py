"""Plans of a compiled model: straight lines of kernel calls over buffers with fixed places in memory.

They are made from lowered Relax modules and know nothing of how kernels are generated or linked. Some weights are made
of constants when a module is loaded, before the calls of any plan. All plans of a program have them, and the states,
in common.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from ..._errors import Unsupported
from ..._graph.format.metadata import ENTRY, ITEM_BYTES
from .._relax import array_of

__all__ = [
    "Call",
    "Operand",
    "Plan",
    "Prepared",
    "Program",
    "TensorType",
    "extract",
]


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
    """A tensor as a kernel sees it: its type, and what holds it, by index.

    That is a constant as it is stored, one that is made of such when the module is loaded, or a buffer.
    """

    kind: Literal["constant", "made", "buffer"]
    index: int
    type: TensorType


@dataclass(frozen=True)
class Call:
    """One kernel call, with its arguments first and its results after them. `name` is for people.

    `takes_batch`: whether the kernel's last parameter is the plan's batch.
    """

    kernel: str
    arguments: tuple[Operand, ...]
    results: tuple[Operand, ...]
    name: str
    takes_batch: bool = False

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Arguments and results, in the order of the kernel's parameters."""
        return self.arguments + self.results

    @property
    def bytes(self) -> int:
        """What the call reads and writes at least once."""
        return sum(operand.type.bytes for operand in self.operands)


@dataclass(frozen=True)
class Prepared:
    """A field of a descriptor that follows from the batch: `each * batch + rest`, or what a table has for it.

    The table begins with the least batch.
    """

    descriptor: Operand
    field: int
    each: int
    rest: int
    table: Operand | None


@dataclass
class Plan:
    """Calls in order, between inputs and outputs. `entry` is what it is for: others of that name take other shapes.

    `batch`: how many samples it takes, where it has a choice; types and buffers are those of the most. Then what is
    `prepared` is written before the calls.
    """

    inputs: list[tuple[str, Operand]] = field(default_factory=list)
    outputs: list[Operand] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    entry: str = ENTRY
    batch: range | None = None
    prepared: list[Prepared] = field(default_factory=list)


@dataclass
class Program:
    """Plans over `constants`, over those of `made_bytes` that `loads` make, and buffers of `buffer_bytes`.

    A buffer is of one plan alone, but for `states`, which outlive a run.
    """

    plans: list[Plan] = field(default_factory=list)
    loads: list[Call] = field(default_factory=list)
    constants: list[NDArray[Any]] = field(default_factory=list)
    made_bytes: list[int] = field(default_factory=list)
    buffer_bytes: list[int] = field(default_factory=list)
    states: list[Operand] = field(default_factory=list)
    _known_constants: dict[tuple[Any, ...], int] = field(default_factory=dict)
    _known_loads: dict[tuple[Operand, ...], list[Operand]] = field(default_factory=dict)
    _known_changing: dict[bytes, int] = field(default_factory=dict)

    def buffer(self, tensor: TensorType) -> Operand:
        """A new buffer."""
        self.buffer_bytes.append(tensor.bytes)
        return Operand("buffer", len(self.buffer_bytes) - 1, tensor)

    def constant(self, array: NDArray[Any], tensor: TensorType) -> Operand:
        """A constant of these bytes, which may be one that is there already."""
        key = (tensor.dtype, hash(array.tobytes()), array.nbytes)
        index = self._known_constants.setdefault(key, len(self.constants))
        if index == len(self.constants):
            self.constants.append(array)
        return Operand("constant", index, tensor)

    def changing(self, values: NDArray[np.int32]) -> Operand:
        """A constant of its own whose values change from those of one row to another; at first it has the last ones."""
        index = self._known_changing.setdefault(values.tobytes(), len(self.constants))
        if index == len(self.constants):
            self.constants.append(values[-1].copy())
        return Operand("constant", index, TensorType(values[-1].shape, "int32"))

    def load(
        self, loader: str, operands: tuple[Operand, ...], types: tuple[TensorType, TensorType], name: str
    ) -> list[Operand]:
        """What is made of constants and the scratch memory for it; the same of the same constants."""
        if operands not in self._known_loads:
            made, scratch = types
            self.made_bytes.append(made.bytes)
            results = [Operand("made", len(self.made_bytes) - 1, made), self.buffer(scratch)]
            self.loads.append(Call(loader, operands, tuple(results), name))
            self._known_loads[operands] = results
        return self._known_loads[operands]


def extract(module: Any, loader: str, program: Program, entry: str = ENTRY) -> Plan:
    """The plan of `main` in a module whose calls are all lowered to kernels of static shapes; `program` gets it, too.

    loader: the kernel that makes weights of constants.

    Errors: `Unsupported` for an operator that was not lowered, and for dtypes without kernels.
    """
    plan = _Extraction(module["main"], loader, program).plan
    plan.entry = entry
    program.plans.append(plan)
    return plan


class _Extraction:
    def __init__(self, main: Any, loader: str, program: Program) -> None:
        self.plan = Plan()
        self._program = program
        self._loader = loader
        self._values: dict[Any, Any] = {}  # Relax variable -> Operand, or a list of them for a tuple
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
        return self._program.buffer(TensorType.of(ty, what))

    def _constant(self, expression: Any) -> Operand:
        return self._program.constant(array_of(expression.value), TensorType.of(expression.ty, "a constant"))

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
        operands = tuple(self._evaluate(argument, None) for argument in arguments)
        if kernel == self._loader:
            made = TensorType.of(types[0], "a weight"), TensorType.of(types[1], variable.name)
            return self._program.load(self._loader, operands, made, variable.name)
        results = [self._new_buffer(ty, f"a result of {kernel}") for ty in types]
        self.plan.calls.append(Call(kernel, operands, tuple(results), variable.name))
        return results if several else results[0]
