"""Generated kernels in a form that has arguments and a result in one buffer, where that changes no number.

It holds when each element of an argument is read before another value is written to its place. Kernels are looked at as
TVM lowers them, loop nest by loop nest; those with a schedule are not. What a kernel copies from such an argument to
the same place of the result is there already and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx

__all__ = ["in_place"]

_TAKES_ADDRESS = ("tirx.address_of", "tirx.tvm_access_ptr")


def in_place(function: Any, arguments: Sequence[int], result: int) -> Any | None:
    """The kernel (PrimFunc) without the parameters `arguments`, whose values are in the parameter `result` at first.

    None where that may give other results, as when an element is read after another one was written.
    """
    function = s_tir.renew_defs(function)
    target = function.params[result]
    sources = [function.params[i] for i in arguments]
    if not all(_shape_and_type(source) == _shape_and_type(target) for source in sources):
        return None
    if not _is_plain(function.body) or not _is_safe(function.body, sources, target):
        return None

    def replaced(variable: Any) -> Any:
        return target if any(variable.same_as(source) for source in sources) else variable

    body = tvm_ffi.structural_map(function.body, ((tvm.ir.Var, replaced),))
    body = tvm_ffi.structural_map(body, ((tirx.BufferStore, _without_effect),))
    parameters = [each for i, each in enumerate(function.params) if i not in arguments]
    return tirx.PrimFunc(parameters, body, ret_type=function.ret_type, attrs=function.attrs)


def _shape_and_type(parameter: Any) -> tuple[list[int], str]:
    return [int(extent) for extent in parameter.ty.shape], str(parameter.ty.dtype)


def _is_plain(body: Any) -> bool:
    """Whether every access of a buffer is a load or a store of it, by its own name."""
    plain = True

    def refuse(node: Any, visitor: Any) -> None:
        nonlocal plain
        plain = False

    def call(node: Any, visitor: Any) -> None:
        nonlocal plain
        plain = plain and getattr(node.op, "name", "") not in _TAKES_ADDRESS
        visitor.default_visit(node)

    def block(node: Any, visitor: Any) -> None:
        nonlocal plain
        plain = plain and not node.match_buffers
        visitor.default_visit(node)

    tvm_ffi.structural_visit(body, [(tirx.DeclBuffer, refuse), (tvm.ir.Call, call), (s_tir.SBlock, block)])
    return plain


def _is_safe(body: Any, sources: list[Any], target: Any) -> bool:
    changed = False
    for nest in _nests(body):
        stores = [store for store in _found(nest, tirx.BufferStore) if store.buffer.same_as(target)]
        loads = _found(nest, tvm.ir.TensorLoad)
        olds = [load for load in loads if any(load.source.same_as(source) for source in sources)]
        if changed and olds:
            return False
        copies = all(_is_copy(store, sources) for store in stores)
        if olds and not copies:
            reads_target = any(load.source.same_as(target) for load in loads)
            if reads_target or len(stores) != 1 or not _each_once(nest, stores[0], olds):
                return False
        changed = changed or not copies
    return True


def _nests(statement: Any) -> Iterator[Any]:
    """The parts of a body that are run one after another."""
    if isinstance(statement, tirx.SeqStmt):
        for each in statement.seq:
            yield from _nests(each)
    elif isinstance(statement, s_tir.SBlockRealize) and not statement.block.iter_vars:
        yield from _nests(statement.block.body)
    elif isinstance(statement, tirx.AttrStmt):
        yield from _nests(statement.body)
    else:
        yield statement


def _found(statement: Any, kind: type) -> list[Any]:
    found = []

    def keep(node: Any, visitor: Any) -> None:
        found.append(node)
        visitor.default_visit(node)

    tvm_ffi.structural_visit(statement, [(kind, keep)])
    return found


def _is_copy(store: Any, sources: list[Any]) -> bool:
    value = store.value
    return (
        isinstance(value, tvm.ir.TensorLoad)
        and any(value.source.same_as(source) for source in sources)
        and tvm_ffi.structural_equal(list(value.indices), list(store.indices))
    )


def _each_once(nest: Any, store: Any, loads: list[Any]) -> bool:
    """Whether every element is stored once, and loaded in the same iteration only."""
    loops = []
    while isinstance(nest, tirx.For):
        loops.append(nest.loop_var)
        nest = nest.body
    if not isinstance(nest, s_tir.SBlockRealize) or not _is_one(nest.predicate):
        return False
    block, values = nest.block, list(nest.iter_values)
    variables = [iterator.var for iterator in block.iter_vars]
    spatial = all(iterator.iter_type == tirx.IterVar.DataPar for iterator in block.iter_vars)
    if block.init is not None or not spatial or not _same_variables(values, loops):
        return False
    if not _same_variables(list(store.indices), variables):
        return False
    return all(tvm_ffi.structural_equal(list(load.indices), list(store.indices)) for load in loads)


def _same_variables(expressions: list[Any], variables: list[Any]) -> bool:
    """Whether the expressions are these variables, each of them once, in any order."""
    left = list(variables)
    for expression in expressions:
        place = next((i for i, variable in enumerate(left) if variable.same_as(expression)), None)
        if place is None:
            return False
        del left[place]
    return not left


def _is_one(predicate: Any) -> bool:
    return isinstance(predicate, tirx.IntImm) and int(predicate) == 1


def _without_effect(store: Any) -> Any:
    """Nothing in place of a store of what is there already."""
    value = store.value
    same = (
        isinstance(value, tvm.ir.TensorLoad)
        and value.source.same_as(store.buffer)
        and tvm_ffi.structural_equal(list(value.indices), list(store.indices))
    )
    return tirx.Evaluate(tirx.IntImm("int32", 0)) if same else store
