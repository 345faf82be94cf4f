"""Makes the rounding to bfloat16 explicit in generated kernels.

TVM computes bfloat16 in float32 and drops the conversions between the two, also those that a model asks for: only
what goes through memory is rounded. As integer arithmetic the rounding stays, whatever is fused around it.
"""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import tirx

__all__ = ["keep_rounding"]


def keep_rounding(function: Any) -> Any:
    """A kernel (PrimFunc) that rounds where the given one converts to bfloat16: to the nearest, ties to even."""
    return tvm_ffi.structural_map(function, (tirx.Cast, _rounded))


def _rounded(cast: Any) -> Any:
    if str(cast.ty.dtype) != "bfloat16":
        return cast
    value = cast.value if str(cast.value.ty.dtype) == "float32" else cast.value.astype("float32")
    bits = tirx.reinterpret("uint32", value)
    one, high = tirx.const(1, "uint32"), tirx.const(16, "uint32")
    nearest = (bits + tirx.const(0x7FFF, "uint32") + ((bits >> high) & one)) >> high
    quiet = (bits >> high) | tirx.const(0x40, "uint32")  # a NaN must not round to infinity
    is_nan = (bits & tirx.const(0x7FFFFFFF, "uint32")) > tirx.const(0x7F800000, "uint32")
    return tirx.reinterpret("bfloat16", tirx.Select(is_nan, quiet, nearest).astype("uint16"))
