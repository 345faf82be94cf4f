"""The memory plan: what lives at the same time never shares memory, and memory is reused otherwise."""

from __future__ import annotations

import random

import numpy as np
import pytest
from wasmgrad import TooLarge
from wasmgrad.compiler.backend.layout import ALIGNMENT, MemoryLayout, lay_out, weights
from wasmgrad.compiler.backend.plan import Call, Operand, Plan, Program, TensorType


def _buffer(program: Program, elements: int) -> Operand:
    return program.buffer(TensorType((elements,), "float32"))


def _chain(*every: list[int]) -> Program:
    """Plans x -> t1 -> t2 -> ...: the first size of each is the input's, the last one the output's."""
    program = Program()
    for sizes in every:
        program.plans.append(_one_chain(program, sizes))
    return program


def _one_chain(program: Program, sizes: list[int]) -> Plan:
    plan = Plan()
    last = _buffer(program, sizes[0])
    plan.inputs.append(("x", last))
    for size in sizes[1:]:
        result = _buffer(program, size)
        plan.calls.append(Call("k", (last,), (result,), "call"))
        last = result
    plan.outputs.append(last)
    return plan


@pytest.mark.parametrize("seed", range(20))
def test_buffers_that_live_together_do_not_overlap(seed: int) -> None:
    generator = random.Random(seed)
    program = Program(plans=[Plan()])
    plan = program.plans[0]
    values = [_buffer(program, generator.randint(0, 500))]
    plan.inputs.append(("x", values[0]))
    for _ in range(40):
        arguments = tuple(generator.sample(values, min(len(values), 2)))
        results = tuple(_buffer(program, generator.randint(0, 500)) for _ in range(generator.randint(1, 2)))
        plan.calls.append(Call("k", arguments, results, "call"))
        values = (values + list(results))[-8:]
    plan.outputs.append(values[-1])
    layout = lay_out(program)
    always = {plan.inputs[0][1].index, plan.outputs[0].index}
    uses: dict[int, list[int]] = {}
    for position, call in enumerate(plan.calls):
        for operand in call.operands:
            uses.setdefault(operand.index, []).append(position)
    span = {
        index: (-1, len(plan.calls)) if index in always else (min(at), max(at)) for index, at in uses.items()
    }
    for one in span:
        for other in span:
            together = span[one][0] <= span[other][1] and span[other][0] <= span[one][1]
            if one < other and together and program.buffer_bytes[one] and program.buffer_bytes[other]:
                starts = layout.buffers[one], layout.buffers[other]
                first, second = (one, other) if starts[0] < starts[1] else (other, one)
                assert layout.buffers[first] + program.buffer_bytes[first] <= layout.buffers[second]
    assert all(offset % ALIGNMENT == 0 for offset in layout.buffers)


def test_a_long_chain_needs_memory_for_two_links_beside_input_and_output() -> None:
    layout = lay_out(_chain([16] * 12))
    assert layout.workspace_bytes == 4 * 64


def test_plans_share_memory_and_states_are_of_all() -> None:
    program = _chain([16, 16, 32, 16], [48, 16, 16])
    state = _buffer(program, 16)
    program.states.append(state)
    for plan in program.plans:
        plan.calls.append(Call("k", (state,), (state,), "call"))
    layout = lay_out(program)
    ends = [{operand.index for operand in (plan.inputs[0][1], *plan.outputs)} for plan in program.plans]
    assert layout.workspace_bytes == (64 + 128) + (4 * 64) + 64  # intermediates, input and output, state
    assert layout.buffers[state.index] == layout.end - 64
    for plan, own in zip(program.plans, ends, strict=True):
        between = {operand.index for call in plan.calls for operand in call.operands} - own - {state.index}
        last = max(layout.buffers[index] + program.buffer_bytes[index] for index in between)
        assert last <= min(layout.buffers[index] for index in own)


def test_a_model_beyond_32_bits_is_refused_with_its_size() -> None:
    with pytest.raises(TooLarge, match=r"2,400,000,000 of workspace; a 32-bit module holds"):
        lay_out(_chain([300_000_000, 300_000_000]))


