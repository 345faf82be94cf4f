"""What the kernels built on the matrix multiplication share: packed weights and cache blocking.

The layouts are those of cpp/graph_runtime/kernels/gemm.hpp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .base import Tensor, round_up

__all__ = ["Blocking", "pack_bias", "pack_columns"]

_ROWS = 4  # rows of a register tile
_DEPTH = 256  # a panel of 4 rows, splatted, takes 16 KiB: half of a small L1 cache
_NEAR_WEIGHTS = 256 * 1024  # bytes of weights that stay in L2 while row after row passes
_FAR_PANELS = 16


@dataclass(frozen=True, slots=True)
class Blocking:
    """How many of the `k` products and of the rows one pass takes."""

    depth: int
    rows: int
    lanes: int

    @classmethod
    def choose(cls, rows: int, k: int, n: int, lanes: int) -> Blocking:
        """Blocks for [rows, k] x [k, n]: equal parts of k; many rows where they are short or weights far."""
        depth = min(k, round_up(-(-k // -(-k // _DEPTH)), 4))
        near = depth * n * 4 <= _NEAR_WEIGHTS
        panels = max(1, _DEPTH // depth) * 4 // _splat(lanes) if near else _FAR_PANELS
        return cls(depth, min(round_up(rows, _ROWS), _ROWS * panels), lanes)

    def scratch_bytes(self) -> int:
        """Memory for the packed rows; 128-bit vectors want every value four times."""
        return 4 * self.depth * self.rows * _splat(self.lanes)


def _splat(lanes: int) -> int:
    """How often a value stands in a panel."""
    return 4 if lanes == 4 else 1


def pack_columns(matrix: Tensor, lanes: int) -> Tensor:
    """Pack [..., k, n] to [..., n / (2 lanes), k, 2 lanes], the last columns padded with zeros."""
    *batch, k, n = matrix.shape
    width = 2 * lanes
    padded = np.zeros((*batch, k, round_up(n, width)), np.float32)
    padded[..., :n] = matrix
    return np.ascontiguousarray(padded.reshape(*batch, k, -1, width).swapaxes(-3, -2))


def pack_bias(bias: Tensor | None, groups: int, n: int, lanes: int) -> Tensor:
    """Pad the [groups * n] biases to whole register tiles in each group; no bias is a bias of zeros."""
    packed = np.zeros((groups, round_up(n, 2 * lanes)), np.float32)
    if bias is not None:
        packed[:, :n] = np.asarray(bias, np.float32).reshape(groups, n)
    return packed
