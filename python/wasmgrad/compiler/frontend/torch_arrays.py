"""NumPy arrays as tensors and back. bfloat16, which torch and NumPy do not share, passes by its bits."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["from_tensor", "to_tensor"]


def to_tensor(array: NDArray[Any]) -> torch.Tensor:
    """A copy, contiguous."""
    own = np.array(array, order="C")
    if own.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)


def from_tensor(tensor: torch.Tensor) -> NDArray[Any]:
    """A copy, contiguous."""
    own = tensor.detach().contiguous()
    if own.dtype == torch.bfloat16:
        return own.view(torch.int16).numpy().copy().view(ml_dtypes.bfloat16)
    return np.array(own.numpy())