def _with_loads(generator: random.Random) -> Program:
    """A plan whose calls read some constants, some that are made of others, and some that are both."""
    program = Program(plans=[Plan()])
    plan = program.plans[0]
    numbers = np.random.default_rng(generator.randrange(1 << 30))

    def constant() -> Operand:
        array = numbers.integers(0, 256, generator.choice([0, 7, 64, 300, 5000]), np.uint8)
        program.constants.append(array)
        return Operand("constant", len(program.constants) - 1, TensorType(array.shape, "uint8"))

    constants = [constant() for _ in range(12)]
    made = []
    for _ in range(generator.randint(0, 8)):
        arguments = tuple(generator.sample(constants, 2))
        size = sum(each.type.bytes for each in arguments) * generator.choice([1, 2, 4]) + 64
        program.made_bytes.append(size)
        result = Operand("made", len(program.made_bytes) - 1, TensorType((size,), "uint8"))
        scratch = _buffer(program, generator.choice([0, 10, 1000]))
        program.loads.append(Call("load", arguments, (result, scratch), "load"))
        made.append(result)
    last = _buffer(program, 100)
    plan.inputs.append(("x", last))
    for weight in [*made, *generator.sample(constants, 3)]:
        result = _buffer(program, generator.randint(0, 300))
        plan.calls.append(Call("k", (last, weight), (result,), "call"))
        last = result
    plan.outputs.append(last)
    return program


def _loaded(program: Program, layout: MemoryLayout, memory: np.ndarray) -> None:
    """Loads in memory as the module does; what a load writes is unlike anything that is stored."""
    stored = layout.stored_bytes - layout.moved_bytes
    moved = memory[stored : layout.stored_bytes].copy()
    memory[stored + layout.moved_by :][: layout.moved_bytes] = moved
    for number, load in enumerate(layout.loads):
        for operand in load.arguments:
            offset, array = layout.offset(operand), program.constants[operand.index]
            np.testing.assert_array_equal(memory[offset : offset + array.nbytes], array)
        for operand in load.results[::-1]:
            memory[layout.offset(operand) :][: operand.type.bytes] = number


@pytest.mark.parametrize("seed", range(60))
def test_what_is_loaded_overwrites_nothing_that_is_needed(seed: int) -> None:
    program = _with_loads(random.Random(seed))
    plan = program.plans[0]
    layout = lay_out(program)
    memory = np.full(layout.end, 255, np.uint8)
    always = [plan.inputs[0][1], plan.outputs[0]]
    memory[: layout.stored_bytes] = np.frombuffer(weights(program, layout), np.uint8)
    _loaded(program, layout, memory)
    for number, load in enumerate(layout.loads):
        made = load.results[0]
        assert (memory[layout.offset(made) :][: made.type.bytes] == number).all()
    for operand in {
        operand for call in plan.calls for operand in call.arguments if operand.kind == "constant"
    }:
        array = program.constants[operand.index]
        np.testing.assert_array_equal(memory[layout.offset(operand) :][: array.nbytes], array)
    for operand in always:
        assert (memory[layout.offset(operand) :][: operand.type.bytes] == 255).all()
    assert layout.stored_bytes <= layout.weights_bytes + layout.workspace_bytes


def test_what_weights_are_made_of_takes_the_place_of_those_made_last() -> None:
    program = Program(plans=[Plan()])
    for _ in range(50):
        program.constants.append(np.zeros(1 << 10, np.uint8))
        program.made_bytes.append(1 << 12)
        index = len(program.constants) - 1
        source = Operand("constant", index, TensorType((1 << 10,), "uint8"))
        made = Operand("made", index, TensorType((1 << 12,), "uint8"))
        program.loads.append(Call("load", (source,), (made, _buffer(program, 0)), "load"))
        program.plans[0].calls.append(Call("k", (made,), (), "call"))
    layout = lay_out(program)
    assert layout.stored_bytes == 50 << 10
    assert layout.weights_bytes == 50 << 12
    assert layout.workspace_bytes == 1 << 10
