"""What a compiled model keeps from one run to the next: an input, the state, becomes what an output was.

The buffer of that input holds the state. Where the call that makes the next value may write it there, it does: whoever
reads the old value has to come before. Where it may not, a copy at the end of the plan puts it there. Nothing here
knows operators, or where buffers lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tvm
from numpy.typing import NDArray
from tvm import te

from .in_place import in_place
from .plan import Call, Operand, Plan, Program

__all__ = ["Kept", "begin_with", "keep_inputs", "keep_states", "read_states"]


@dataclass(frozen=True)
class Kept:
    """Positions among a plan's inputs and outputs: the output becomes the input of the next run."""

    input: int
    output: int


def keep_states(
    program: Program, plan: Plan, functions: Mapping[Any, Any], states: Sequence[Kept]
) -> dict[Any, Any]:
    """Makes these states of a plan's inputs and outputs; returns further kernels that it calls.

    The first plan with states gives them their buffers, the others' are the same: one state after another has the same
    shape and dtype there. functions: the plan's generated kernels (global variable -> PrimFunc), without schedules.
    Each state and its output have the same shape and dtype.
    """
    if not states:
        return {}
    keeper = _Keeper(program, plan, functions)
    homes = [plan.inputs[state.input][1] for state in states]
    nexts = keeper.nexts([plan.outputs[state.output] for state in states], homes)
    becoming, kept = {state.output for state in states}, {state.input for state in states}
    others = [each for i, each in enumerate(plan.outputs) if i not in becoming]
    outputs = keeper.outputs(others, homes, nexts)
    for home, after in zip(homes, nexts, strict=True):
        if home.type.bytes and after.index != home.index and not keeper.written_at(home, after):
            keeper.calls.append(keeper.copy(after, home))
    plan.inputs = [each for i, each in enumerate(plan.inputs) if i not in kept]
    plan.outputs, plan.calls = outputs, keeper.calls
    program.states = program.states or homes
    for home, state in zip(homes, program.states, strict=True):
        plan.calls = [_moved(call, home.index, state.index) for call in plan.calls]
    return {tvm.ir.GlobalVar(name): function for name, function in keeper.functions.items()}


def keep_inputs(program: Program, plan: Plan, names: Sequence[str]) -> None:
    """Makes states of inputs that no output becomes: a host alone changes them. After `keep_states`."""
    program.states += [home for name, home in plan.inputs if name in names]
    plan.inputs = [each for each in plan.inputs if each[0] not in names]


def read_states(
    program: Program, plan: Plan, functions: Mapping[Any, Any], names: Sequence[str]
) -> dict[Any, Any]:
    """Makes states of those inputs of a plan that are called so; it reads them only. Returns further kernels.

    names: of the states that other plans of the program made.
    """
    keeper = _Keeper(program, plan, functions)
    known = dict(zip(names, program.states, strict=True))
    read = [(known[name], home) for name, home in plan.inputs if name in known]
    plan.inputs = [each for each in plan.inputs if each[0] not in known]
    plan.outputs = keeper.outputs(plan.outputs, [home for _, home in read], [])
    plan.calls = keeper.calls
    for state, home in read:
        plan.calls = [_moved(call, home.index, state.index) for call in plan.calls]
    return {tvm.ir.GlobalVar(name): function for name, function in keeper.functions.items()}


def begin_with(program: Program, values: Sequence[NDArray[Any] | None]) -> None:
    """Gives the states of a program the values that they have at first; None is zero.

    Those that have one lie among the weights: a constant of their own, which calls write.
    """
    places: dict[int, int] = {}
    for i, (state, value) in enumerate(zip(program.states, values, strict=True)):
        if value is None:
            continue
        places[state.index] = len(program.constants)
        program.constants.append(value)  # whatever other constant has the same bytes
        program.states[i] = Operand("constant", places[state.index], state.type)

    def placed(operand: Operand) -> Operand:
        if operand.kind != "buffer" or operand.index not in places:
            return operand
        return replace(operand, kind="constant", index=places[operand.index])

    for plan in program.plans:
        plan.calls = [
            replace(
                call, arguments=tuple(map(placed, call.arguments)), results=tuple(map(placed, call.results))
            )
            for call in plan.calls
        ]
        plan.outputs = [placed(output) for output in plan.outputs]


