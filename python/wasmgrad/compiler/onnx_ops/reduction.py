"""Reductions over axes, and the positions of extremes.

16-bit floats are accumulated in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np
from tvm import relax, te, tirx, topi

from ._nn import cast, scalar, wide, widened
from ._registry import Node, converter, literal
from .elementwise import is_float

Reducer = Callable[[Any, list[int], bool], Any]


def _reduce(node: Node, build: Callable[[Node, Any, list[int], bool, str], Any], empty: Any) -> Any:
    """`build` over the axes of an attribute (older operator sets) or of input 1; none mean all of them.

    `empty` is the result of a reduction of nothing.
    """
    shape, dtype = node.shape(0), node.dtype(0)
    keepdims = bool(node.attribute("keepdims", 1))
    given = node.require_constant(1, "axes").reshape(-1) if node.has(1) else node.attribute("axes", None)
    axes = sorted({node.normalize_axis(int(axis), len(shape)) for axis in (() if given is None else given)})
    if not axes:
        if node.attribute("noop_with_empty_axes", 0):
            return _of_single_elements(node, build, dtype)
        axes = list(range(len(shape)))
    if not prod(shape):
        kept = [1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes]
        return literal(np.full(kept, _empty_value(empty, dtype)), dtype)
    return cast(build(node, widened(node, 0), axes, keepdims, wide(dtype)), wide(dtype), dtype)


def _of_single_elements(node: Node, build: Callable[..., Any], dtype: str) -> Any:
    """Nothing is reduced, but the function around the sum still applies to every element."""
    if node.op in {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"}:
        return node.input(0)
    x = relax.op.reshape(widened(node, 0), [*node.shape(0), 1])
    return cast(build(node, node.emit(x), [node.rank(0)], False, wide(dtype)), wide(dtype), dtype)


def _empty_value(value: Any, dtype: str) -> Any:
    if is_float(dtype) or np.isfinite(value):
        return value
    if dtype == "bool":
        return value > 0
    return np.iinfo(dtype).max if value > 0 else np.iinfo(dtype).min


def _sum(node: Node, x: Any, axes: list[int], keepdims: bool, dtype: str) -> Any:
    return relax.op.sum(x, axes, keepdims)


def _mean(node: Node, x: Any, axes: list[int], keepdims: bool, dtype: str) -> Any:
    if is_float(dtype):
        return relax.op.mean(x, axes, keepdims)
    count = tirx.const(prod(node.shape(0)[axis] for axis in axes), dtype)
    total = node.emit(relax.op.sum(x, axes, keepdims))

    def kernel(sums: te.Tensor) -> te.Tensor:
        return te.compute(sums.shape, lambda *i: tirx.truncdiv(sums(*i), count))

    return node.emit_te(kernel, total)


def _product(node: Node, x: Any, axes: list[int], keepdims: bool, dtype: str) -> Any:
    return relax.op.prod(x, axes, keepdims)


def _extreme(function: Callable[[Any, Any], Any], identity: float) -> Callable[..., Any]:
    def build(node: Node, x: Any, axes: list[int], keepdims: bool, dtype: str) -> Any:
        compute = "uint8" if dtype == "bool" else dtype
        # TVM's own start from the lowest finite number, which is wrong for a row of infinities.
        start = tirx.const(_empty_value(identity, compute), compute)
        reducer = te.comm_reducer(function, lambda dtype: start)

        def kernel(tensor: te.Tensor) -> te.Tensor:
            if dtype == "bool":
                tensor = topi.cast(tensor, "uint8")
            result = _reduced(tensor, axes, keepdims, reducer)
            return topi.cast(result, "bool") if dtype == "bool" else result

        return node.emit_te(kernel, node.emit(x))

    return build


def _reduced(x: te.Tensor, axes: list[int], keepdims: bool, reducer: Any) -> te.Tensor:
    shape = [int(extent) for extent in x.shape]
    inner = [te.reduce_axis((0, shape[axis])) for axis in axes]
    kept = [axis for axis in range(len(shape)) if keepdims or axis not in axes]

    def element(*index: Any) -> Any:
        place = dict(zip(kept, index, strict=True)) | dict(zip(axes, inner, strict=True))
        return reducer(x(*(place[axis] for axis in range(len(shape)))), axis=inner)

    return te.compute([1 if axis in axes else shape[axis] for axis in kept], element)


# TVM counts the parameters of a reducer, and those of its own functions are too many.
_max = _extreme(lambda a, b: tirx.max(a, b), float("-inf"))  # noqa: PLW0108
_min = _extreme(lambda a, b: tirx.min(a, b), float("inf"))  # noqa: PLW0108


def _l1(node: Node, x: Any, axes: list[int], keepdims: bool, dtype: str) -> Any:
    return relax.op.sum(x if dtype.startswith("uint") else relax.op.abs(x), axes, keepdims)


def _sum_square(node: Node, x: Any, axes: list[int], keepdims: bool, dtype: str) -> Any:
    x = node.emit(x)
    return relax.op.sum(relax.op.multiply(x, x), axes, keepdims)


def _in_float(node: Node, function: Callable[[Any], Any], x: Any, dtype: str) -> Any:
    """`function` of `x` in floating point, for results that are not integers."""
    if is_float(dtype):
        return function(x)
    return relax.op.astype(function(relax.op.astype(x, "float64")), dtype)


def _l2(node: Node, x: Any, axes: list[int], keepdims: bool, dtype: str) -> Any:
    return _in_float(node, relax.op.sqrt, _sum_square(node, x, axes, keepdims, dtype), dtype)


def _log_sum(node: Node, x: Any, axes: list[int], keepdims: bool, dtype: str) -> Any:
    return _in_float(node, relax.op.log, relax.op.sum(x, axes, keepdims), dtype)


def _log_sum_exp(node: Node, x: Any, axes: list[int], keepdims: bool, dtype: str) -> Any:
    """Shifted by the largest element, so that nothing overflows; a largest one of -inf is no shift."""
    compute = dtype if is_float(dtype) else "float64"
    x = node.emit(cast(x, dtype, compute))
    largest = _max(node, x, axes, True, compute)
    low = scalar(float(np.finfo(compute).min), compute)
    shift = node.emit(relax.op.maximum(largest, low))
    total = node.emit(relax.op.log(relax.op.sum(relax.op.exp(relax.op.subtract(x, shift)), axes, True)))
    result = relax.op.add(total, shift)
    return cast(result if keepdims else relax.op.squeeze(result, axes), compute, dtype)


for _op, _build, _empty in (
    ("ReduceSum", _sum, 0),
    ("ReduceMean", _mean, float("nan")),
    ("ReduceProd", _product, 1),
    ("ReduceMax", _max, float("-inf")),
    ("ReduceMin", _min, float("inf")),
    ("ReduceL1", _l1, 0),
    ("ReduceL2", _l2, 0),
    ("ReduceSumSquare", _sum_square, 0),
    ("ReduceLogSum", _log_sum, float("-inf")),
    ("ReduceLogSumExp", _log_sum_exp, float("-inf")),
):
    converter(_op)(partial(_reduce, build=_build, empty=_empty))


def _position(node: Node, function: Callable[..., Any]) -> Any:
    axis = node.axis(0, node.rank(0))
    keepdims, last = bool(node.attribute("keepdims", 1)), bool(node.attribute("select_last_index", 0))

    def kernel(x: te.Tensor) -> te.Tensor:
        return topi.cast(function(x, axis, keepdims, last), "int64")

    return node.emit_te(kernel, widened(node, 0))


@converter("Hardmax")
def hardmax(node: Node) -> Any:
    """1 at the first largest element along an axis (before version 13: along all axes from it on), else 0."""
    shape, dtype = node.shape(0), node.dtype(0)
    axis = node.axis(-1 if node.opset >= 13 else 1, len(shape))
    flat = shape if node.opset >= 13 else (prod(shape[:axis]), prod(shape[axis:]))
    axis = axis if node.opset >= 13 else 1

    def kernel(x: te.Tensor) -> te.Tensor:
        first = topi.argmax(x, axis, True)

        def element(*i: Any) -> Any:
            chosen = first(*i[:axis], 0, *i[axis + 1 :]).astype("int64") == i[axis]
            return tirx.if_then_else(chosen, tirx.const(1, dtype), tirx.const(0, dtype))

        return te.compute(flat, element)

    x = node.emit(relax.op.reshape(widened(node, 0), flat))
    return relax.op.reshape(node.emit_te(kernel, x), shape)


converter("ArgMax")(lambda node: _position(node, topi.argmax))
converter("ArgMin")(lambda node: _position(node, topi.argmin))
