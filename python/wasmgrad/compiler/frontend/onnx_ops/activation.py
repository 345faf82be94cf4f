"""Activation functions, softmax and dropout.

Softmax, Gelu and the like become Relax's canonical operators, which later passes replace by own kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax

from ._nn import cast, scalar, wide, widened
from ._registry import Node, converter


def _in_wide(node: Node, function: Callable[[Any, str], Any]) -> Any:
    """`function(x, dtype)` of input 0, computed in at least float32 and given back in the input's type."""
    dtype = node.dtype(0)
    return cast(function(widened(node, 0), wide(dtype)), wide(dtype), dtype)


@converter("Gelu", since=20)
def gelu(node: Node) -> Any:
    """Gives x · Φ(x), with the error function or its tanh approximation."""
    kind = node.attribute("approximate", "none")
    if kind not in {"none", "tanh"}:
        node.refuse(f"approximate '{kind}' is unknown")
    return _in_wide(node, lambda x, _: relax.op.nn.gelu_tanh(x) if kind == "tanh" else relax.op.nn.gelu(x))


@converter("Mish", since=18)
def mish(node: Node) -> Any:
    """Gives x · tanh(ln(1 + eˣ))."""

    def function(x: Any, dtype: str) -> Any:
        # With n = eˣ · (eˣ + 2) the tangent is n / (n + 2), which loses no digits; beyond 20 it is 1.
        power = node.emit(relax.op.exp(relax.op.minimum(x, scalar(20, dtype))))
        n = node.emit(relax.op.multiply(power, relax.op.add(power, scalar(2, dtype))))
        return relax.op.multiply(x, relax.op.divide(n, relax.op.add(n, scalar(2, dtype))))

    return _in_wide(node, function)


@converter("HardSwish", since=14)
def hard_swish(node: Node) -> Any:
    """Gives x · clip(x / 6 + 1/2, 0, 1)."""

    def function(x: Any, dtype: str) -> Any:
        line = relax.op.add(relax.op.multiply(x, scalar(1 / 6, dtype)), scalar(0.5, dtype))
        return relax.op.multiply(x, relax.op.clip(line, 0, 1))

    return _in_wide(node, function)


@converter("Swish", since=24)
def swish(node: Node) -> Any:
    """Gives x · sigmoid(alpha · x)."""
    return _in_wide(node, lambda x, dtype: _swish(x, float(node.attribute("alpha", 1.0)), dtype))


def _swish(x: Any, alpha: float, dtype: str) -> Any:
    if alpha == 1.0:
        return relax.op.nn.silu(x)
    return relax.op.multiply(x, relax.op.sigmoid(relax.op.multiply(x, scalar(alpha, dtype))))


@converter("SwiGLU", since=1)
def swiglu(node: Node) -> Any:
    """Swish of the first input times the second."""
    alpha = float(node.attribute("alpha", 1.0))
    return _in_wide(node, lambda x, dtype: relax.op.multiply(_swish(x, alpha, dtype), widened(node, 1)))


@converter("Selu", since=1)
def selu(node: Node) -> Any:
    """Gives gamma · x for positive x, else gamma · alpha · (eˣ - 1)."""
    alpha = float(node.attribute("alpha", 1.6732632423543772))
    gamma = float(node.attribute("gamma", 1.0507009873554805))

    def function(x: Any, dtype: str) -> Any:
        return relax.op.multiply(scalar(gamma, dtype), _elu(x, alpha, dtype))

    return _in_wide(node, function)


@converter("Celu", since=12)
def celu(node: Node) -> Any:
    """max(0, x) + min(0, alpha · (e^(x / alpha) - 1))."""
    alpha = float(node.attribute("alpha", 1.0))

    def function(x: Any, dtype: str) -> Any:
        return relax.op.multiply(
            scalar(alpha, dtype), _elu(relax.op.divide(x, scalar(alpha, dtype)), 1.0, dtype)
        )

    return _in_wide(node, function)


def _elu(x: Any, alpha: float, dtype: str) -> Any:
    """Gives x for positive x, else alpha · (eˣ - 1); the exponential of a positive number is never taken."""
    zero = scalar(0, dtype)
    below = relax.op.subtract(relax.op.exp(relax.op.minimum(x, zero)), scalar(1, dtype))
    return relax.op.add(relax.op.maximum(x, zero), relax.op.multiply(scalar(alpha, dtype), below))


@converter("Elu", since=6)
def elu(node: Node) -> Any:
    """Gives x for positive x, else alpha · (eˣ - 1)."""
    return _in_wide(node, lambda x, dtype: _elu(x, float(node.attribute("alpha", 1.0)), dtype))


@converter("LeakyRelu", since=6)
def leaky_relu(node: Node) -> Any:
    """Gives x where it is not negative, else alpha · x."""
    alpha = float(node.attribute("alpha", 0.01))
    if alpha == 0:  # which TVM would not multiply with: -inf and NaN have to become NaN
        return _in_wide(node, lambda x, dtype: _leaky(x, scalar(0, dtype), dtype))
    return _in_wide(node, lambda x, _: relax.op.nn.leakyrelu(x, alpha))


