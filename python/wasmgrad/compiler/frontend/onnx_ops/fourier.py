"""Discrete Fourier transforms: DFT and STFT.

A transform of static length is a matrix product with a constant matrix. It is computed in float64, because its sums
cancel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from ._nn import cast, wide, widened
from ._registry import Node, converter, literal

_MAX_LENGTH = 2048  # the matrix has up to 4 · length² elements


def _matrix(size: int, parts: int, length: int, inverse: bool, onesided: bool) -> NDArray[np.float64]:
    """The transform of every unit signal: [size · parts, outputs, parts of the output].

    A signal has `size` elements of one (real) or two (real, imaginary) `parts`; it is cut or filled up to `length`.
    """
    unit = np.eye(size)
    basis = unit if parts == 1 else np.stack([unit, 1j * unit], axis=1).reshape(2 * size, size)
    if inverse and onesided:
        return np.fft.irfft(basis, n=length, axis=1)[..., None]
    result = np.fft.ifft(basis, n=length, axis=1) if inverse else np.fft.fft(basis, n=length, axis=1)
    if onesided:
        result = result[:, : length // 2 + 1]
    return np.stack([result.real, result.imag], axis=-1)


def _transformed(
    node: Node, data: Any, shape: tuple[int, ...], axis: int, length: int, inverse: bool, onesided: bool
) -> Any:
    """Data [..., parts] of that `shape`, transformed along one axis."""
    rank, parts = len(shape), shape[-1]
    if parts not in {1, 2} or axis == rank - 1 or not 1 <= length <= _MAX_LENGTH:
        node.refuse(f"a transform of length {length} along axis {axis} of shape {shape} is not supported")
    matrix = _matrix(shape[axis], parts, length, inverse, onesided)
    others = [a for a in range(rank - 1) if a != axis]
    moved = relax.op.permute_dims(data, [*others, axis, rank - 1])
    rows = relax.op.reshape(moved, [math.prod(shape[a] for a in others), shape[axis] * parts])
    flat = literal(matrix.reshape(matrix.shape[0], -1), "float64")
    result = relax.op.reshape(relax.op.matmul(rows, flat), [*(shape[a] for a in others), *matrix.shape[1:]])
    back = [*others, axis, rank - 1]
    return relax.op.permute_dims(result, [back.index(a) for a in range(rank)])


def _exact(node: Node, index: int) -> Any:
    """An input in float64."""
    return cast(widened(node, index), wide(node.dtype(index)), "float64")


def _rounded(node: Node, value: Any) -> Any:
    """A float64 result in input 0's type."""
    dtype = node.dtype(0)
    return cast(cast(value, "float64", wide(dtype)), wide(dtype), dtype)


def _length(node: Node, index: int, default: int) -> int:
    return int(node.require_constant(index, "the transform's length").item()) if node.has(index) else default


def _dft(node: Node, axis: int) -> Any:
    shape = node.shape(0)
    inverse, onesided = bool(node.attribute("inverse", 0)), bool(node.attribute("onesided", 0))
    default = 2 * (shape[axis] - 1) if inverse and onesided else shape[axis]
    result = _transformed(node, _exact(node, 0), shape, axis, _length(node, 1, default), inverse, onesided)
    return _rounded(node, result)


@converter("DFT", since=17)
def dft_17(node: Node) -> Any:
    """A transform along the axis that an attribute names."""
    return _dft(node, node.axis(1, node.rank(0)))


@converter("DFT", since=20)
def dft(node: Node) -> Any:
    """A transform along the axis that an input names."""
    axis = int(node.require_constant(2, "axis").item()) if node.has(2) else -2
    return _dft(node, node.normalize_axis(axis, node.rank(0)))


@converter("STFT", since=17)
def stft(node: Node) -> Any:
    """The transforms of windowed frames of a signal [batch, length, parts]: [batch, frames, outputs, 2]."""
    batch, samples, parts = node.shape(0)
    step = int(node.require_constant(1, "frame_step").item())
    length = _length(node, 3, node.shape(2)[0] if node.has(2) else samples)
    frames = (samples - length) // step + 1 if step > 0 else 0
    if frames < 1 or (node.has(2) and node.shape(2) != (length,)):
        node.refuse(f"frames of {length} every {step} do not fit {samples} samples and the window")
    signal = _exact(node, 0)
    places = np.arange(frames)[:, None] * step + np.arange(length)
    shape = (batch, frames, length, parts)
    data = relax.op.reshape(relax.op.take(signal, literal(places.reshape(-1), "int64"), 1), shape)
    if node.has(2):
        data = relax.op.multiply(data, relax.op.reshape(_exact(node, 2), [1, 1, length, 1]))
    onesided = bool(node.attribute("onesided", 1))
    return _rounded(node, _transformed(node, data, shape, 2, length, False, onesided))
