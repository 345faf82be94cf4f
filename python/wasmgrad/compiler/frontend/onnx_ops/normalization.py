"""Normalizations: Batch, Layer, RMS, Instance, Group, Lp, LRN and mean-variance.

Sixteen-bit floats are normalized in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax, te, tirx

from ._nn import cast, scalar, wide, widened
from ._registry import Node, converter, literal
from .convolution import folded_convolution, per_channel


def _centered(node: Node, data: Any, axes: Sequence[int]) -> tuple[Any, Any, Any]:
    """Data minus its mean over `axes`, that mean, and the population variance, with the axes kept."""
    mean = node.emit(relax.op.mean(data, list(axes), keepdims=True))
    centered = node.emit(relax.op.subtract(data, mean))
    variance = node.emit(relax.op.mean(relax.op.square(centered), list(axes), keepdims=True))
    return centered, mean, variance


def _inverse_deviation(node: Node, variance: Any, epsilon: float, dtype: str) -> Any:
    deviation = relax.op.sqrt(relax.op.add(variance, scalar(epsilon, dtype)))
    return node.emit(relax.op.divide(scalar(1, dtype), deviation))


def _epsilon(node: Node) -> float:
    return float(node.attribute("epsilon", 1e-5))


@converter("BatchNormalization", since=7)
def batch_normalization(node: Node) -> Any:
    """Scale and shift per channel; in training mode by the batch's own statistics."""
    if node.attribute("spatial", 1) == 0:
        node.refuse("spatial 0 is not supported")
    if node.attribute("training_mode", 0):
        return _batch_normalization_training(node)
    if any(node.wanted(output) for output in range(1, 5)):
        node.refuse("training mode before operator set 14 is not supported")
    rank, dtype = max(node.rank(0), 2), node.dtype(0)
    statistics = [node.constant(i) for i in range(1, 5)]
    if all(value is not None for value in statistics):
        factor, offset = _scale_and_shift(
            [np.asarray(value, np.float64) for value in statistics], _epsilon(node)
        )
        folded = folded_convolution(node, factor, offset)
        if folded is not None:
            return folded
        shape = [1, -1] + [1] * (rank - 2)
        scaled = relax.op.multiply(widened(node, 0), literal(factor.reshape(shape), wide(dtype)))
        return cast(relax.op.add(scaled, literal(offset.reshape(shape), wide(dtype))), wide(dtype), dtype)
    scale, bias, mean, variance = (
        per_channel(cast(node.input(i), node.dtype(i), wide(dtype)), rank) for i in range(1, 5)
    )
    return _normalized(node, relax.op.subtract(widened(node, 0), mean), variance, scale, bias)


