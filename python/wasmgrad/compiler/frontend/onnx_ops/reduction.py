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


def _extreme(function: Callable[..., Any]) -> Callable[..., Any]:
    def build(node: Node, x: Any, axes: list[int], keepdims: bool, dtype: str) -> Any:
        if dtype != "bool":
            return function(x, axes, keepdims)
        return relax.op.astype(function(relax.op.astype(x, "uint8"), axes, keepdims), "bool")

    return build


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
    """Shifted by the largest element, so that nothing overflows; one that is not finite is no shift."""
    compute = dtype if is_float(dtype) else "float64"
    x = node.emit(cast(x, dtype, compute))
    largest = node.emit(relax.op.max(x, axes, keepdims=True))
    finite = relax.op.less_equal(relax.op.abs(largest), scalar(float(np.finfo(compute).max), compute))
    shift = node.emit(relax.op.where(finite, largest, scalar(0, compute)))
    total = node.emit(relax.op.log(relax.op.sum(relax.op.exp(relax.op.subtract(x, shift)), axes, True)))
    result = relax.op.add(total, shift)
    return cast(result if keepdims else relax.op.squeeze(result, axes), compute, dtype)


for _op, _build, _empty in (
    ("ReduceSum", _sum, 0),
    ("ReduceMean", _mean, float("nan")),
    ("ReduceProd", _product, 1),
    ("ReduceMax", _extreme(relax.op.max), float("-inf")),
    ("ReduceMin", _extreme(relax.op.min), float("inf")),
    ("ReduceL1", _l1, 0),
    ("ReduceL2", _l2, 0),
    ("ReduceSumSquare", _sum_square, 0),
    ("ReduceLogSum", _log_sum, float("-inf")),
    ("ReduceLogSumExp", _log_sum_exp, float("-inf")),
):
    converter(_op)(partial(_reduce, build=_build, empty=_empty))


def _place_of_best(x: te.Tensor, axis: int, last: bool, better: Callable[[Any, Any], Any]) -> te.Tensor:
    """The place of the best element along an axis, that stays: of equals the first, or the last. NaN is best."""
    extent = int(x.shape[axis])
    nan = is_float(str(x.dtype))

    def wins(left: Any, right: Any) -> Any:
        earlier = left[0] > right[0] if last else left[0] < right[0]
        if not nan:
            return tirx.any(better(left[1], right[1]), tirx.all(left[1] == right[1], earlier))
        left_is, right_is = tirx.isnan(left[1]), tirx.isnan(right[1])
        equal = tirx.any(left[1] == right[1], tirx.all(left_is, right_is))
        first = tirx.any(better(left[1], right[1]), tirx.all(left_is, tirx.Not(right_is)))
        return tirx.any(first, tirx.all(equal, earlier))

    def combine(left: Any, right: Any) -> Any:
        # The start is no place at all, and loses whatever it is compared with.
        chosen = tirx.all(left[0] >= 0, tirx.any(right[0] < 0, wins(left, right)))
        return tirx.Select(chosen, left[0], right[0]), tirx.Select(chosen, left[1], right[1])

    def start(place: str, value: str) -> Any:
        return tirx.const(-1, place), tirx.const(0, value)

    reducer = te.comm_reducer(combine, start, name="place_of_best")
    step = te.reduce_axis((0, extent), "k")

    def element(*index: Any) -> Any:
        here = (*index[:axis], step, *index[axis + 1 :])
        return reducer((step.astype("int32"), x(*here)), axis=step)

    shape = [*x.shape[:axis], 1, *x.shape[axis + 1 :]]
    return te.compute(shape, element, name="place_of_best")[0]


def _position(node: Node, better: Callable[[Any, Any], Any]) -> Any:
    axis = node.axis(0, node.rank(0))
    keepdims, last = bool(node.attribute("keepdims", 1)), bool(node.attribute("select_last_index", 0))

    def kernel(x: te.Tensor) -> te.Tensor:
        place = topi.cast(_place_of_best(x, axis, last, better), "int64")
        return place if keepdims else topi.squeeze(place, axis)

    return node.emit_te(kernel, widened(node, 0))


@converter("Hardmax")
def hardmax(node: Node) -> Any:
    """1 at the first largest element along an axis (before version 13: along all axes from it on), else 0."""
    shape, dtype = node.shape(0), node.dtype(0)
    axis = node.axis(-1 if node.opset >= 13 else 1, len(shape))
    flat = shape if node.opset >= 13 else (prod(shape[:axis]), prod(shape[axis:]))
    axis = axis if node.opset >= 13 else 1

    def kernel(x: te.Tensor) -> te.Tensor:
        first = _place_of_best(x, axis, False, tirx.GT)

        def element(*i: Any) -> Any:
            chosen = first(*i[:axis], 0, *i[axis + 1 :]).astype("int64") == i[axis]
            return tirx.if_then_else(chosen, tirx.const(1, dtype), tirx.const(0, dtype))

        return te.compute(flat, element)

    x = node.emit(relax.op.reshape(widened(node, 0), flat))
    return relax.op.reshape(node.emit_te(kernel, x), shape)


converter("ArgMax")(lambda node: _position(node, tirx.GT))
converter("ArgMin")(lambda node: _position(node, tirx.LT))
