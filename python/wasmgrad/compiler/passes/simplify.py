"""Rewrites before the layout of pictures is chosen: what TVM's layout pass or our kernels could not see through."""

from __future__ import annotations

from collections.abc import Callable
from math import isclose, sqrt
from typing import Any

import numpy as np
from tvm import relax

from .._relax import literal
from .bindings import Bindings, constant, shape, typed, with_bindings

__all__ = [
    "full_rank_constants",
    "nothing_as_constants",
    "pad_inside",
    "special_scalars_in_memory",
    "whole_gelu",
    "without_clip",
]


def nothing_as_constants(module: Any) -> Any:
    """Results without elements as constants: nothing computes them, and TVM takes their axes for those of one."""
    rewritten = [
        relax.VarBinding(each.var, literal(np.empty(shape(each.var)), str(each.var.ty.dtype)))
        if isinstance(each.var.ty, relax.TensorType) and 0 in shape(each.var)
        else each
        for each in Bindings(module["main"]).bindings
    ]
    return with_bindings(module, rewritten)


def special_scalars_in_memory(module: Any) -> Any:
    """Scalars that TVM computes wrongly with as tensors, which kernels load.

    TVM makes numbers of scalars, takes x * 0 and 0 / x for 0, which they are not for NaN and infinities, x + 0 for x,
    which it is not for -0, and cannot compile x / 0, nor products with the lowest integer, which it negates.
    """
    bindings = Bindings(module["main"])
    rewritten = []
    for position, binding in enumerate(bindings.bindings):
        make = _WITH_SPECIAL.get(bindings.operator(position) or "")
        if make is None or not any(_is_special_scalar(argument) for argument in binding.value.args):
            rewritten.append(binding)
            continue
        arguments = [_vector(argument) for argument in binding.value.args]
        if not shape(binding.var):
            one = relax.DataflowVar(binding.var.name, relax.TensorType((1,), binding.var.ty.dtype))
            rewritten.append(relax.VarBinding(one, typed(make(*arguments))))
            binding = relax.VarBinding(binding.var, typed(relax.op.reshape(one, ())))  # noqa: PLW2901
        else:
            binding = relax.VarBinding(binding.var, typed(make(*arguments)))  # noqa: PLW2901
        rewritten.append(binding)
    return with_bindings(module, rewritten)


def _is_special_scalar(expression: Any) -> bool:
    array = constant(expression)
    if array is None or array.ndim > 0:
        return False
    return bool(array == (np.iinfo(array.dtype).min if array.dtype.kind == "i" else 0))


def _vector(expression: Any) -> Any:
    """A constant scalar as a vector of one element."""
    array = constant(expression)
    return expression if array is None or array.ndim > 0 else literal(array.reshape(1))


def without_clip(module: Any) -> Any:
    """`clip` as a maximum and a minimum, which the layout pass knows how to pass through."""
    bindings = Bindings(module["main"])
    rewritten = []
    for position, binding in enumerate(bindings.bindings):
        if bindings.operator(position) != "relax.clip":
            rewritten.append(binding)
            continue
        x, low, high = binding.value.args
        dtype = str(x.ty.dtype)
        bounded = relax.DataflowVar(binding.var.name, x.ty)
        rewritten.append(relax.VarBinding(bounded, typed(relax.op.maximum(x, _scalar(low, dtype)))))
        rewritten.append(
            relax.VarBinding(binding.var, typed(relax.op.minimum(bounded, _scalar(high, dtype))))
        )
    return with_bindings(module, rewritten)


def _scalar(value: Any, dtype: str) -> Any:
    number = value.value
    if "int" in dtype:
        limits = np.iinfo(dtype)
        number = min(max(int(number), limits.min), limits.max)
    return relax.const(number, dtype)


def full_rank_constants(module: Any) -> Any:
    """Constants of shape [C, 1, 1] beside pictures as [1, C, 1, 1]: the layout pass does not broadcast by itself."""
    bindings = Bindings(module["main"])
    rewritten = []
    for position, binding in enumerate(bindings.bindings):
        make = _BROADCASTING.get(bindings.operator(position) or "")
        if make is not None and len(shape(binding.var)) == 4:
            arguments = [_full_rank(argument) for argument in binding.value.args]
            binding = relax.VarBinding(binding.var, typed(make(*arguments)))  # noqa: PLW2901
        rewritten.append(binding)
    return with_bindings(module, rewritten)


def _full_rank(expression: Any) -> Any:
    array = constant(expression)
    if array is None or not 0 < array.ndim < 4:
        return expression
    return relax.const(array.reshape((1,) * (4 - array.ndim) + array.shape), str(array.dtype))


