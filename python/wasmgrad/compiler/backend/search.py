"""The search for schedules of generated kernels: random ones, measured in a real engine, checked against TVM's own.

Candidates are drawn from MetaSchedule's rules (tiling, fusion, vectors, unrolling). A batch of them is one module
whose calls are the candidates, so all are measured in turn in the same process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import s_tir, tirx
from tvm.s_tir import meta_schedule

from ..._errors import InvalidEncoding
from ..._graph.engines import Engine, create
from ..._graph.format import wasm
from ..._graph.format.file import GraphFile
from ..._graph.format.metadata import (
    ABI,
    GraphMetadata,
    Memory,
    Model,
    Options,
    PlanEntry,
    TensorInfo,
    Weights,
)
from .._difference import difference, random_inputs
from .._options import Simd
from .codegen import build_object
from .layout import lay_out
from .link import finish, link
from .plan import Call, Operand, Plan, Program, TensorType
from .schedules import Schedule, alone, apply, find, keep, key_of

__all__ = ["Found", "search"]

_LANES = 4
_BATCH = 16  # candidates of one module
_ROUNDS = 12
_HOPELESS = 1.5  # slower than the fastest by this factor after the first round: not measured again
_WORTHWHILE = 1.05  # a schedule is kept when it is faster than TVM's own by this factor


@dataclass(frozen=True)
class Found:
    """What became of one kernel: its position among `total`, and its schedule; `searched` is False for a known one."""

    position: int
    total: int
    key: str
    schedule: Schedule
    searched: bool


@dataclass(frozen=True)
class _Kernel:
    """A generated kernel, of whose parameters the first ones are read, and what it is compiled for."""

    name: str
    function: Any
    arguments: int
    target: Any
    simd: Simd


@dataclass(frozen=True)
class _Candidate:
    """A schedule, and the kernel that has it."""

    trace: list[Any]
    function: Any


def search(
    plans: Sequence[Plan],
    functions: Mapping[Any, Any],
    target: Any,
    simd: Simd,
    candidates: int,
    on_kernel: Callable[[Found], object],
) -> None:
    """Finds schedules for the plans' kernels (global variable -> PrimFunc) among so many candidates each; keeps them.

    Kernels with a schedule that is the best of as many are left alone, and so are those over other types than
    float32: random values may be no index. `on_kernel` is called after each.
    Errors: `RuntimeFailure` when the cache cannot be written; `NotFound` without a linker.
    """
    arguments = {call.kernel: len(call.arguments) for plan in plans for call in plan.calls}
    kernels = [
        _Kernel(variable.name_hint, function, arguments[variable.name_hint], target, simd)
        for variable, function in functions.items()
        if all(str(parameter.ty.dtype) == "float32" for parameter in function.params)
    ]
    for position, kernel in enumerate(kernels, 1):
        key = key_of(kernel.function, target)
        known = find(key)
        searched = known is None or known.candidates < candidates
        if known is None or searched:
            known = _best(kernel, candidates)
            keep(key, known)
        on_kernel(Found(position, len(kernels), key, known, searched))


def _best(kernel: _Kernel, candidates: int) -> Schedule:
    all_candidates = _candidates(kernel.function, kernel.target, candidates)
    speedup, best = 1.0, None
    for begin in range(0, len(all_candidates), _BATCH):
        batch = all_candidates[begin : begin + _BATCH]
        for candidate, ratio in zip(batch, _speedups(kernel, batch), strict=True):
            if ratio > max(speedup, _WORTHWHILE):
                speedup, best = ratio, candidate.trace
    return Schedule(kernel.name, candidates, round(speedup, 2), best)


def _candidates(function: Any, target: Any, count: int) -> list[_Candidate]:
    """Different random schedules: at most `count`, the same ones each time."""
    module = alone(function)
    spaces = _context(module, target).space_generator.generate_design_space(module)
    postprocessors = [
        meta_schedule.postproc.DisallowDynamicLoop(),
        meta_schedule.postproc.RewriteParallelVectorizeUnroll(),
        meta_schedule.postproc.RewriteReductionBlock(),
    ]
    traces: dict[str, _Candidate] = {}
    for seed in range(1, count + 1):
        instructions = random.Random(seed).choice(spaces).trace.insts
        schedule = s_tir.Schedule(alone(function), seed=seed)
        try:
            s_tir.schedule.Trace(instructions, {}).apply_to_schedule(schedule, remove_postproc=True)
            if not all(postprocessor.apply(schedule) for postprocessor in postprocessors):
                continue
        except tvm.error.InternalError:  # these decisions do not go together
            continue
        trace = _plain(schedule.trace.as_json())
        with contextlib.suppress(InvalidEncoding):  # not all that can be done can be written down
            traces[json.dumps(trace)] = _Candidate(trace, apply(function, trace))
    return list(traces.values())


def _context(module: Any, target: Any) -> Any:
    """What the rules need. TVM's Python class would first parse its tensor intrinsics of all GPUs, for a minute."""
    rule = meta_schedule.schedule_rule
    rules = [
        rule.AutoInline(
            into_producer=False,
            into_consumer=True,
            inline_const_tensor=True,
            disallow_if_then_else=False,
            require_injective=True,
            require_ordered=True,
            disallow_op=["tirx.exp"],
        ),
        rule.AddRFactor(max_jobs_per_core=1, max_innermost_factor=_LANES),
        rule.MultiLevelTiling(
            structure="SSRSRS",
            max_innermost_factor=16,
            reuse_write=rule.ReuseType(req="may", levels=[1, 2], scope="global"),
        ),
        rule.ParallelizeVectorizeUnroll(
            max_jobs_per_core=-1,
            max_vectorize_extent=_LANES,
            unroll_max_steps=[0, 16, 64],
            unroll_explicit=True,
        ),
        rule.RandomComputeLocation(),
    ]
    generator = meta_schedule.space_generator.PostOrderApply(sch_rules=rules, postprocs=[], mutator_probs={})
    make = tvm.get_global_func("s_tir.meta_schedule.TuneContext")
    context = make(module, target, generator, None, "kernel", 1, 1, None)
    tvm.get_global_func("s_tir.meta_schedule.TuneContextInitialize")(context)
    return context


