"""Kernels and plans to one object file, through TVM's LLVM: plain C functions that need no TVM runtime.

A generated kernel takes one pointer for each tensor and returns 0. The plans become the functions that
cpp/graph_runtime/plan.hpp declares. Nothing here knows where kernels come from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx

from .ieee import explicit_casts, keep_identities, strict
from .layout import ALIGNMENT, MemoryLayout
from .narrow import keep_rounding
from .plan import Call, Operand, Plan, Prepared, Program
from .symbolic import number_of_batch

__all__ = ["build_object", "is_own", "symbol"]

_CALLING_CONVENTION = (
    2  # kDeviceKernelLaunch: the one that LLVM code generation leaves as it is, with C parameters
)
_OWN_PREFIX = "wg_"
_MOST_BATCH = (1 << 31) - 1


def symbol(kernel: str) -> str:
    """The linker's name of a kernel: our own keep theirs, generated ones get a prefix of their own."""
    return kernel if is_own(kernel) else f"k_{kernel}"


def is_own(kernel: str) -> bool:
    """Whether a kernel is of our library."""
    return kernel.startswith(_OWN_PREFIX)


def build_object(
    functions: Mapping[Any, Any],
    program: Program,
    layout: MemoryLayout,
    target: Any,
    threads: int = 1,
    thread_bytes: int = 0,
    *,
    embedded: bool = True,
) -> tuple[bytes, int]:
    """Compiles generated kernels (global variable -> PrimFunc) and plans, for threads of so much memory each.

    embedded: whether the module has the weights.

    Returns the object file, and the bytes of scratch memory that the hungriest generated kernel takes.
    """
    kernels, scratch_bytes = _lower_kernels(functions, target)
    kernels.update(_plan_functions(program, layout, target, embedded))
    kernels.update(_thread_functions(threads, layout.end + scratch_bytes, thread_bytes, target))
    module = tvm.transform.Sequential(
        [
            tirx.transform.FP8StorageLegalize(),
            tirx.transform.BF16StorageLegalize(),
            tirx.transform.LowerTVMBuiltin(),
            tirx.transform.LowerIntrin(),
        ]
    )(kernels)
    native = tvm.get_global_func("target.build.llvm")(module, target)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "graph.o")
        native.write_to_file(str(path), "o")
        return path.read_bytes(), scratch_bytes


def _lower_kernels(functions: Mapping[Any, Any], target: Any) -> tuple[Any, int]:
    module = tvm.IRModule(
        {
            variable: keep_identities(keep_rounding(function))
            .with_attr("global_symbol", symbol(variable.name_hint))
            .with_attr("target", target)
            for variable, function in functions.items()
        }
    )
    module = tvm.transform.Sequential(
        [
            s_tir.transform.CanonicalizeLoop(),
            s_tir.transform.LowerInitBlock(),
            s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
            s_tir.transform.ConvertBlocksToOpaque(),
            s_tir.transform.CompactBufferAllocation(),
            s_tir.transform.LowerMatchBuffer(),
            s_tir.transform.StmtSimplify(),
            s_tir.transform.AnnotateIrregularLoop(),
            s_tir.transform.LowerOpaqueBlock(),
            tirx.transform.FlattenBuffer(),
            tvm.transform.module_pass(lambda module, _: explicit_casts(module, target), opt_level=0),
            tirx.transform.BF16ComputeLegalize(),
            tirx.transform.NarrowDataType(32),
            s_tir.transform.LoopPartition(),
            tirx.transform.VectorizeLoop(True),
            tirx.transform.StorageRewrite(),
            s_tir.transform.HoistIfThenElse(),
            tirx.transform.UnrollLoop(),
            s_tir.transform.RenormalizeSplitPattern(),
            tirx.transform.StmtSimplify(),
            tirx.transform.RemoveNoOp(),
            s_tir.transform.RewriteUnsafeSelect(),
        ]
    )(module)
    scratch_bytes = max((_scratch_bytes(function) for function in module.functions.values()), default=0)
    module = strict(tirx.transform.CommonSubexprElim()(module))
    lowered = {variable: _with_pointers(function, target) for variable, function in module.functions.items()}
    return tvm.IRModule(lowered), scratch_bytes


