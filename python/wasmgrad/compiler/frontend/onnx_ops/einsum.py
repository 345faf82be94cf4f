"""Einsum.

A product of two matrices in disguise becomes Relax's canonical matmul, which later passes replace by own kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvm import relax, te, tirx

from ._nn import cast, wide, widened
from ._registry import Node, converter


def _labels(node: Node) -> tuple[list[str], str, dict[str, int]]:
    """Labels of every operand and of the result, one letter for an axis, and the extents of all labels."""
    equation = str(node.attribute("equation", "")).replace(" ", "")
    left, arrow, output = equation.partition("->")
    operands = left.split(",")
    if len(operands) != len(node.values):
        node.refuse(f"equation '{equation}' has {len(operands)} operands, the node {len(node.values)}")
    spare = [chr(code) for code in range(0x3B1, 0x3B1 + 16)]  # names of the axes under an ellipsis
    covered = 0
    for i, operand in enumerate(operands):
        hidden = node.rank(i) - len(operand.replace("...", "")) if "..." in operand else 0
        covered = max(covered, hidden)
        operands[i] = operand.replace("...", "".join(spare[:hidden][::-1]))
    ellipsis = "".join(spare[:covered][::-1])
    if not arrow:
        letters = sorted("".join(operands))
        output = ellipsis + "".join(c for c in letters if letters.count(c) == 1 and c not in spare)
    output = output.replace("...", ellipsis)
    extents: dict[str, int] = {}
    for i, operand in enumerate(operands):
        if len(operand) != node.rank(i):
            node.refuse(f"equation '{equation}' does not fit input {i} of shape {node.shape(i)}")
        for label, extent in zip(operand, node.shape(i), strict=True):
            known = extents.setdefault(label, extent)
            if 1 not in {known, extent} and known != extent:
                node.refuse(f"label '{label}' of equation '{equation}' stands for {known} and {extent}")
            extents[label] = max(known, extent)
    if not set(output) <= set(extents):
        node.refuse(f"equation '{equation}' has labels in its result only")
    return operands, output, extents


@converter("Einsum", since=12)
def einsum(node: Node) -> Any:
    """Einstein's summation: products over labelled axes, summed over the labels that the result lacks."""
    operands, output, extents = _labels(node)
    dtype = node.dtype(0)
    if len(operands) == 2 and _is_matrix_product(node, operands, output, extents):
        return cast(_as_matmul(node, operands, output, extents), wide(dtype), dtype)
    summed = [label for label in extents if label not in output]
    shapes = [node.shape(i) for i in range(len(operands))]

    def compute(*tensors: Any) -> Any:
        axes = {label: te.reduce_axis((0, extents[label]), label) for label in summed}

        def element(*place: Any) -> Any:
            index = {**axes, **dict(zip(output, place, strict=True))}
            value = tirx.const(1, wide(dtype))
            for tensor, labels, shape in zip(tensors, operands, shapes, strict=True):
                where = [index[c] if size > 1 else 0 for c, size in zip(labels, shape, strict=True)]
                value *= tensor[tuple(where)] if where else tensor()
            return te.sum(value, axis=list(axes.values())) if axes else value

        return te.compute([extents[label] for label in output], element, name="einsum")

    result = node.emit_te(compute, *(widened(node, i) for i in range(len(operands))))
    return cast(result, wide(dtype), dtype)


def _is_matrix_product(node: Node, operands: Sequence[str], output: str, extents: dict[str, int]) -> bool:
    """Whether a batched matmul computes it: no diagonals, no sums over one operand alone, no broadcast labels."""
    left, right = operands
    plain = all(len(set(labels)) == len(labels) for labels in (*operands, output))
    full = all(node.shape(i) == tuple(extents[c] for c in operands[i]) for i in range(2))
    return (
        plain and full and not [c for c in extents if c not in output and (c not in left or c not in right)]
    )


def _as_matmul(node: Node, operands: Sequence[str], output: str, extents: dict[str, int]) -> Any:
    left, right = operands
    batch = [c for c in left if c in right and c in output]
    summed = [c for c in left if c in right and c not in output]
    rows, columns = [c for c in left if c not in right], [c for c in right if c not in left]

    def count(labels: Sequence[str]) -> int:
        return math.prod(extents[c] for c in labels)

    def arranged(i: int, outer: Sequence[str], inner: Sequence[str]) -> Any:
        order = [operands[i].index(c) for c in (*batch, *outer, *inner)]
        moved = relax.op.permute_dims(widened(node, i), order) if order else widened(node, i)
        return relax.op.reshape(moved, [count(batch), count(outer), count(inner)])

    product = relax.op.matmul(arranged(0, rows, summed), arranged(1, summed, columns))
    labels = [*batch, *rows, *columns]
    result = relax.op.reshape(product, [extents[c] for c in labels])
    return relax.op.permute_dims(result, [labels.index(c) for c in output]) if labels else result
