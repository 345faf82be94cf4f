"""The plans of a module, one after another: each is lowered and joins the program of those before it.

Weights and generated kernels that are equal are there once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx

from .._errors import InvalidArgument
from .._graph.format.metadata import ENTRY, PlanEntry, PlanInfo, StateInfo, TensorInfo
from ._states import States
from .backend.plan import Call, Plan, Program, extract
from .backend.states import keep_states
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
        self._ends: list[States] = []

    def add(self, module: Any, states: States, entry: str = ENTRY) -> None:
        """Lowers a Relax module whose `main` becomes one more plan, and makes its states those of the others.

        Errors: `Unsupported`; `InvalidArgument` for a state that is another tensor than in the plans before.
        """
        if self._ends and states.infos != self.states:
            before, now = (", ".join(map(str, each)) or "none" for each in (self.states, states.infos))
            raise InvalidArgument(f"all shapes must leave the states as they are, which are {before} and {now}")
        module, kernels = optimize(module, self.machine.target, self._level, self.machine.lanes)
        plan = extract(module, EXPAND, self.program, entry)
        self._take_functions(module, plan)
        known = {tvm.ir.GlobalVar(name): function for name, function in self.functions.items()}
        more = keep_states(self.program, plan, known, states.places)
        self.in_place.update({variable.name_hint: function for variable, function in more.items()})
        self.kernels += kernels
        self.states = states.infos
        self._ends.append(states)

    def plan_infos(self) -> list[PlanInfo]:
        """What the metadata says of each plan."""
        own = {(kernel.symbol, kernel.descriptor().tobytes()): kernel.flops() for kernel in self.kernels}
        generated = {name: _flops(function) for name, function in (self.functions | self.in_place).items()}

        def flops(call: Call) -> int:
            if call.kernel in generated:
                return generated[call.kernel]
            return own[call.kernel, self.program.constants[call.arguments[0].index].tobytes()]

        infos = []
        for plan, ends in zip(self.program.plans, self._ends, strict=True):
            calls = tuple(PlanEntry(call.name, call.kernel, flops(call), call.bytes) for call in plan.calls)
            work = sum(call.flops for call in calls)
            infos.append(PlanInfo(plan.entry, None, ends.inputs, ends.outputs, work, calls))
        return infos

    def called(self) -> dict[str, Any]:
        """The generated kernels that plans call, but for those in place."""
        names = {call.kernel for plan in self.program.plans for call in plan.calls}
        return {name: function for name, function in self.functions.items() if name in names}

    def _take_functions(self, module: Any, plan: Plan) -> None:
        """Takes the generated kernels that a new plan calls, under names that no other one has."""
        called = {call.kernel for call in plan.calls}
        renamed = {
            variable.name_hint: self._name(variable.name_hint, function)
            for variable, function in module.functions.items()
            if isinstance(function, tirx.PrimFunc) and variable.name_hint in called
        }
        plan.calls = [
            Call(renamed.get(call.kernel, call.kernel), call.arguments, call.results, call.name)
            for call in plan.calls
        ]

    def _name(self, name: str, function: Any) -> str:
        plain = function.without_attr("global_symbol") if "global_symbol" in (function.attrs or {}) else function
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


def _flops(function: Any) -> int:
    """FLOPs of a generated kernel, as TVM estimates them; 0 where it cannot."""
    try:
        return int(s_tir.analysis.estimate_tir_flops(tvm.IRModule({"main": function})))
    except tvm.error.InternalError:
        return 0
