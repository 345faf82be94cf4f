"""Evaluates operators whose operands are constants.

Those that only rearrange one, or add and multiply two, are done here: TVM would compile a kernel for each shape to do
the same. So are changes of type, whose results TVM leaves to the machine that it runs on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm_ffi
from numpy.typing import NDArray
from tvm import ir, relax

from .._casts import converted, is_special
from .._relax import literal, numpy_dtype
from .bindings import Bindings, constant, shape, with_bindings

__all__ = ["evaluate_constants", "fold_constants"]


def fold_constants(module: Any) -> Any:
    """`main` with everything evaluated that depends on constants only.

    Not what depends on NaN or an infinity: TVM's own kernels compare and convert them otherwise than ours.
    """
    bindings = Bindings(module["main"]).bindings
    alone: list[Any] = []
    known: set[Any] = set()
    for binding in bindings:
        if known.issuperset(relax.analysis.free_vars(binding.value)) and not _has_special(binding.value):
            known.add(binding.var)
            alone.append(binding)
    if not alone:
        return module
    # By themselves: TVM's pass makes a kernel of every operator that it sees before it asks what depends on what.
    results = relax.Tuple([binding.var for binding in alone])
    body = relax.SeqExpr([relax.DataflowBlock(alone)], results)
    folded = relax.transform.FoldConstant()(_with_main(module, relax.Function([], body, results.ty)))
    values = dict(zip(results.fields, folded["main"].body.body.fields, strict=True))
    rewritten = [
        relax.VarBinding(each.var, values[each.var]) if constant(values.get(each.var)) is not None else each
        for each in bindings
    ]
    return relax.transform.CanonicalizeBindings()(with_bindings(module, rewritten))


def _has_special(expression: Any) -> bool:
    found = False

    def look(node: Any, _: Any) -> None:
        nonlocal found
        array = constant(node)
        found |= array is not None and is_special(array)

    tvm_ffi.structural_visit(expression, [(ir.Constant, look)])
    return found


def _with_main(module: Any, function: Any) -> Any:
    module = module.clone()
    module.update_func(module.get_global_var("main"), function)
    return module


def evaluate_constants(module: Any) -> Any:
    """`main` with the results of `_EVALUATE`'s operators on constants in place of the operators."""
    bindings = Bindings(module["main"])
    known: dict[Any, NDArray[Any]] = {}
    rewritten = []
    for position, binding in enumerate(bindings.bindings):
        evaluate = _EVALUATE.get(bindings.operator(position) or "")
        result = None
        if evaluate is not None:
            operands = [known.get(each, constant(each)) for each in _tensors(binding.value)]
            if all(operand is not None for operand in operands):
                result = evaluate(binding, *operands)
        if result is None:
            rewritten.append(binding)
        else:
            known[binding.var] = np.array(result, order="C")
            rewritten.append(relax.VarBinding(binding.var, literal(known[binding.var])))
    return relax.transform.CanonicalizeBindings()(with_bindings(module, rewritten))


def _tensors(call: Any) -> list[Any]:
    return [each for each in call.args if isinstance(each.ty, relax.TensorType)]


def _permute(binding: Any, array: NDArray[Any]) -> NDArray[Any]:
    axes = binding.value.attrs.axes
    return array.transpose(None if axes is None else [int(axis) for axis in axes])


def _reshape(binding: Any, array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(shape(binding.var))


def _slice(binding: Any, array: NDArray[Any]) -> NDArray[Any] | None:
    axes, begins, ends, *strides = ([int(each) for each in part] for part in binding.value.args[1:])
    steps = strides[0] if strides else [1] * len(axes)
    if min(*begins, *ends, *steps) < 0:  # which NumPy and Relax understand otherwise
        return None
    taken = [slice(None)] * array.ndim
    for axis, *part in zip(axes, begins, ends, steps, strict=True):
        taken[axis] = slice(*part)
    return array[tuple(taken)]


def _convert(binding: Any, array: NDArray[Any]) -> NDArray[Any]:
    return converted(array, numpy_dtype(str(binding.var.ty.dtype)))


def _arithmetic(function: Any, kinds: str) -> Callable[..., NDArray[Any] | None]:
    """Of types that NumPy computes as every machine does."""

    def evaluate(_: Any, *operands: NDArray[Any]) -> NDArray[Any] | None:
        if operands[0].dtype.kind not in kinds or any(map(is_special, operands)):
            return None
        with np.errstate(all="ignore"):
            return np.asarray(function(*operands))

    return evaluate


_EVALUATE: dict[str, Callable[..., NDArray[Any] | None]] = {
    "relax.permute_dims": _permute,
    "relax.reshape": _reshape,
    "relax.expand_dims": _reshape,
    "relax.squeeze": _reshape,
    "relax.strided_slice": _slice,
    "relax.astype": _convert,
    "relax.add": _arithmetic(np.add, "fiu"),
    "relax.subtract": _arithmetic(np.subtract, "fiu"),
    "relax.multiply": _arithmetic(np.multiply, "fiu"),
    "relax.divide": _arithmetic(np.divide, "f"),
}
