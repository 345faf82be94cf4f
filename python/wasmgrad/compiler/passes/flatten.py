"""A rewrite after the layout of pictures is chosen: weights take over the order in which a picture is flattened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax

from .bindings import Bindings, constant, shape, with_bindings

__all__ = ["flatten_as_stored"]


def flatten_as_stored(module: Any) -> Any:
    """`reshape(permute_dims(x)) @ weights` as `reshape(x) @ weights`, the rows of the weights in the order of x.

    The transposition ends what was computed in NHWC, where the model flattens NCHW.
    """
    bindings = Bindings(module["main"])
    rewritten: list[Any] = []
    for position, binding in enumerate(bindings.bindings):
        if bindings.operator(position) == "relax.matmul":
            rewritten += _with_own_order(bindings, binding)
        else:
            rewritten.append(binding)
    return relax.transform.DeadCodeElimination(["main"])(with_bindings(module, rewritten))


def _with_own_order(bindings: Bindings, binding: Any) -> Sequence[Any]:
    """The product of what was transposed and flattened; itself when that is not how its operand was made."""
    flat, weights = binding.value.args
    matrix = constant(weights)
    reshaping = _producer(bindings, flat, "relax.reshape")
    if matrix is None or matrix.ndim != 2 or reshaping is None:
        return [binding]
    swapping = _producer(bindings, reshaping.args[0], "relax.permute_dims")
    if swapping is None or swapping.attrs.axes is None:
        return [binding]
    x, axes = swapping.args[0], [int(axis) for axis in swapping.attrs.axes]
    kept = len(shape(flat)) - 1  # leading axes, which must be those of x
    order = axes[kept:]
    if axes[:kept] != list(range(kept)) or shape(flat)[:kept] != shape(x)[:kept] or not order:
        return [binding]
    as_flattened = matrix.reshape(*(shape(x)[axis] for axis in order), matrix.shape[1])
    as_stored = as_flattened.transpose(*(order.index(axis) for axis in sorted(order)), len(order))
    rows = np.ascontiguousarray(as_stored).reshape(matrix.shape)
    builder = relax.BlockBuilder()
    reshaped = relax.DataflowVar(flat.name, flat.ty)
    product = relax.op.matmul(reshaped, relax.const(rows, str(rows.dtype)), binding.value.attrs.out_dtype)
    return [
        relax.VarBinding(reshaped, builder.normalize(relax.op.reshape(x, shape(flat)))),
        relax.VarBinding(binding.var, builder.normalize(product)),
    ]


def _producer(bindings: Bindings, expression: Any, operator: str) -> Any:
    """The call of `operator` that made it; None when something else did."""
    position = bindings.producer(expression)
    if position is None or bindings.operator(position) != operator:
        return None
    return bindings.value(position)
