"""Operators whose elements depend on the ones before: running sums, the largest elements, scattered writes.

They are loops, not tensor expressions. 16-bit floats are computed in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from tvm import relax, te, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ._nn import cast, wide, widened
from ._registry import Node, converter
from .elementwise import is_float


def looped(
    node: Node,
    inputs: Sequence[Any],
    outputs: Sequence[tuple[Sequence[int], str]],
    body: Callable[..., None],
) -> Any:
    """Emits a kernel whose loops `body` writes, given flat proxies of the input and the output buffers.

    outputs: shape and dtype of each.
    """

    def kernel(*tensors: te.Tensor) -> Any:
        def generate(ins: Sequence[Any], outs: Sequence[Any]) -> Any:
            with IRBuilder() as builder:
                with T.seq_scope():
                    body(*(T.buffer_proxy(buffer) for buffer in (*ins, *outs)))
                return builder.get()

        # Declared here, because te.extern's own buffers start at an offset that is only known at run time.
        read = [
            tirx.decl_buffer(tensor.shape, tensor.dtype, f"in{i}", layout=None)
            for i, tensor in enumerate(tensors)
        ]
        written = [
            tirx.decl_buffer(tuple(shape), dtype, f"out{i}", layout=None)
            for i, (shape, dtype) in enumerate(outputs)
        ]
        return te.extern(
            [tuple(shape) for shape, _ in outputs],
            list(tensors),
            generate,
            dtype=[dtype for _, dtype in outputs],
            in_buffers=read,
            out_buffers=written,
            name=node.op.lower(),
        )

    return node.emit_te(kernel, *inputs)


# -- running sums and products ----------------------------------------------------------------------------------------


def _running(node: Node, combine: Callable[[Any, Any], Any], neutral: int) -> Any:
    shape, dtype = node.shape(0), node.dtype(0)
    compute = wide(dtype)
    axis = node.normalize_axis(int(node.require_constant(1, "axis").item()), len(shape))
    exclusive, reverse = node.attribute("exclusive", 0), node.attribute("reverse", 0)
    extent, inner = shape[axis], prod(shape[axis + 1 :])

    def body(x: Any, out: Any) -> None:
        with T.serial(0, prod(shape) // extent) as row:
            base = row // inner * (extent * inner) + row % inner
            first = base + (extent - 1) * inner if reverse else base
            step = -inner if reverse else inner
            out[first] = tirx.const(neutral, compute) if exclusive else x[first]
            with T.serial(0, extent - 1) as i:
                before = first + i * step
                here = before + step
                out[here] = combine(out[before], x[before] if exclusive else x[here])

    if not prod(shape):
        return node.input(0)
    return cast(looped(node, [widened(node, 0)], [(shape, compute)], body), compute, dtype)


converter("CumSum", since=11)(lambda node: _running(node, lambda a, b: a + b, 0))
converter("CumProd", since=26)(lambda node: _running(node, lambda a, b: a * b, 1))


# -- the largest elements ---------------------------------------------------------------------------------------------


@converter("TopK")
def top_k(node: Node) -> Any:
    """The k largest (or smallest) elements along an axis, in order, and their places; the first of equals first."""
    shape, dtype = node.shape(0), node.dtype(0)
    axis = node.axis(-1, len(shape))
    k = int(node.require_constant(1, "k").reshape(-1)[0]) if node.opset >= 10 else int(node.attribute("k"))
    extent, inner = shape[axis], prod(shape[axis + 1 :])
    if not 0 < k <= extent:
        node.refuse(f"k is {k}, the axis has {extent} elements")
    largest, compute = node.attribute("largest", 1), wide(dtype)
    result = (*shape[:axis], k, *shape[axis + 1 :])

    def better(a: Any, b: Any) -> Any:
        """NaN counts as the largest."""
        ordered = a > b if largest else a < b
        if not is_float(compute):
            return ordered
        greater = (a, b) if largest else (b, a)
        return tirx.any(ordered, tirx.all(tirx.isnan(greater[0]), tirx.Not(tirx.isnan(greater[1]))))

    def body(x: Any, values: Any, places: Any) -> None:
        with T.serial(0, prod(shape) // extent) as row:
            outer, lane = row // inner, row % inner
            base, kept = outer * (extent * inner) + lane, outer * (k * inner) + lane
            with T.serial(0, extent) as i:
                element = x[base + i * inner]
                enters = tirx.any(i < k, better(element, values[kept + (k - 1) * inner]))
                with T.If(enters), T.Then(), T.serial(0, k) as t:
                    # From the last place down: worse ones move on by one, the element takes the place that is left.
                    j = k - 1 - t
                    here = kept + j * inner
                    above = kept + tirx.max(j - 1, 0) * inner
                    with T.If(j <= i), T.Then(), T.If(tirx.all(j > 0, better(element, values[above]))):
                        with T.Then():
                            values[here] = values[above]
                            places[here] = places[above]
                        with T.Else(), T.If(tirx.any(j == i, better(element, values[here]))), T.Then():
                            values[here] = element
                            places[here] = i.astype("int64")

    found = looped(node, [widened(node, 0)], [(result, compute), (result, "int64")], body)
    return [cast(relax.TupleGetItem(found, 0), compute, dtype), relax.TupleGetItem(found, 1)]


# -- scattered writes -------------------------------------------------------------------------------------------------

_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "none": lambda old, new: new,
    "add": lambda old, new: old + new,
    "mul": lambda old, new: old * new,
    "max": tirx.max,
    "min": tirx.min,
}


def _scatter(node: Node, place: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
    """A copy of input 0 into which input 2 is written; `place` tells where an update goes, and whether that exists."""
    shape, dtype = node.shape(0), node.dtype(0)
    reduction = node.attribute("reduction", "none")
    moved = reduction == "none"  # so are not converted
    compute, combine = dtype if moved else wide(dtype), _COMBINE[reduction]
    count = prod(node.shape(2))

    def body(x: Any, indices: Any, updates: Any, out: Any) -> None:
        with T.serial(0, prod(shape)) as i:
            out[i] = x[i]
        with T.serial(0, count) as u:
            target, exists = place(indices, u)
            with T.If(exists), T.Then():
                out[target] = combine(out[target], updates[u])

    if not prod(shape) or not count:
        return node.input(0)
    inputs = [node.input(i) if moved or i == 1 else widened(node, i) for i in range(3)]
    return cast(looped(node, inputs, [(shape, compute)], body), compute, dtype)


def _from_end(index: Any, extent: int) -> tuple[Any, Any]:
    index = index.astype("int64")
    index = tirx.Select(index < 0, index + extent, index)
    return index, tirx.all(index >= 0, index < extent)


@converter("ScatterElements", since=11)
@converter("Scatter", since=9)
def scatter_elements(node: Node) -> Any:
    """Each update goes to its own place, along one axis to the one that its index tells."""
    shape, chosen = node.shape(0), node.shape(1)
    axis = node.axis(0, len(shape))

    def place(indices: Any, update: Any) -> tuple[Any, Any]:
        target, exists = tirx.const(0, "int64"), None
        rest = update.astype("int64")
        for d in reversed(range(len(shape))):
            coordinate, rest = rest % chosen[d], rest // chosen[d]
            if d == axis:
                coordinate, exists = _from_end(indices[update], shape[d])
            target += coordinate * prod(shape[d + 1 :])
        return target, exists

    return _scatter(node, place)


@converter("ScatterND", since=11)
def scatter_nd(node: Node) -> Any:
    """Slices go to the places along the first axes that the last axis of the indices tells."""
    shape = node.shape(0)
    depth = node.shape(1)[-1]
    size = prod(shape[depth:])

    def place(indices: Any, update: Any) -> tuple[Any, Any]:
        row = update // size
        target, exists = (update % size).astype("int64"), tirx.const(True, "bool")
        for d in range(depth):
            coordinate, inside = _from_end(indices[row * depth + d], shape[d])
            target += coordinate * prod(shape[d + 1 :])
            exists = tirx.all(exists, inside)
        return target, exists

    return _scatter(node, place)
