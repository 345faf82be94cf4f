"""What importers and passes agree on about the Relax program between them. It knows neither."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax, te, tirx

from .._errors import Unsupported

__all__ = ["RECURRENT_STEP", "array_of", "literal", "neutral", "numpy_dtype", "reducer"]

RECURRENT_STEP = "wasmgrad.recurrent_step"
"""The attribute of importers' kernels that compute what a kernel of a recurrent layer's step does: its name.

They take the same operands and, after `inputs`, the step, a constant; those of an LSTM also take the hidden state,
before `memory`."""

# TVM counts the parameters of a reducer, and those of its own functions are too many.
_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "max": lambda a, b: tirx.max(a, b),  # noqa: PLW0108
    "min": lambda a, b: tirx.min(a, b),  # noqa: PLW0108
}


# Types of less than 16 bits that NumPy lacks: constants may be stored in them, nothing computes with them.
_STORED_ONLY = ("float8_", "float6_", "float4_", "int4", "uint4", "int2", "uint2")


def neutral(kind: str, dtype: str) -> Any:
    """What every other value of the type wins against."""
    if "float" in dtype:
        return tirx.const(-math.inf if kind == "max" else math.inf, dtype)
    return tirx.min_value(dtype) if kind == "max" else tirx.max_value(dtype)


def reducer(kind: str) -> Any:
    """`te.max` or `te.min` (kind "max" or "min"), also of infinities."""
    return te.comm_reducer(_COMBINE[kind], lambda dtype: neutral(kind, dtype), name=kind)


def literal(value: Any, dtype: str | None = None) -> Any:
    """A Relax constant of exactly the array's dtype (`relax.const` would turn int64 into int32)."""
    array = np.asarray(value) if dtype is None else np.asarray(value).astype(numpy_dtype(dtype))
    if array.dtype.kind in "OSU":
        raise Unsupported("tensors of strings are not supported")
    if str(array.dtype).startswith(_STORED_ONLY):
        raise Unsupported(f"tensors of {array.dtype} are not supported")
    return relax.const(tvm.runtime.tensor(np.ascontiguousarray(array).reshape(array.shape)))


def array_of(tensor: Any) -> NDArray[Any]:
    """What a TVM tensor holds, not copied where NumPy has its type: to be read only."""
    if str(tensor.dtype) in ("bool", "bfloat16"):
        return np.asarray(tensor.numpy())
    array: NDArray[Any] = np.from_dlpack(tensor)
    array.flags.writeable = False
    return array


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The dtype of a name, also of the kinds that NumPy lacks."""
    if dtype == "bfloat16" or dtype.startswith(_STORED_ONLY):
        import ml_dtypes

        extension: np.dtype[Any] = np.dtype(getattr(ml_dtypes, dtype))
        return extension
    return np.dtype(dtype)