def _leaky(x: Any, slope: Any, dtype: str) -> Any:
    return relax.op.where(relax.op.less(x, scalar(0, dtype)), relax.op.multiply(x, slope), x)


@converter("HardSigmoid", since=6)
def hard_sigmoid(node: Node) -> Any:
    """Gives clip(alpha · x + beta, 0, 1)."""
    alpha, beta = float(node.attribute("alpha", 0.2)), float(node.attribute("beta", 0.5))

    def function(x: Any, dtype: str) -> Any:
        line = relax.op.add(relax.op.multiply(x, scalar(alpha, dtype)), scalar(beta, dtype))
        return relax.op.clip(line, 0, 1)

    return _in_wide(node, function)


@converter("Softsign", since=1)
def softsign(node: Node) -> Any:
    """Gives x / (1 + |x|)."""
    return _in_wide(
        node, lambda x, dtype: relax.op.divide(x, relax.op.add(scalar(1, dtype), relax.op.abs(x)))
    )


@converter("ThresholdedRelu", since=10)
def thresholded_relu(node: Node) -> Any:
    """Gives x where it is greater than alpha, else 0; NaN stays."""
    alpha = float(node.attribute("alpha", 1.0))

    def function(x: Any, dtype: str) -> Any:
        return relax.op.where(relax.op.less_equal(x, scalar(alpha, dtype)), scalar(0, dtype), x)

    return _in_wide(node, function)


@converter("Shrink", since=9)
def shrink(node: Node) -> Any:
    """Gives x + bias below -lambd, x - bias above lambd, 0 between."""
    lambd, bias = float(node.attribute("lambd", 0.5)), float(node.attribute("bias", 0.0))
    dtype = node.dtype(0)
    x = node.input(0)
    zero, shift = scalar(0, dtype), scalar(bias, dtype)
    if dtype.startswith("uint"):
        node.refuse("unsigned numbers have no negative side")
    above = relax.op.where(relax.op.less_equal(x, scalar(lambd, dtype)), zero, relax.op.subtract(x, shift))
    return relax.op.where(relax.op.less(x, scalar(-lambd, dtype)), relax.op.add(x, shift), above)


@converter("PRelu", since=1)
def prelu(node: Node) -> Any:
    """Gives x where it is not negative, else slope · x; the slope broadcasts to x."""
    slope = widened(node, 1)
    if node.opset < 7 and node.rank(1) == 1 and node.rank(0) > 2:
        slope = relax.op.reshape(slope, [-1] + [1] * (node.rank(0) - 2))
    return _in_wide(node, lambda x, dtype: _leaky(x, slope, dtype))


def _softmax(node: Node, build: Callable[..., Any]) -> Any:
    """Softmax along one axis; before version 13 along all axes from `axis` on, taken as one."""
    shape = node.shape(0)
    rank = len(shape)
    axis = node.axis(-1 if node.opset >= 13 else 1, rank)
    if node.opset >= 13 or axis == rank - 1:
        return _in_wide(node, lambda x, _: build(x, axis))
    flat = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    return _in_wide(node, lambda x, _: relax.op.reshape(build(relax.op.reshape(x, flat), 1), shape))


@converter("Softmax", since=1)
def softmax(node: Node) -> Any:
    """Exponentials that add up to 1."""
    return _softmax(node, relax.op.nn.softmax)


def log_softmax_of(node: Node, x: Any, axis: int) -> Any:
    """The logarithm of softmax along any axis; Relax's own operator takes the last one only."""
    shifted = node.emit(relax.op.subtract(x, relax.op.max(x, axis, keepdims=True)))
    total = relax.op.sum(relax.op.exp(shifted), axis, keepdims=True)
    return relax.op.subtract(shifted, relax.op.log(total))


@converter("LogSoftmax", since=1)
def log_softmax(node: Node) -> Any:
    """The logarithm of softmax."""
    return _softmax(node, lambda x, axis: log_softmax_of(node, x, axis))


@converter("Dropout", since=1)
def dropout(node: Node) -> Any:
    """The identity: networks are compiled for inference. The mask is all true."""
    mask_type = "bool" if node.opset >= 10 else node.dtype(0)
    if node.opset >= 12 and node.has(2):
        training = node.require_constant(2, "training_mode")
        ratio = node.require_constant(1, "ratio") if node.has(1) else np.float32(0.5)
        if bool(training.item()) and float(np.asarray(ratio).item()) != 0.0:
            node.refuse("training mode draws random numbers, which a compiled module does not do")
    if node.opset < 7 and not node.attribute("is_test", 0):
        node.refuse("training mode draws random numbers, which a compiled module does not do")
    if not node.wanted(1):
        return node.input(0)
    return [node.input(0), relax.op.full(node.shape(0), scalar(1, mask_type), mask_type)]
