"""The real MNIST arrays that every benchmark trains on."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_DATA = Path(__file__).resolve().parent.parent / "data" / "mnist"


def _idx(name: str, header: int) -> NDArray[np.uint8]:
    raw = gzip.decompress((_DATA / f"{name}.gz").read_bytes())
    return np.frombuffer(raw, np.uint8, offset=header).copy()


def images(split: str = "train") -> NDArray[np.uint8]:
    """[N, 1, 28, 28] u8; `split` is "train" or "t10k"."""
    return _idx(f"{split}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)


def labels(split: str = "train") -> NDArray[np.int64]:
    """[N] class indices."""
    return _idx(f"{split}-labels-idx1-ubyte", 8).astype(np.int64)
