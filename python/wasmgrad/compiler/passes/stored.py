"""How constants become weights: in fewer bits, or made of each other, where that gives back the same floats."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from .bindings import Bindings, constant, shape, with_bindings
from .kernels import EXPAND, Arrangement, Stored, Tensor, store

__all__ = ["Tables", "made_by", "store_constants", "weight"]

_MIN_ELEMENTS = 1024  # below, fewer bits save too little
_MOVED = ("relax.matmul", "relax.nn.conv2d")  # whose weights are packed


class Tables:
    """Matrices of a function that something else than a product reads, as it does an embedding."""

    def __init__(self, bindings: Bindings) -> None:
        self._known: set[bytes] = set()
        for position, binding in enumerate(bindings.bindings):
            if bindings.operator(position) in _MOVED:
                continue
            for argument in _arguments(binding.value):
                array = constant(argument)
                if array is not None and array.ndim == 2 and _is_large(array):
                    self._known.add(_digest(array))

    def __contains__(self, matrix: NDArray[Any]) -> bool:
        return bool(self._known) and _is_large(matrix) and _digest(matrix) in self._known


def weight(values: Tensor, factors: Tensor | None, arrangement: Arrangement, lanes: int) -> Any:
    """Packed values, [panels, depth, width], as an operand: what they are made of, or a Relax constant."""
    if factors is not None and np.all(factors == 1):
        factors = None
    stored = None
    if arrangement != "as stored" or values.size >= _MIN_ELEMENTS:
        stored = store(values, factors, arrangement, lanes)
    if stored is not None:
        return stored
    return relax.const(values if factors is None else values * factors[:, None, :])


def made_by(stored: Stored, name: str, shape: Sequence[int]) -> tuple[list[Any], Any]:
    """Bindings that make a weight when the module is loaded, and the variable that is it."""
    kernel = stored.kernel
    operands = [relax.const(each) for each in (kernel.descriptor(), *stored.arrays)]
    types = [relax.TensorType(tuple(shape), "float32"), relax.TensorType((kernel.scratch_bytes(),), "uint8")]
    call = relax.op.call_dps_packed(EXPAND, relax.Tuple(operands), out_ty=types)
    every = relax.DataflowVar(name, relax.TupleType(types))
    made = relax.DataflowVar(name, types[0])
    return [relax.VarBinding(every, call), relax.VarBinding(made, relax.TupleGetItem(every, 0))], made


def store_constants(module: Any, lanes: int) -> Any:
    """The lowered `main` with large constants of float32 stored in fewer bits, where a scale is one of a row."""
    bindings = Bindings(module["main"])
    rewritten: list[Any] = []
    for position, binding in enumerate(bindings.bindings):
        if bindings.operator(position) not in ("relax.call_tir", "relax.call_dps_packed"):
            rewritten.append(binding)
            continue
        call = binding.value
        operands = []
        for operand in call.args[1].fields if isinstance(call.args[1], relax.Tuple) else [call.args[1]]:
            stored = _stored(operand, lanes)
            making, weight = ([], operand) if stored is None else made_by(stored, "weights", shape(operand))
            rewritten += making
            operands.append(weight)
        arguments = [call.args[0], relax.Tuple(operands), *call.args[2:]]
        changed = relax.Call(call.op, arguments, call.attrs, call.ty_args)
        rewritten.append(relax.VarBinding(binding.var, changed))
    return with_bindings(module, rewritten)


def _stored(operand: Any, lanes: int) -> Stored | None:
    array = constant(operand)
    if array is None or array.dtype != np.float32 or not _is_large(array):
        return None
    rows = array.shape[0] if array.ndim > 1 else 1
    return store(array.reshape(rows, -1, 1), None, "as stored", lanes)


def _arguments(expression: Any) -> list[Any]:
    """Of a call, those in its tuples among them."""
    return [
        each
        for argument in getattr(expression, "args", ())
        for each in (argument.fields if isinstance(argument, relax.Tuple) else [argument])
    ]


def _is_large(array: NDArray[Any]) -> bool:
    return array.size >= _MIN_ELEMENTS


def _digest(array: NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array).data).digest()
