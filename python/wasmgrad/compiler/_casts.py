"""Changes of a constant's element type while compiling, with what the compiled conversions give at run time.

NumPy's own are undefined for floats that an integer type cannot hold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["converted", "is_float", "is_special"]


def is_float(array: NDArray[Any]) -> bool:
    """Whether its type is one of floats, also one that NumPy lacks."""
    return array.dtype.kind == "f" or "float" in str(array.dtype)


def is_special(array: NDArray[Any]) -> bool:
    """Whether it holds NaN or an infinity."""
    if not is_float(array):
        return False
    with np.errstate(all="ignore"):
        return not bool(np.isfinite(array.astype(np.float64)).all())


def converted(array: NDArray[Any], target: np.dtype[Any]) -> NDArray[Any]:
    """`array` in another type: floats become the nearest integer toward zero that the type has, NaN becomes 0."""
    with np.errstate(all="ignore"):
        if not is_float(array) or target.kind not in "iu":
            return array.astype(target)
        wide, limits = array.astype(np.float64), np.iinfo(target)
        above, below = wide >= float(limits.max), wide <= float(limits.min)
        inside = np.where(above | below | np.isnan(wide), 0.0, wide).astype(target)
        return np.where(above, limits.max, np.where(below, limits.min, inside)).astype(target)