class _Keeper:
    """The calls of a plan while states get their places, and the kernels that come with them."""

    def __init__(self, program: Program, plan: Plan, functions: Mapping[Any, Any]) -> None:
        self.calls = list(plan.calls)
        self.functions: dict[str, Any] = {}
        self._program = program
        self._known = {variable.name_hint: function for variable, function in functions.items()}

    def copy(self, source: Operand, target: Operand) -> Call:
        """A call that copies."""
        size = source.type.bytes
        name = f"copy_{size}"
        if name not in self.functions:
            self.functions[name] = _copy(size)
        return Call(name, (source,), (target,), "state")

    def nexts(self, outputs: Sequence[Operand], homes: Sequence[Operand]) -> list[Operand]:
        """The next value of each state in a buffer of its own that a call writes; its home when it stays as it is."""
        written = {result.index for call in self.calls for result in call.results}
        found: list[Operand] = []
        for output, home in zip(outputs, homes, strict=True):
            stays = output.kind == "buffer" and output.index == home.index
            if not stays and (output.kind != "buffer" or output.index not in written):
                found.append(self._copied(output, first=True))
            elif any(output.index == other.index for other in found):
                found.append(self._copied(output, first=False))
            else:
                found.append(output)
        return found

    def outputs(
        self, outputs: Sequence[Operand], homes: Sequence[Operand], nexts: Sequence[Operand]
    ) -> list[Operand]:
        """What is no state, copied where it would share a buffer with one: a host may set that before it reads this."""
        old, new = ({each.index for each in operands} for operands in (homes, nexts))
        return [
            self._copied(output, first=output.index in old)
            if output.kind == "buffer" and output.index in old | new
            else output
            for output in outputs
        ]

    def written_at(self, home: Operand, after: Operand) -> bool:
        """Lets the call that makes `after` write it into the buffer `home`, unless that would change a result."""
        made = next(i for i, call in enumerate(self.calls) if after.index in _written(call))
        call = self.calls[made]
        order = self._with_readers_first(made, home.index)
        if order is None:
            return False
        result = [each.index for each in call.results].index(after.index)
        sources = [
            i for i, each in enumerate(call.arguments) if each.kind == "buffer" and each.index == home.index
        ]
        if sources:
            kernel = self._in_place(call, sources, result)
            if kernel is None:
                return False
            arguments = tuple(each for i, each in enumerate(call.arguments) if i not in sources)
            order[order.index(call)] = replace(call, kernel=kernel, arguments=arguments)
        self.calls = [_moved(each, after.index, home.index) for each in order]
        return True

    def _in_place(self, call: Call, sources: list[int], result: int) -> str | None:
        """The name of the call's kernel in a form that has its arguments `sources` and its result in one buffer."""
        function = self._known.get(call.kernel)
        if function is None:
            return None
        found = in_place(function, sources, len(call.arguments) + result)
        if found is None:
            return None
        name = f"{call.kernel}_in_place_{'_'.join(map(str, (*sources, result)))}"
        self.functions[name] = found
        return name

    def _with_readers_first(self, made: int, home: int) -> list[Call] | None:
        """The calls with all that read the buffer `home` before the one at `made`; None when one of them needs it."""
        last = max((i for i, call in enumerate(self.calls) if home in _read(call)), default=made)
        waiting, earlier = [self.calls[made]], []
        for call in self.calls[made + 1 : last + 1]:
            if not any(_conflict(before, call) for before in waiting):
                earlier.append(call)
            elif home in _read(call):
                return None
            else:
                waiting.append(call)
        return [*self.calls[:made], *earlier, *waiting, *self.calls[max(made, last) + 1 :]]

    def _copied(self, source: Operand, *, first: bool) -> Operand:
        """A copy in a buffer of its own, which is made first or last of all."""
        target = self._program.buffer(source.type)
        if source.type.bytes:
            self.calls.insert(0 if first else len(self.calls), self.copy(source, target))
        return target


def _read(call: Call) -> set[int]:
    return {each.index for each in call.arguments if each.kind == "buffer"}


def _written(call: Call) -> set[int]:
    return {each.index for each in call.results}


def _conflict(before: Call, after: Call) -> bool:
    """Whether the two calls may not change places."""
    return bool(_written(before) & (_read(after) | _written(after)) or _read(before) & _written(after))


def _moved(call: Call, old: int, new: int) -> Call:
    def moved(operand: Operand) -> Operand:
        same = operand.kind == "buffer" and operand.index == old
        return replace(operand, index=new) if same else operand

    return replace(call, arguments=tuple(map(moved, call.arguments)), results=tuple(map(moved, call.results)))


def _copy(size: int) -> Any:
    """A kernel that copies so many bytes."""
    unit, dtype = (4, "uint32") if size % 4 == 0 else (1, "uint8")
    source = te.placeholder((size // unit,), dtype, "source")
    return te.create_prim_func([source, te.compute(source.shape, lambda i: source[i], "target")])