def _scratch_bytes(function: Any) -> int:
    """What a kernel takes at most for its own buffers, each rounded up as the graph runtime does."""
    total = 0
    batch = number_of_batch(function)
    analyzer = tvm.sym.Analyzer()

    def extent(of: Any) -> int:
        if batch is not None:  # the numbers of it that a kernel computes with are bounded
            largest = tirx.IntImm("int32", _MOST_BATCH)
            of = tvm_ffi.structural_map(
                of, ((tvm.ir.Var, lambda each: largest if each.same_as(batch) else each),)
            )
        return int(analyzer.simplify(of))

    def count(node: Any, visitor: Any) -> None:
        nonlocal total
        elements = prod(map(extent, node.buffer.shape))
        item_bytes = -(-int(node.buffer.dtype.bits) * int(node.buffer.dtype.lanes) // 8)
        total += -(-elements * item_bytes // ALIGNMENT) * ALIGNMENT
        visitor.default_visit(node)

    tvm_ffi.structural_visit(function.body, [(tirx.AllocBuffer, count)])
    return total


def _with_pointers(function: Any, target: Any) -> Any:
    """The same kernel over raw pointers."""
    pointers, declarations = [], []
    batch = number_of_batch(function)
    for parameter in function.params if batch is None else function.params[:-1]:
        element = tvm.ir.PrimType(str(parameter.ty.dtype))
        pointer = tirx.Var(f"{parameter.name}_pointer", tvm.ir.PointerType(element, "global"))
        pointers.append(pointer)
        declarations.append(tirx.DeclBuffer(parameter, data=pointer))
    body = function.body
    scope = tvm.ir.StringImm(f"{function.attrs['global_symbol']}_compute_")
    for key, value in (
        ("compute_scope", scope),
        ("device_id", tirx.IntImm("int32", 0)),
        ("device_type", tirx.IntImm("int32", 1)),
    ):
        body = tirx.AttrStmt(tvm.ir.StringImm("default"), key, value, body)
    return _c_function(
        pointers if batch is None else [*pointers, batch],
        [*declarations, body],
        str(function.attrs["global_symbol"]),
        target,
        attributes=function.attrs,
    )


def _c_function(
    parameters: list[Any], statements: list[Any], name: str, target: Any, attributes: Any = None
) -> Any:
    body = _sequence([*statements, tirx.Return(tirx.IntImm("int32", 0))])
    function = tirx.PrimFunc(parameters, body, ret_type=tvm.ir.PrimType("int32"), attrs=attributes)
    return (
        function.with_attr("global_symbol", name)
        .with_attr("calling_conv", _CALLING_CONVENTION)
        .with_attr("target", target)
        .with_attr("tirx.noalias", True)
    )


def _plan_functions(program: Program, layout: MemoryLayout, target: Any, embedded: bool) -> dict[Any, Any]:
    """The functions of plan.hpp."""
    inputs = [[layout.offset(operand) for _, operand in plan.inputs] for plan in program.plans]
    outputs = [[layout.offset(operand) for operand in plan.outputs] for plan in program.plans]
    functions = [
        _offsets_of_plans("plan_input", inputs, target),
        _offsets_of_plans("plan_output", outputs, target),
        _offsets("plan_state", [layout.offset(operand) for operand in program.states], target),
        _scratch(layout, target),
        _weights(layout, embedded, target),
        _load(layout, target),
        _select(program.plans, target),
        _prepare(program.plans, layout, target),
        _run(program.plans, layout, target),
        _call(program.plans, layout, target),
    ]
    return _by_symbol(functions)


def _thread_functions(threads: int, offset: int, thread_bytes: int, target: Any) -> dict[Any, Any]:
    """Where threads have their memory, as plan.hpp has it."""
    values = {"count": threads, "offset": offset, "bytes": thread_bytes}
    cells = {name: _cell(name) for name in values}
    pointers = [pointer for pointer, _, _ in cells.values()]
    declarations = [declaration for _, _, declaration in cells.values()]
    stores = [_set(cells[name][1], value) for name, value in values.items()]
    return _by_symbol([_c_function(pointers, [*declarations, *stores], "plan_threads", target)])


def _by_symbol(functions: list[Any]) -> dict[Any, Any]:
    return {tvm.ir.GlobalVar(str(function.attrs["global_symbol"])): function for function in functions}


def _offsets(name: str, offsets: list[int], target: Any) -> Any:
    index, (pointer, cell, declaration) = _number("index"), _cell("offset")
    cases = [_when(index, position, _set(cell, offset)) for position, offset in enumerate(offsets)]
    return _c_function([index, pointer], [declaration, *cases], name, target)


def _offsets_of_plans(name: str, offsets: list[list[int]], target: Any) -> Any:
    number, index, (pointer, cell, declaration) = _number("plan"), _number("index"), _cell("offset")
    cases = [
        _when(
            number,
            plan,
            _sequence([_when(index, position, _set(cell, at)) for position, at in enumerate(each)]),
        )
        for plan, each in enumerate(offsets)
    ]
    return _c_function([number, index, pointer], [declaration, *cases], name, target)


def _scratch(layout: MemoryLayout, target: Any) -> Any:
    pointer, cell, declaration = _cell("offset")
    return _c_function([pointer], [declaration, _set(cell, layout.end)], "plan_scratch", target)


def _weights(layout: MemoryLayout, embedded: bool, target: Any) -> Any:
    embeds, loads = _cell("embedded"), _cell("loads")
    answers = [_set(embeds[1], 1)] if embedded else []
    answers += [_set(loads[1], 1)] if layout.loads else []
    return _c_function([embeds[0], loads[0]], [embeds[2], loads[2], *answers], "plan_weights", target)


def _load(layout: MemoryLayout, target: Any) -> Any:
    base, memory, declaration = _memory(layout)
    calls = _calls(layout.loads, layout, memory)
    if layout.moved_bytes > 0 and layout.moved_by > 0:
        stored = layout.stored_bytes - layout.moved_bytes
        places = [_address(memory, offset) for offset in (stored, stored + layout.moved_by)]
        size = tirx.IntImm("int32", layout.moved_bytes)
        calls.insert(0, tirx.Evaluate(tirx.call_extern("int32", "wg_move_up", *places, size)))
    return _c_function([base], [declaration, *calls], "plan_load", target)


def _select(plans: Sequence[Plan], target: Any) -> Any:
    number, batch, (pointer, cell, declaration) = _number("plan"), _number("batch"), _cell("taken")

    def cases(plan: Plan) -> list[Any]:
        if plan.batch is None:
            return [_when(batch, 0, _set(cell, 0))]
        within = tirx.all(batch >= plan.batch[0], batch <= plan.batch[-1])
        taken = tirx.IfThenElse(within, tirx.BufferStore(cell, batch, [0]), None)
        return [_when(batch, 0, _set(cell, plan.batch[-1])), taken]

    every = [_when(number, position, _sequence(cases(plan))) for position, plan in enumerate(plans)]
    return _c_function([number, batch, pointer], [declaration, *every], "plan_select", target)


def _prepare(plans: Sequence[Plan], layout: MemoryLayout, target: Any) -> Any:
    """Writes into descriptors what follows from the batch."""
    number, batch = _number("plan"), _number("batch")
    base = _base()
    words = tirx.decl_buffer((layout.end // 4 + 1,), "int32", "words")

    def store(each: Prepared, least: int) -> Any:
        if each.table is None:
            value = batch * each.each + each.rest
        else:
            value = tirx.BufferLoad(words, [batch + (layout.offset(each.table) // 4 - least)])
        return tirx.BufferStore(words, value, [layout.offset(each.descriptor) // 4 + each.field])

    every = [
        _when(number, position, _sequence([store(each, plan.batch[0]) for each in plan.prepared]))
        for position, plan in enumerate(plans)
        if plan.batch is not None
    ]
    declaration = tirx.DeclBuffer(words, data=base)
    return _c_function([number, batch, base], [declaration, *every], "plan_prepare", target)


def _run(plans: Sequence[Plan], layout: MemoryLayout, target: Any) -> Any:
    number, batch = _number("plan"), _number("batch")
    base, memory, declaration = _memory(layout)
    cases = [
        _when(number, position, _sequence(_calls(plan.calls, layout, memory, batch)))
        for position, plan in enumerate(plans)
    ]
    return _c_function([number, batch, base], [declaration, *cases], "plan_run", target)


def _call(plans: Sequence[Plan], layout: MemoryLayout, target: Any) -> Any:
    number, batch, index = _number("plan"), _number("batch"), _number("index")
    base, memory, memory_declaration = _memory(layout)
    pointer, cell, cell_declaration = _cell("ran")

    def cases(plan: Plan) -> list[Any]:
        calls = _calls(plan.calls, layout, memory, batch)
        return [_when(index, i, tirx.SeqStmt([call, _set(cell, 1)])) for i, call in enumerate(calls)]

    each = [_when(number, position, _sequence(cases(plan))) for position, plan in enumerate(plans)]
    parameters = [number, batch, index, base, pointer]
    return _c_function(parameters, [memory_declaration, cell_declaration, *each], "plan_call", target)


def _calls(calls: Iterable[Call], layout: MemoryLayout, memory: Any, batch: Any = None) -> list[Any]:
    def address(operand: Operand) -> Any:
        return _address(memory, layout.offset(operand))

    return [
        tirx.Evaluate(
            tirx.call_extern(
                "int32",
                symbol(call.kernel),
                *map(address, call.operands),
                *([batch] if call.takes_batch else []),
            )
        )
        for call in calls
    ]


def _address(memory: Any, offset: int) -> Any:
    return tirx.address_of(tirx.BufferLoad(memory, [tirx.IntImm("int32", offset)]))


def _memory(layout: MemoryLayout) -> tuple[Any, Any, Any]:
    """The parameter `base`, and the bytes that it points to."""
    base = _base()
    memory = tirx.decl_buffer((layout.end + 1,), "uint8", "memory")
    return base, memory, tirx.DeclBuffer(memory, data=base)


def _base() -> Any:
    return tirx.Var("base", tvm.ir.PointerType(tvm.ir.PrimType("uint8"), "global"))


def _cell(name: str) -> tuple[Any, Any, Any]:
    """A parameter that points to one int32 for a result."""
    pointer = tirx.Var(name, tvm.ir.PointerType(tvm.ir.PrimType("int32"), "global"))
    cell = tirx.decl_buffer((1,), "int32", f"{name}_cell")
    return pointer, cell, tirx.DeclBuffer(cell, data=pointer)


def _set(cell: Any, value: int) -> Any:
    return tirx.BufferStore(cell, tirx.IntImm("int32", value), [0])


def _when(index: Any, value: int, statement: Any) -> Any:
    return tirx.IfThenElse(index == value, statement, None)


def _number(name: str) -> Any:
    return tirx.Var(name, "int32")


def _sequence(statements: Sequence[Any]) -> Any:
    """Statements, of which there may be none, as one."""
    if len(statements) > 1:
        return tirx.SeqStmt(list(statements))
    return statements[0] if statements else tirx.Evaluate(tirx.IntImm("int32", 0))
