"""Evaluates operators that only rearrange a constant. TVM would compile a kernel for each shape to do the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from .bindings import Bindings, constant, shape, with_bindings

__all__ = ["rearrange_constants"]


def rearrange_constants(module: Any) -> Any:
    """`main` with transposed and reshaped constants in place of their transposition and reshaping."""
    bindings = Bindings(module["main"])
    known: dict[Any, NDArray[Any]] = {}
    rewritten = []
    for position, binding in enumerate(bindings.bindings):
        evaluate = _REARRANGE.get(bindings.operator(position) or "")
        if evaluate is None:
            rewritten.append(binding)
            continue
        source = binding.value.args[0]
        array = known[source] if source in known else constant(source)
        if array is None:
            rewritten.append(binding)
        else:
            known[binding.var] = np.array(evaluate(array, binding), order="C")
            rewritten.append(
                relax.VarBinding(binding.var, relax.const(known[binding.var], str(known[binding.var].dtype)))
            )
    return relax.transform.CanonicalizeBindings()(with_bindings(module, rewritten))


def _permute(array: NDArray[Any], binding: Any) -> NDArray[Any]:
    axes = binding.value.attrs.axes
    return array.transpose(None if axes is None else [int(axis) for axis in axes])


def _reshape(array: NDArray[Any], binding: Any) -> NDArray[Any]:
    return array.reshape(shape(binding.var))


_REARRANGE: dict[str, Callable[[NDArray[Any], Any], NDArray[Any]]] = {
    "relax.permute_dims": _permute,
    "relax.reshape": _reshape,
    "relax.expand_dims": _reshape,
    "relax.squeeze": _reshape,
}