def _scale_and_shift(
    statistics: Sequence[NDArray[np.float64]], epsilon: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale, bias, mean and variance as one factor and one offset per channel."""
    scale, bias, mean, variance = statistics
    factor = scale / np.sqrt(variance + epsilon)
    return factor, bias - mean * factor


def _normalized(node: Node, centered: Any, variance: Any, scale: Any, bias: Any) -> Any:
    """The centered input / sqrt(variance + epsilon) · scale + bias, in input 0's type."""
    dtype = node.dtype(0)
    factor = relax.op.multiply(_inverse_deviation(node, variance, _epsilon(node), wide(dtype)), scale)
    return cast(relax.op.add(relax.op.multiply(centered, factor), bias), wide(dtype), dtype)


def _batch_normalization_training(node: Node) -> Any:
    rank, dtype = node.rank(0), node.dtype(0)
    work, momentum = wide(dtype), float(node.attribute("momentum", 0.9))
    axes = [axis for axis in range(rank) if axis != 1]
    centered, mean, variance = _centered(node, widened(node, 0), axes)
    scale, bias = (per_channel(cast(node.input(i), node.dtype(i), work), rank) for i in (1, 2))
    results = [_normalized(node, centered, variance, scale, bias)]
    for i, batch in ((3, mean), (4, variance)):
        old = relax.op.multiply(cast(node.input(i), node.dtype(i), work), scalar(momentum, work))
        new = relax.op.multiply(relax.op.reshape(batch, [-1]), scalar(1 - momentum, work))
        results.append(cast(relax.op.add(old, new), work, node.dtype(i)))
    return results


@converter("LayerNormalization")  # since 17; onnxruntime writes it into older models
def layer_normalization(node: Node) -> Any:
    """Normalizes over all axes from `axis` on; may also give the mean and the inverse deviation."""
    shape, dtype = node.shape(0), node.dtype(0)
    axis, work = node.axis(-1, len(shape)), wide(dtype)
    axes = list(range(axis, len(shape)))
    if int(node.attribute("stash_type", 1)) != 1 or dtype == "float64":
        node.refuse("only float32 statistics are supported")
    data = widened(node, 0)
    scale = cast(node.input(1), node.dtype(1), work)
    bias = cast(node.input(2), node.dtype(2), work) if node.has(2) else None
    inner = shape[axis:]
    plain = node.shape(1) == inner and (bias is None or node.shape(2) == inner)
    if plain and not node.wanted(1) and not node.wanted(2):
        shift = relax.op.zeros(inner, work) if bias is None else bias
        return cast(relax.op.nn.layer_norm(data, scale, shift, axes, _epsilon(node)), work, dtype)
    centered, mean, variance = _centered(node, data, axes)
    inverse = _inverse_deviation(node, variance, _epsilon(node), work)
    result = relax.op.multiply(relax.op.multiply(centered, inverse), scale)
    if bias is not None:
        result = relax.op.add(result, bias)
    return [cast(result, work, dtype), mean, inverse]


@converter("RMSNormalization", since=23)
def rms_normalization(node: Node) -> Any:
    """Divides by the root of the mean square over all axes from `axis` on."""
    shape, dtype = node.shape(0), node.dtype(0)
    axis, work = node.axis(-1, len(shape)), wide(dtype)
    axes = list(range(axis, len(shape)))
    if int(node.attribute("stash_type", 1)) != 1:
        node.refuse("only float32 statistics are supported")
    data, scale = widened(node, 0), cast(node.input(1), node.dtype(1), work)
    mean = node.emit(relax.op.mean(relax.op.square(data), axes, keepdims=True))
    inverse = _inverse_deviation(node, mean, _epsilon(node), work)
    result = relax.op.multiply(relax.op.multiply(data, inverse), scale)
    return cast(result, work, node.dtype(1))


@converter("InstanceNormalization", since=6)
def instance_normalization(node: Node) -> Any:
    """Normalizes every channel of every sample over its spatial axes."""
    rank, dtype = node.rank(0), node.dtype(0)
    centered, _, variance = _centered(node, widened(node, 0), range(2, rank))
    scale, bias = (per_channel(cast(node.input(i), node.dtype(i), wide(dtype)), rank) for i in (1, 2))
    return _normalized(node, centered, variance, scale, bias)


@converter("GroupNormalization", since=18)
def group_normalization(node: Node) -> Any:
    """Normalizes groups of channels; scale and bias are per group before operator set 21, then per channel."""
    shape, dtype = node.shape(0), node.dtype(0)
    work, groups = wide(dtype), int(node.attribute("num_groups"))
    if groups < 1 or shape[1] % groups:
        node.refuse(f"{shape[1]} channels do not divide into {groups} groups")
    rows = [shape[0], groups, math.prod(shape[1:]) // groups]
    centered, _, variance = _centered(node, relax.op.reshape(widened(node, 0), rows), [2])
    inverse = _inverse_deviation(node, variance, _epsilon(node), work)
    result = relax.op.reshape(relax.op.multiply(centered, inverse), shape)
    scale, bias = (cast(node.input(i), node.dtype(i), work) for i in (1, 2))
    if node.opset < 21:
        scale, bias = (relax.op.repeat(value, shape[1] // groups, 0) for value in (scale, bias))
    scale, bias = (per_channel(value, len(shape)) for value in (scale, bias))
    return cast(relax.op.add(relax.op.multiply(result, scale), bias), work, dtype)


@converter("MeanVarianceNormalization", since=9)
def mean_variance_normalization(node: Node) -> Any:
    """(x - mean) / deviation over the given axes."""
    rank, dtype = node.rank(0), node.dtype(0)
    axes = [node.normalize_axis(int(axis), rank) for axis in node.attribute("axes", None) or [0, 2, 3]]
    centered, _, variance = _centered(node, widened(node, 0), axes)
    deviation = relax.op.add(relax.op.sqrt(variance), scalar(1e-9, wide(dtype)))
    return cast(relax.op.divide(centered, deviation), wide(dtype), dtype)


@converter("LpNormalization", since=1, fold=False)
def lp_normalization(node: Node) -> Any:
    """Divides by the 1-norm or 2-norm along one axis; zero where that norm is zero."""
    dtype, order = node.dtype(0), int(node.attribute("p", 2))
    axis, data = node.axis(-1, node.rank(0)), widened(node, 0)
    if order not in {1, 2}:
        node.refuse(f"p must be 1 or 2, not {order}")
    powers = relax.op.abs(data) if order == 1 else relax.op.square(data)
    norm = relax.op.sum(powers, axis, keepdims=True)
    norm = node.emit(norm if order == 1 else relax.op.sqrt(norm))
    zero = scalar(0, wide(dtype))
    result = relax.op.where(relax.op.equal(norm, zero), zero, relax.op.divide(data, norm))
    return cast(result, wide(dtype), dtype)


@converter("LRN", since=1, fold=False)
def lrn(node: Node) -> Any:
    """Divides by a power of the sum of squares of neighbouring channels."""
    shape, dtype = node.shape(0), node.dtype(0)
    work, size = wide(dtype), int(node.attribute("size"))
    alpha, beta = float(node.attribute("alpha", 1e-4)), float(node.attribute("beta", 0.75))
    bias, before = float(node.attribute("bias", 1.0)), (size - 1) // 2

    def compute(data: Any) -> Any:
        tap = te.reduce_axis((0, size), "neighbour")

        def element(n: Any, c: Any, *place: Any) -> Any:
            channel = c + tap - before
            inside = tirx.all(channel >= 0, channel < shape[1])
            value = data[(n, channel, *place)]
            return te.sum(tirx.if_then_else(inside, value * value, tirx.const(0, work)), axis=tap)

        return te.compute(shape, element, name="neighbour_squares")

    data = widened(node, 0)
    squares = relax.op.multiply(node.emit_te(compute, data), scalar(alpha / size, work))
    base = node.emit(relax.op.add(squares, scalar(bias, work)))
    if beta == 0.75:  # that of all networks that have it: roots are vector instructions, powers are not
        root = node.emit(relax.op.sqrt(base))
        power = relax.op.multiply(root, relax.op.sqrt(root))
    else:
        power = relax.op.power(base, scalar(beta, work))
    return cast(relax.op.divide(data, power), work, dtype)
