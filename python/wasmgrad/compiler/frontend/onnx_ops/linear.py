"""Matrix products."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from tvm import relax, te

from ._nn import cast, scalar, wide, widened
from ._registry import Node, converter, literal
from .elementwise import is_float


@converter("MatMul")
def matmul(node: Node) -> Any:
    """NumPy's matmul: stacks of matrices broadcast, vectors are rows on the left and columns on the right."""
    dtype = node.dtype(0)
    if 0 in (*node.shape(0), *node.shape(1)):  # sums of nothing
        return literal(np.matmul(np.zeros(node.shape(0)), np.zeros(node.shape(1))), dtype)
    return cast(relax.op.matmul(widened(node, 0), widened(node, 1)), wide(dtype), dtype)


@converter("Gemm", since=7)
def gemm(node: Node) -> Any:
    """The sum alpha · A · B + beta · C, either matrix transposed first."""
    dtype = node.dtype(0)
    compute = wide(dtype)
    a, b = _matrix(node, 0, "transA"), _matrix(node, 1, "transB")
    result = relax.op.matmul(a, b)
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    if alpha != 1:
        result = relax.op.multiply(result, scalar(alpha, compute))
    if node.has(2):
        c = widened(node, 2)
        result = relax.op.add(result, c if beta == 1 else relax.op.multiply(c, scalar(beta, compute)))
    return cast(result, compute, dtype)


def _matrix(node: Node, i: int, flag: str) -> Any:
    if not node.attribute(flag, 0):
        return widened(node, i)
    constant = node.constant(i)
    if constant is not None:
        return literal(np.ascontiguousarray(constant.T), wide(node.dtype(i)))
    return node.emit(relax.op.permute_dims(widened(node, i)))


@converter("Det", since=11)
def det(node: Node) -> Any:
    """Determinants of small square matrices."""
    shape, dtype = node.shape(0), node.dtype(0)
    if not is_float(dtype) or len(shape) < 2 or shape[-1] != shape[-2] or prod(shape) == 0:
        node.refuse(f"{dtype}{list(shape)} is not a stack of square matrices of floats")
    if shape[-1] > 3:
        node.refuse("matrices larger than 3x3 are not supported")
    return cast(_cofactors(node, widened(node, 0), shape), wide(dtype), dtype)


def _cofactors(node: Node, x: Any, shape: tuple[int, ...]) -> Any:
    def minor(at: Any, rows: tuple[int, ...], columns: tuple[int, ...]) -> Any:
        if not rows:
            return None
        total = None
        for k, column in enumerate(columns):
            rest = minor(at, rows[1:], columns[:k] + columns[k + 1 :])
            product = at(rows[0], column) if rest is None else at(rows[0], column) * rest
            total = product if total is None else (total - product if k % 2 else total + product)
        return total

    every = tuple(range(shape[-1]))

    def kernel(tensor: te.Tensor) -> te.Tensor:
        return te.compute(shape[:-2], lambda *i: minor(lambda r, c: tensor(*i, r, c), every, every))

    return node.emit_te(kernel, x)
