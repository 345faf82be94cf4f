"""The memory plan: what lives at the same time never shares memory, and memory is reused otherwise."""

from __future__ import annotations

import random

import pytest
from wasmgrad import TooLarge
from wasmgrad.compiler.backend.plan import ALIGNMENT, Call, Operand, Plan, TensorType, lay_out


def _buffer(plan: Plan, elements: int) -> Operand:
    tensor = TensorType((elements,), "float32")
    plan.buffer_bytes.append(tensor.bytes)
    return Operand("buffer", len(plan.buffer_bytes) - 1, tensor)


def _chain(sizes: list[int]) -> Plan:
    """x -> t1 -> t2 -> ...: the first size is the input's, the last one the output's."""
    plan = Plan()
    last = _buffer(plan, sizes[0])
    plan.inputs.append(("x", last))
    for size in sizes[1:]:
        result = _buffer(plan, size)
        plan.calls.append(Call("k", (last,), (result,), "call"))
        last = result
    plan.outputs.append(last)
    return plan


@pytest.mark.parametrize("seed", range(20))
def test_buffers_that_live_together_do_not_overlap(seed: int) -> None:
    generator = random.Random(seed)
    plan = Plan()
    values = [_buffer(plan, generator.randint(0, 500))]
    plan.inputs.append(("x", values[0]))
    for _ in range(40):
        arguments = tuple(generator.sample(values, min(len(values), 2)))
        results = tuple(_buffer(plan, generator.randint(0, 500)) for _ in range(generator.randint(1, 2)))
        plan.calls.append(Call("k", arguments, results, "call"))
        values = (values + list(results))[-8:]
    plan.outputs.append(values[-1])
    layout = lay_out(plan)
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
            if one < other and together and plan.buffer_bytes[one] and plan.buffer_bytes[other]:
                starts = layout.buffers[one], layout.buffers[other]
                first, second = (one, other) if starts[0] < starts[1] else (other, one)
                assert layout.buffers[first] + plan.buffer_bytes[first] <= layout.buffers[second]
    assert all(offset % ALIGNMENT == 0 for offset in layout.buffers)


def test_a_long_chain_needs_memory_for_two_links_beside_input_and_output() -> None:
    layout = lay_out(_chain([16] * 12))
    assert layout.workspace_bytes == 4 * 64


def test_a_model_beyond_32_bits_is_refused_with_its_size() -> None:
    with pytest.raises(TooLarge, match=r"2,400,000,000 of workspace; a 32-bit module holds"):
        lay_out(_chain([300_000_000, 300_000_000]))
