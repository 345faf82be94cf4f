"""Winograd's minimal filtering F(m x m, 3 x 3): when it pays.

Points 0, +-1, (+-2,) infinity; the matrices stand in cpp/graph_runtime/kernels/{conv2d_winograd,expand}.cpp.
"""

from __future__ import annotations

from .base import round_up

__all__ = ["choose_tile", "tiles_per_pass"]

_PASS_BYTES = 2 * 1024 * 1024  # transformed inputs and outputs of one pass stay in L2
_TRANSFORM_FLOPS = 3  # cost of one transformed value, in multiply-adds
_MIN_CHANNELS = 16
_WEIGHT_BYTES = 32 * 1024 * 1024  # above, fetching 36 points takes longer than multiplying them


def choose_tile(pixels: tuple[int, int, int], in_c: int, out_c: int) -> int:
    """Return the output tile m (2 or 4) that makes a 3x3 convolution cheapest, 0 when the plain one is.

    `pixels` is (batch, out_h, out_w).
    """
    if min(in_c, out_c) < _MIN_CHANNELS:
        return 0
    batch, height, width = pixels
    costs = {0: float(9 * round_up(batch * height * width, 4) * in_c * out_c)}
    for tile in (2, 4):
        points = (tile + 2) ** 2
        if points * in_c * out_c * 4 > _WEIGHT_BYTES:
            continue
        tiles = batch * -(-height // tile) * -(-width // tile)
        multiply = round_up(tiles, 4) * in_c * out_c
        costs[tile] = points * (multiply + tiles * _TRANSFORM_FLOPS * (in_c + out_c))
    return min(costs, key=lambda tile: costs[tile])


def tiles_per_pass(tile: int, tiles: int, in_c: int, out_c: int) -> int:
    """Return how many tiles are transformed, multiplied and transformed back at a time: a multiple of 4."""
    fitting = _PASS_BYTES // ((tile + 2) ** 2 * (in_c + out_c) * 4) // 4 * 4
    return min(round_up(tiles, 4), max(4, fitting))
