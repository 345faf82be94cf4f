"""The plans of a module, one after another: each is lowered and joins the program of those before it.

Weights and generated kernels that are equal are there once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tvm
import tvm_ffi
from numpy.typing import NDArray
from tvm import s_tir, tirx

from .._errors import InvalidArgument
from .._graph.format.metadata import ENTRY, Batch, PlanEntry, PlanInfo, StateInfo, TensorInfo
from ._batch import Sample, batched_infos, for_range
from ._states import States
from .backend.plan import Call, Plan, Program, extract
from .backend.states import begin_with, keep_inputs, keep_states, read_states
from .passes.kernels import EXPAND, Kernel
from .passes.optimize import optimize

__all__ = ["Machine", "Planner"]


@dataclass(frozen=True)
class Machine:
    """What is compiled for: TVM's target, floats of a vector in our kernels, and the name of the instruction set."""

    target: Any
    lanes: int
    simd: str


class Planner:
    """`program`, its generated kernels (by name, PrimFuncs without schedules), and our own `kernels` that it calls.

    `in_place` are those generated kernels that write a state where it is.
    """

    def __init__(self, machine: Machine, level: int) -> None:
        self.program = Program()
        self.machine = machine
        self.functions: dict[str, Any] = {}
        self.in_place: dict[str, Any] = {}
        self.kernels: list[Kernel] = []
        self.states: tuple[StateInfo, ...] = ()
        self._level = level
        self._named: dict[int, list[str]] = {}
        self._flops: dict[str, int] = {}
        self._ends: list[tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]] = []

    def add(self, module: Any, states: States, entry: str = ENTRY, unchanged: Sequence[str] = ()) -> None:
        """Lowers a Relax module whose `main` becomes one more plan, and makes its states those of the others.

        unchanged: inputs of the first plan that are states, too, which only a host changes.

        Errors: `Unsupported`; `InvalidArgument` for a state that is another tensor than in the plans before.
        """
        if self._ends and states.infos != self.states:
            before, now = (", ".join(map(str, each)) or "none" for each in (self.states, states.infos))
            raise InvalidArgument(
                f"all shapes must leave the states as they are, which are {before} and {now}"
            )
        module, kernels = optimize(module, self.machine.target, self._level, self.machine.lanes)
        plan = extract(module, EXPAND, self.program, entry)
        self._rename(plan, {name: (each, each) for name, each in _generated(module, plan).items()})
        known = {tvm.ir.GlobalVar(name): function for name, function in self.functions.items()}
        more = keep_states(self.program, plan, known, states.places)
        self.in_place.update({variable.name_hint: function for variable, function in more.items()})
        self._flops.update({name: _flops(function) for name, function in self.in_place.items()})
        self.kernels += kernels
        if unchanged:
            keep_inputs(self.program, plan, unchanged)
            stay = [info for info in states.inputs if info.name in unchanged]
            infos = [StateInfo(each.name, each.dtype, each.shape, each.name) for each in stay]
            inputs = tuple(info for info in states.inputs if info not in stay)
            states = replace(states, infos=(*states.infos, *infos), inputs=inputs)
        self.states = states.infos
        self._ends.append((states.inputs, states.outputs))

    def lowered(self, module: Any, batch: int, most: int) -> Sample:
        """What `add_range` takes: a Relax module for `batch` samples, with the algorithms for the `most`."""
        module, kernels = optimize(module, self.machine.target, self._level, self.machine.lanes, batch, most)
        program = Program()
        plan = extract(module, EXPAND, program)
        by_descriptor = {(kernel.symbol, kernel.descriptor().tobytes()): kernel for kernel in kernels}
        return Sample(batch, program, _generated(module, plan), by_descriptor)

    def add_range(self, samples: Sequence[Sample], within: range, ends: Sequence[States]) -> None:
        """One more plan, for any batch within the range, of those for some. `ends`: inputs and outputs of each.

        Errors: `Unsupported` for a model that is not the same for all of them.
        """
        batches = [sample.batch for sample in samples]
        inputs = batched_infos([each.inputs for each in ends], batches, "input")
        outputs = batched_infos([each.outputs for each in ends], batches, "output")
        plan, functions = for_range(samples, within, self.program)
        self.program.plans.append(plan)
        self._rename(plan, functions)
        self.kernels += samples[0].kernels.values()
        self._ends.append((inputs, outputs))

    def add_reader(self, module: Any, ends: States, entry: str) -> None:
        """As `add`, for a plan that reads some of the states of those before it, by name, and changes none."""
        module, kernels = optimize(module, self.machine.target, self._level, self.machine.lanes)
        plan = extract(module, EXPAND, self.program, entry)
        self._rename(plan, {name: (each, each) for name, each in _generated(module, plan).items()})
        known = {tvm.ir.GlobalVar(name): function for name, function in self.functions.items()}
        names = [state.name for state in self.states]
        more = read_states(self.program, plan, known, names)
        self.in_place.update({variable.name_hint: function for variable, function in more.items()})
        self._flops.update({name: _flops(function) for name, function in self.in_place.items()})
        self.kernels += kernels
        self._ends.append((tuple(info for info in ends.inputs if info.name not in names), ends.outputs))

    def begin_with(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Gives states the values that they have at first, by name; the others are zero. After all plans."""
        begin_with(self.program, [values.get(state.name) for state in self.states])

    def plan_infos(self) -> list[PlanInfo]:
        """What the metadata says of each plan."""
        own = {(kernel.symbol, kernel.descriptor().tobytes()): kernel.flops() for kernel in self.kernels}

        def flops(call: Call) -> int:
            if call.kernel in self._flops:
                return self._flops[call.kernel]
            return own[call.kernel, self.program.constants[call.arguments[0].index].tobytes()]

        infos = []
        for plan, ends in zip(self.program.plans, self._ends, strict=True):
            calls = tuple(PlanEntry(call.name, call.kernel, flops(call), call.bytes) for call in plan.calls)
            batch = None if plan.batch is None else Batch(plan.batch[0], plan.batch[-1])
            infos.append(PlanInfo(plan.entry, batch, *ends, sum(call.flops for call in calls), calls))
        return infos

    def called(self) -> dict[str, Any]:
        """The generated kernels that plans call, but for those in place."""
        names = {call.kernel for plan in self.program.plans for call in plan.calls}
        return {name: function for name, function in self.functions.items() if name in names}

    def _rename(self, plan: Plan, functions: Mapping[str, tuple[Any, Any]]) -> None:
        """Takes the generated kernels that a new plan calls, under names that no other one has.

        functions: as they are, and with numbers in place of the batch, by the names that the plan has for them.
        """
        names = {}
        for name, (function, concrete) in functions.items():
            names[name] = self._name(name, function)
            self._flops.setdefault(names[name], _flops(concrete))
        plan.calls = [replace(call, kernel=names.get(call.kernel, call.kernel)) for call in plan.calls]

    def _name(self, name: str, function: Any) -> str:
        plain = (
            function.without_attr("global_symbol") if "global_symbol" in (function.attrs or {}) else function
        )
        equal = self._named.setdefault(tvm_ffi.structural_hash(plain), [])
        for other in equal:
            if tvm_ffi.structural_equal(self.functions[other], plain):
                return other
        free, number = name, 1
        while free in self.functions:
            number += 1
            free = f"{name}_{number}"
        self.functions[free] = plain
        equal.append(free)
        return free


def _generated(module: Any, plan: Plan) -> dict[str, Any]:
    """The generated kernels that a plan calls, by name."""
    called = {call.kernel for call in plan.calls}
    return {
        variable.name_hint: function
        for variable, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc) and variable.name_hint in called
    }


def _flops(function: Any) -> int:
    """FLOPs of a generated kernel, as TVM estimates them; 0 where it cannot."""
    try:
        return int(s_tir.analysis.estimate_tir_flops(tvm.IRModule({"main": function})))
    except tvm.error.InternalError:
        return 0
