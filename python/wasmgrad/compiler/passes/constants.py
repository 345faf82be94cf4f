"""Evaluates operators whose operands are constants.

Those that only rearrange one are done here: TVM would compile a kernel for each shape to do the same. So are changes of
type, whose results TVM leaves to the machine that it runs on.
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

__all__ = ["fold_constants", "rearrange_constants"]


def fold_constants(module: Any) -> Any:
    """`main` with everything evaluated that depends on constants only.

    Not what depends on NaN or an infinity: TVM's own kernels compare and convert them otherwise than ours.
    """
    hidden: dict[Any, Any] = {}

    def hide(each: Any) -> Any:
        array = constant(each)
        if array is None or not is_special(array):
            return each
        variable = relax.Var(f"special{len(hidden)}", each.ty)
        hidden[variable] = each
        return variable

    main = module["main"]
    body = tvm_ffi.structural_map(main.body, ((ir.Constant, hide),))
    module = _with_main(
        module, relax.Function([*main.params, *hidden], body, main.ret_ty, main.is_pure, main.attrs)
    )
    module = relax.transform.FoldConstant()(module)
    names = {variable.name: each.value for variable, each in hidden.items()}
    return relax.transform.BindParams("main", names)(module) if names else module


def _with_main(module: Any, function: Any) -> Any:
    module = module.clone()
    module.update_func(module.get_global_var("main"), function)
    return module


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
            rewritten.append(relax.VarBinding(binding.var, literal(known[binding.var])))
    return relax.transform.CanonicalizeBindings()(with_bindings(module, rewritten))


def _permute(array: NDArray[Any], binding: Any) -> NDArray[Any]:
    axes = binding.value.attrs.axes
    return array.transpose(None if axes is None else [int(axis) for axis in axes])


def _reshape(array: NDArray[Any], binding: Any) -> NDArray[Any]:
    return array.reshape(shape(binding.var))


def _convert(array: NDArray[Any], binding: Any) -> NDArray[Any]:
    return converted(array, numpy_dtype(str(binding.var.ty.dtype)))


_REARRANGE: dict[str, Callable[[NDArray[Any], Any], NDArray[Any]]] = {
    "relax.permute_dims": _permute,
    "relax.reshape": _reshape,
    "relax.expand_dims": _reshape,
    "relax.squeeze": _reshape,
    "relax.astype": _convert,
}