def _plain(value: Any) -> Any:
    """TVM's trace as JSON has it."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Sequence):
        return [_plain(part) for part in value]
    return value.value if isinstance(value, tirx.IntImm | tirx.FloatImm) else value


def _speedups(kernel: _Kernel, candidates: Sequence[_Candidate]) -> list[float]:
    """How many times as fast as TVM's own each schedule is; 0 for one that cannot be compiled or computes otherwise."""
    try:
        variants = [kernel.function, *(candidate.function for candidate in candidates)]
        graph = GraphFile(_module(kernel, variants))
    except tvm.error.InternalError:
        if len(candidates) == 1:
            return [0.0]
        middle = len(candidates) // 2
        halves = candidates[:middle], candidates[middle:]
        return [ratio for half in halves for ratio in _speedups(kernel, half)]
    engine = create("wasmtime", graph)
    inputs = graph.metadata.inputs
    for index, value in enumerate(random_inputs(inputs).values()):
        engine.write_input(index, value)
    calls = range(len(variants))
    fastest = np.array([engine.call(index) for index in calls])
    right = _right(engine, calls, len(graph.metadata.outputs) // len(calls))
    fastest[~right] = np.inf
    for _ in range(_ROUNDS):
        for index in calls:
            if index == 0 or fastest[index] <= _HOPELESS * fastest.min():
                fastest[index] = min(fastest[index], engine.call(index))
    engine.close()
    return [float(ratio) for ratio in (fastest[0] / fastest)[1:]]


def _right(engine: Engine, calls: Sequence[int], results: int) -> NDArray[np.bool_]:
    """Which calls have the results of the first one."""
    expected = [engine.read_output(index) for index in range(results)]

    def same(call: int) -> bool:
        outputs = [engine.read_output(call * results + index) for index in range(results)]
        return all(difference("result", *pair).ok for pair in zip(outputs, expected, strict=True))

    return np.array([same(call) for call in calls])


def _module(kernel: _Kernel, variants: Sequence[Any]) -> bytes:
    """A graph module that calls every variant of a kernel on the same inputs, each with results of its own."""
    program, plan = _program(kernel, len(variants))
    layout = lay_out(program)
    functions = {tvm.ir.GlobalVar(f"variant{index}"): variant for index, variant in enumerate(variants)}
    graph_object, scratch_bytes = build_object(functions, program, layout, kernel.target)
    linked = link(graph_object, kernel.simd)
    pages = linked.pages(layout.end + scratch_bytes)
    metadata = GraphMetadata(
        abi=ABI,
        producer="wasmgrad",
        model=Model("variants", "operator", hashlib.sha256(b"").hexdigest(), None),
        inputs=_infos("input", [operand for _, operand in plan.inputs]),
        outputs=_infos("output", plan.outputs),
        operators={},
        parameters=0,
        flops=0,
        memory=Memory(pages * wasm.PAGE, 0, layout.workspace_bytes + scratch_bytes),
        weights=Weights("embed", 0, hashlib.sha256(b"").hexdigest()),
        options=Options(kernel.simd, 3, 1),
        plan=tuple(PlanEntry(call.name, call.kernel, 0, call.bytes) for call in plan.calls),
        preprocess=None,
        labels=None,
    )
    return finish(linked, pages, None, metadata)


def _program(kernel: _Kernel, variants: int) -> tuple[Program, Plan]:
    program, plan = Program(), Plan()
    program.plans.append(plan)
    types = [TensorType.of(parameter.ty, str(parameter.name)) for parameter in kernel.function.params]
    inputs = tuple(map(program.buffer, types[: kernel.arguments]))
    plan.inputs = [(f"input{index}", operand) for index, operand in enumerate(inputs)]
    for index in range(variants):
        results = tuple(map(program.buffer, types[kernel.arguments :]))
        plan.calls.append(Call(f"variant{index}", inputs, results, kernel.name))
        plan.outputs += results
    return program, plan


def _infos(side: str, operands: Sequence[Operand]) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(f"{side}{index}", operand.type.dtype, operand.type.shape)
        for index, operand in enumerate(operands)
    )
