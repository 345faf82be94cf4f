"""Matrix products."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from tvm import relax, te

from ._dequantized import Steps, along, fits_int32, real, steps_of
from ._nn import cast, scalar, wide, widened
from ._registry import Node, converter, literal
from .elementwise import is_float


@converter("MatMul")
def matmul(node: Node) -> Any:
    """NumPy's matmul: stacks of matrices broadcast, vectors are rows on the left and columns on the right."""
    dtype = node.dtype(0)
    if 0 in (*node.shape(0), *node.shape(1)):  # sums of nothing
        return literal(np.matmul(np.zeros(node.shape(0)), np.zeros(node.shape(1))), dtype)
    quantized = _of_steps(node, steps_of(node, 0), steps_of(node, 1))
    if quantized is not None:
        return quantized
    return cast(relax.op.matmul(widened(node, 0), widened(node, 1)), wide(dtype), dtype)


def _of_steps(node: Node, left: Steps | None, right: Steps | None) -> Any | None:
    """The product of dequantized matrices as one of integers; None where it is no such."""
    if left is None or right is None or left.scale.size > 1 or min(node.rank(0), node.rank(1)) < 2:
        return None
    scale = along(left.scale * right.scale, -1)
    if scale is None or not fits_int32(right, node.shape(0)[-1], -1):
        return None
    return real(node, relax.op.matmul(left.value, right.value), scale)


@converter("Gemm", since=7)
def gemm(node: Node) -> Any:
    """The sum alpha · A · B + beta · C, either matrix transposed first."""
    dtype = node.dtype(0)
    compute = wide(dtype)
    result = _of_steps(node, _steps_of_matrix(node, 0, "transA"), _steps_of_matrix(node, 1, "transB"))
    if result is None:
        result = relax.op.matmul(_matrix(node, 0, "transA"), _matrix(node, 1, "transB"))
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    if alpha != 1:
        result = relax.op.multiply(result, scalar(alpha, compute))
    if node.has(2):
        c = widened(node, 2)
        result = relax.op.add(result, c if beta == 1 else relax.op.multiply(c, scalar(beta, compute)))
    return cast(result, compute, dtype)


def _steps_of_matrix(node: Node, i: int, flag: str) -> Steps | None:
    steps = steps_of(node, i)
    if steps is None or not node.attribute(flag, 0):
        return steps
    if steps.array is None:
        return Steps(node.emit(relax.op.permute_dims(steps.value)), None, steps.scale)
    array = np.ascontiguousarray(steps.array.T)
    return Steps(literal(array), array, steps.scale.T)


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