_BROADCASTING: dict[str, Callable[[Any, Any], Any]] = {
    "relax.add": relax.op.add,
    "relax.subtract": relax.op.subtract,
    "relax.multiply": relax.op.multiply,
    "relax.divide": relax.op.divide,
}

_WITH_SPECIAL = {name: make for name, make in _BROADCASTING.items() if name != "relax.subtract"}


def pad_inside(module: Any) -> Any:
    """Zeros around pictures as the padding of the convolution that reads them."""
    bindings = Bindings(module["main"])
    rewritten = [
        _with_padding(bindings, binding) if bindings.operator(position) == "relax.nn.conv2d" else binding
        for position, binding in enumerate(bindings.bindings)
    ]
    return relax.transform.DeadCodeElimination(["main"])(with_bindings(module, rewritten))


def _with_padding(bindings: Bindings, binding: Any) -> Any:
    """The convolution of what was padded, with more padding; itself when there is nothing to take in."""
    call = binding.value
    producer = bindings.producer(call.args[0])
    if producer is None or bindings.operator(producer) != "relax.nn.pad":
        return binding
    padded = bindings.value(producer)
    *outer, top, bottom, left, right = (int(width) for width in padded.attrs.pad_width)
    if any(outer) or padded.attrs.pad_mode != "constant" or padded.attrs.pad_value != 0:
        return binding
    if len(outer) != 4 or min(top, bottom, left, right) < 0 or call.attrs.data_layout != "NCHW":
        return binding
    own = [int(width) for width in call.attrs.padding]
    padding = [width + more for width, more in zip(own, (top, left, bottom, right), strict=True)]
    attributes = call.attrs
    convolution = relax.op.nn.conv2d(
        padded.args[0],
        call.args[1],
        strides=[int(stride) for stride in attributes.strides],
        padding=padding,
        dilation=[int(dilation) for dilation in attributes.dilation],
        groups=int(attributes.groups),
        data_layout="NCHW",
        kernel_layout=attributes.kernel_layout,
        out_dtype=attributes.out_dtype,
    )
    return relax.VarBinding(binding.var, typed(convolution))


def whole_gelu(module: Any) -> Any:
    """`x * (erf(x / sqrt(2)) + 1) * 0.5`, which exporters write out in several orders, as one operator."""
    bindings = Bindings(module["main"])
    rewritten = list(bindings.bindings)
    for position in range(len(bindings)):
        if bindings.operator(position) != "relax.erf":
            continue
        x = _over_sqrt2(bindings, bindings.value(position).args[0])
        plus_one = _scaled_user(bindings, position, "relax.add", 1.0)
        if x is None or plus_one is None:
            continue
        for product in bindings.users(plus_one):
            last = _gelu_product(bindings, product, plus_one, x)
            if last is not None:
                rewritten[last] = relax.VarBinding(bindings.variable(last), typed(relax.op.nn.gelu(x)))
    return relax.transform.DeadCodeElimination(["main"])(with_bindings(module, rewritten))


def _gelu_product(bindings: Bindings, product: int, plus_one: int, x: Any) -> int | None:
    """Where `plus_one * x * 0.5` is complete, when `product` is its first multiplication or its second."""
    if bindings.operator(product) != "relax.multiply":
        return None
    others = [arg for arg in bindings.value(product).args if not arg.same_as(bindings.variable(plus_one))]
    if len(others) != 1:
        return None
    if others[0].same_as(x):
        return _scaled_user(bindings, product, "relax.multiply", 0.5)
    half = bindings.producer(others[0])
    if half is not None and _is_scaled(bindings, half, "relax.multiply", 0.5, x):
        return product
    return None


def _over_sqrt2(bindings: Bindings, expression: Any) -> Any:
    """The x of x / sqrt(2), however it is written."""
    position = bindings.producer(expression)
    if position is None or bindings.operator(position) not in ("relax.divide", "relax.multiply"):
        return None
    x = bindings.value(position).args[0]
    divides = bindings.operator(position) == "relax.divide"
    factor = sqrt(2) if divides else sqrt(0.5)
    return x if _is_scaled(bindings, position, bindings.operator(position) or "", factor, x) else None


def _is_scaled(bindings: Bindings, position: int, operator: str, number: float, x: Any) -> bool:
    """Whether the binding is `x operator number`."""
    if bindings.operator(position) != operator:
        return False
    left, right = bindings.value(position).args
    array = constant(right)
    return bool(
        left.same_as(x)
        and array is not None
        and array.size == 1
        and isclose(array.item(), number, rel_tol=1e-6)
    )


def _scaled_user(bindings: Bindings, position: int, operator: str, number: float) -> int | None:
    """The binding that is `operator number` of this one."""
    variable = bindings.variable(position)
    users = (
        user for user in bindings.users(position) if _is_scaled(bindings, user, operator, number, variable)
    )
    return next(users, None)
