"""Operators that read at computed positions. Negative positions count from the end; others outside are clamped."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from tvm import relax, te, tirx

from ._registry import Node, converter, literal


def position(index: Any, extent: int) -> Any:
    """A TIR index as a place inside an axis of `extent` elements."""
    index = index.astype("int64")
    index = tirx.Select(index < 0, index + extent, index)
    return tirx.max(tirx.min(index, tirx.const(extent - 1, "int64")), tirx.const(0, "int64"))


def taken(node: Node, x: Any, shape: Sequence[int], indices: Any, chosen: Sequence[int], axis: int) -> Any:
    """Emits the slices of `x` (of `shape`) along `axis` that `indices` (of shape `chosen`) name."""
    last = axis + len(chosen)

    def kernel(tensor: te.Tensor, places: te.Tensor) -> te.Tensor:
        return te.compute(
            (*shape[:axis], *chosen, *shape[axis + 1 :]),
            lambda *i: tensor(*i[:axis], position(places(*i[axis:last]), shape[axis]), *i[last:]),
        )

    return node.emit_te(kernel, x, indices)


@converter("Gather")
def gather(node: Node) -> Any:
    """Slices of an axis, chosen by the second operand."""
    shape = node.shape(0)
    return taken(node, node.input(0), shape, node.input(1), node.shape(1), node.axis(0, len(shape)))


@converter("ArrayFeatureExtractor", domain="ai.onnx.ml")
def array_feature_extractor(node: Node) -> Any:
    """Slices of the last axis."""
    shape, count = node.shape(0), prod(node.shape(1))
    indices = relax.op.reshape(node.input(1), [count])
    result = taken(node, node.input(0), shape, node.emit(indices), [count], len(shape) - 1)
    return relax.op.reshape(result, [1, count]) if len(shape) == 1 else result


@converter("Compress", since=9)
def compress(node: Node) -> Any:
    """What a condition keeps of an axis; only for a constant one, because it decides the shape."""
    condition = node.require_constant(1, "the condition")
    shape, x = node.shape(0), node.input(0)
    axis = node.attribute("axis", None)
    if axis is None:
        shape, axis = (prod(shape),), 0
        x = node.emit(relax.op.reshape(x, shape))
    axis = node.normalize_axis(axis, len(shape))
    kept = np.flatnonzero(condition[: shape[axis]])
    return taken(node, x, shape, literal(kept, "int64"), kept.shape, axis)


@converter("GatherElements", since=11)
def gather_elements(node: Node) -> Any:
    """Elements whose place along one axis the second operand tells."""
    shape = node.shape(0)
    axis = node.axis(0, len(shape))

    def kernel(x: te.Tensor, indices: te.Tensor) -> te.Tensor:
        return te.compute(
            node.shape(1), lambda *i: x(*i[:axis], position(indices(*i), shape[axis]), *i[axis + 1 :])
        )

    return node.emit_te(kernel, node.input(0), node.input(1))


@converter("GatherND", since=11)
def gather_nd(node: Node) -> Any:
    """Slices whose place along the first axes (after `batch_dims`) the last axis of the second operand tells."""
    shape, chosen = node.shape(0), node.shape(1)
    batch = node.attribute("batch_dims", 0)
    depth, rank = chosen[-1], len(chosen)

    def kernel(x: te.Tensor, indices: te.Tensor) -> te.Tensor:
        def element(*i: Any) -> Any:
            places = (position(indices(*i[: rank - 1], d), shape[batch + d]) for d in range(depth))
            return x(*i[:batch], *places, *i[rank - 1 :])

        return te.compute((*chosen[:-1], *shape[batch + depth :]), element)

    return node.emit_te(kernel, node.input(0), node.input(1))


@converter("OneHot", since=9)
def one_hot(node: Node) -> Any:
    """One value at the places that the first operand names along a new axis, another elsewhere."""
    depth = int(node.require_constant(1, "depth").item())
    shape = node.shape(0)
    axis = node.axis(-1, len(shape) + 1)

    def kernel(indices: te.Tensor, values: te.Tensor) -> te.Tensor:
        def element(*i: Any) -> Any:
            index = indices(*i[:axis], *i[axis + 1 :]).astype("int64")
            index = tirx.Select(index < 0, index + depth, index)
            return tirx.if_then_else(index == i[axis], values(1), values(0))

        return te.compute((*shape[:axis], depth, *shape[axis:]), element)

    return node.emit_te(kernel, node.input(0), node.input(2))
