"""Sequences and optionals of tensors: lists of the importer, which cost nothing at run time."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from ._registry import Node, Nothing, TensorList, Value, converter, literal
from .control import stacked
from .shape import joined, part


def _list(node: Node, i: int) -> tuple[Value, ...]:
    value = node.value(i)
    if not isinstance(value, TensorList):
        node.refuse(f"input {i} is not a sequence")
    return value.items


@converter("SequenceConstruct", since=11, fold=False)
def construct(node: Node) -> Any:
    """A sequence of the operands."""
    return TensorList(tuple(node.values))


@converter("SequenceEmpty", since=11, fold=False)
def empty(node: Node) -> Any:
    """A sequence of nothing."""
    return TensorList(())


@converter("SequenceLength", since=11, fold=False)
def length(node: Node) -> Any:
    """How many tensors there are."""
    return np.array(len(_list(node, 0)), np.int64)


@converter("SequenceAt", since=11, fold=False)
def at(node: Node) -> Any:
    """The tensor at a position, counted from the end when negative."""
    items = _list(node, 0)
    index = int(node.require_constant(1, "the position").reshape(-1)[0])
    if not -len(items) <= index < len(items):
        node.refuse(f"position {index} is outside of a sequence of {len(items)}")
    return [items[index]]


@converter("SequenceInsert", since=11, fold=False)
def insert(node: Node) -> Any:
    """With a tensor more, at a position or at the end."""
    items = list(_list(node, 0))
    index = int(node.require_constant(2, "the position").reshape(-1)[0]) if node.has(2) else len(items)
    if not -len(items) <= index <= len(items):
        node.refuse(f"position {index} is outside of a sequence of {len(items)}")
    items.insert(index, node.value(1))
    return TensorList(tuple(items))


@converter("SequenceErase", since=11, fold=False)
def erase(node: Node) -> Any:
    """Without the tensor at a position, or without the last one."""
    items = list(_list(node, 0))
    index = int(node.require_constant(1, "the position").reshape(-1)[0]) if node.has(1) else -1
    if not -len(items) <= index < len(items):
        node.refuse(f"position {index} is outside of a sequence of {len(items)}")
    del items[index]
    return TensorList(tuple(items))


@converter("ConcatFromSequence", since=11, fold=False)
def concat_from_sequence(node: Node) -> Any:
    """The tensors one after the other along an axis, a new one if asked for."""
    items = _list(node, 0)
    if not items:
        node.refuse("the sequence is empty")
    rank = len(_shape(items[0]))
    if node.attribute("new_axis", 0):
        return stacked(node, items, node.axis(None, rank + 1))
    axis = node.axis(None, rank)
    if all(isinstance(item, np.ndarray) for item in items):
        return np.concatenate(items, axis)
    return joined(node, [literal(item) if isinstance(item, np.ndarray) else item for item in items], axis)


def _shape(value: Value) -> tuple[int, ...]:
    return (
        value.shape
        if isinstance(value, np.ndarray)
        else tuple(int(extent) for extent in value.ty.shape.values)
    )


@converter("SplitToSequence", since=11, fold=False)
def split_to_sequence(node: Node) -> Any:
    """Parts along an axis: of given sizes, of one size, or (by default) of 1, then perhaps without the axis."""
    shape = node.shape(0)
    axis = node.axis(0, len(shape))
    keepdims = True
    if node.has(1):
        given = node.require_constant(1, "split")
        sizes = given.tolist()
        if given.ndim == 0:
            size = max(1, int(given))
            sizes = [min(size, shape[axis] - start) for start in range(0, shape[axis], size)]
    else:
        sizes = [1] * shape[axis]
        keepdims = bool(node.attribute("keepdims", 1))
    if sum(sizes) != shape[axis]:
        node.refuse(f"parts of {sizes} do not add up to {shape[axis]}")
    items, start = [], 0
    for size in sizes:
        item = part(node, node.input(0), shape, axis, start, size)
        if not keepdims:
            item = node.emit(relax.op.squeeze(item, [axis]))
        items.append(item)
        start += size
    return TensorList(tuple(items))


@converter("Optional", since=15, fold=False)
def optional(node: Node) -> Any:
    """The operand itself, or an optional that holds nothing."""
    return [node.value(0) if node.has(0) else Nothing()]


@converter("OptionalHasElement", since=15, fold=False)
def has_element(node: Node) -> Any:
    """Whether there is a value."""
    return np.array(node.has(0) and not isinstance(node.value(0), Nothing))


@converter("OptionalGetElement", since=15, fold=False)
def get_element(node: Node) -> Any:
    """The value, which must be there."""
    if isinstance(node.value(0), Nothing):
        node.refuse("the optional holds nothing")
    return [node.value(0)]
