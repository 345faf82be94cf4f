"""What follows a convolution or matrix product and can be computed with it: scale, bias, residual, activation.

It only finds; the offloading pass replaces.
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bindings import Bindings, constant, is_float32, shape
from .kernels import Activation, Tensor

__all__ = ["Chain", "Epilogue", "activation_after", "follow", "per_channel"]

_LARGEST_FACTOR = (
    2.0**40
)  # and its inverse is the smallest: weights have exponents of less than half of float32's

_ONE_OPERATOR = {
    "relax.nn.relu": Activation("relu"),
    "relax.sigmoid": Activation("sigmoid"),
    "relax.nn.silu": Activation("swish"),
    "relax.nn.gelu": Activation("gelu"),
    "relax.tanh": Activation("tanh"),
}


@dataclass(kw_only=True)
class Chain:
    """Bindings that one kernel computes: `last` is the one of its result, which an activation ends."""

    last: int
    absorbed: list[int] = field(default_factory=list)
    activation: Activation = field(default_factory=Activation)

    def take(self, position: int) -> None:
        """Makes a binding part of the epilogue; what was last is computed inside."""
        self.absorbed.append(self.last)
        self.last = position


@dataclass(kw_only=True)
class Epilogue(Chain):
    """`activation(result * scale + bias + residual)`. scale and bias: [channels] float32, over the last axis."""

    scale: Tensor
    bias: Tensor
    residual: Any = None


def follow(bindings: Bindings, anchor: int, taken: Container[int], *, may_scale: bool) -> Epilogue:
    """The longest epilogue of the tensor that the binding `anchor` defines, without bindings that are `taken`.

    may_scale: whether the caller can multiply weights by the scale; else there is none.
    """
    channels = shape(bindings.variable(anchor))[-1]
    found = Epilogue(last=anchor, scale=np.ones(channels, np.float32), bias=np.zeros(channels, np.float32))
    while _linear(bindings, found, taken, may_scale):
        pass
    activation_after(bindings, found, taken)
    return found


def _linear(bindings: Bindings, found: Epilogue, taken: Container[int], may_scale: bool) -> bool:
    """Absorbs one addition, subtraction, multiplication or division; False when there is none."""
    users = bindings.users(found.last)
    if len(users) != 1 or users[0] in taken:
        return False
    call, operator, result = (
        bindings.value(users[0]),
        bindings.operator(users[0]),
        bindings.variable(found.last),
    )
    if operator not in ("relax.add", "relax.subtract", "relax.multiply", "relax.divide"):
        return False
    first = call.args[0].same_as(result)
    other = call.args[1] if first else call.args[0]
    if shape(bindings.variable(users[0])) != shape(result) or other.same_as(result):
        return False
    vector = per_channel(constant(other), len(found.bias))
    if vector is None:
        if operator != "relax.add" or found.residual is not None or not is_float32(other):
            return False
        if shape(other) != shape(result) or constant(other) is not None:
            return False
        found.residual = other
    elif operator == "relax.add":
        found.bias = found.bias + vector
    elif operator == "relax.subtract" and first:
        found.bias = found.bias - vector
    elif (
        may_scale
        and found.residual is None
        and (operator == "relax.multiply" or (operator == "relax.divide" and first))
    ):
        factor = _factor(vector, operator == "relax.divide")
        if factor is None:
            return False
        found.scale, found.bias = found.scale * factor, found.bias * factor
    else:
        return False
    found.take(users[0])
    return True


def _factor(vector: Tensor, divides: bool) -> Tensor | None:
    """What weights may be multiplied by in place of the sum: None where a product would leave float32's range."""
    with np.errstate(divide="ignore"):
        factor = np.float32(1) / vector if divides else vector
    size = np.abs(factor)
    return factor if bool(np.all((size <= _LARGEST_FACTOR) & (size >= 1 / _LARGEST_FACTOR))) else None


def per_channel(array: NDArray[Any] | None, channels: int, dtype: str = "float32") -> NDArray[Any] | None:
    """A constant of that type as [channels] values, when there is one for all or one for each of the last axis."""
    if array is None or array.dtype != dtype:
        return None
    if array.size == 1:
        return np.full(channels, array.reshape(()), dtype)
    return array.reshape(-1) if array.size == channels and array.shape[-1] == channels else None


def activation_after(bindings: Bindings, found: Chain, taken: Container[int]) -> None:
    """Takes the activation that follows what was found."""
    users = bindings.users(found.last)
    if any(user in taken for user in users):
        return
    if len(users) == 1:
        operator = bindings.operator(users[0])
        if operator in _ONE_OPERATOR:
            found.activation = _ONE_OPERATOR[operator]
            found.take(users[0])
        else:
            _clip(bindings, found, taken)
    elif len(users) == 2:
        _swish(bindings, found, users[0], users[1])


def _clip(bindings: Bindings, found: Chain, taken: Container[int]) -> None:
    """A lower bound, an upper bound, or both in either order."""
    bounds: dict[str | None, float] = {}
    while len(users := bindings.users(found.last)) == 1 and users[0] not in taken:
        operator = bindings.operator(users[0])
        bound = _bound(bindings, users[0]) if operator in ("relax.maximum", "relax.minimum") else None
        if bound is None or operator in bounds:
            return
        wider = {**bounds, operator: bound}
        low, high = wider.get("relax.maximum", -np.inf), wider.get("relax.minimum", np.inf)
        if low > high:  # the order matters then, and the kernels know one order only
            return
        bounds = wider
        found.activation = Activation("clip", low, high)
        found.take(users[0])


def _bound(bindings: Bindings, position: int) -> float | None:
    """The single number that something is compared with; the kernels know no bound that is NaN."""
    values = [constant(argument) for argument in bindings.value(position).args]
    bounds = (float(value.reshape(())) for value in values if value is not None and value.size == 1)
    return next((bound for bound in bounds if not math.isnan(bound)), None)


def _swish(bindings: Bindings, found: Chain, gate: int, product: int) -> None:
    """X * sigmoid(x), whose x is used twice."""
    if bindings.operator(gate) != "relax.sigmoid" or bindings.operator(product) != "relax.multiply":
        return
    factors, x = bindings.value(product).args, bindings.variable(found.last)
    gated = bindings.variable(gate)
    if list(bindings.users(gate)) != [product] or not any(factor.same_as(x) for factor in factors):
        return
    if any(factor.same_as(gated) for factor in factors):
        found.activation = Activation("swish")
        found.take(product)
        found.absorbed.append(gate)
