"""What comparisons, selections and conversions of floats give in generated kernels, where TVM's own code differs.

TVM computes as if there were no NaN: its maximum of x and NaN depends on their order, x != NaN is false, x == x true,
and x - x is 0. Its conversions of what no integer holds are undefined: each engine would give something else. `strict`
is the last step before code generation, so that no simplification can undo it. This module knows no operator.
"""

from __future__ import annotations

import math
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx

__all__ = ["explicit_casts", "keep_identities", "strict"]

_COMPARISONS = (tirx.EQ, tirx.NE, tirx.LT, tirx.LE, tirx.GT, tirx.GE)
_BITS = {"bfloat16": "uint16", "float16": "uint16", "float32": "uint32", "float64": "uint64"}


def keep_identities(function: Any) -> Any:
    """A kernel (PrimFunc) that computes x - x and x == x, and other comparisons, before TVM's passes see them."""
    return tvm_ffi.structural_map(function, ((tirx.Sub, *_COMPARISONS), _of_another))


def _of_another(expression: Any) -> Any:
    """With the second operand through its bits when it is the same as the first: only LLVM sees that it still is."""
    a, b = expression.a, expression.b
    bits = _BITS.get(_dtype(a))
    if bits is None or not tvm_ffi.structural_equal(a, b):
        return expression
    return type(expression)(a, tirx.reinterpret(_dtype(b), tirx.reinterpret(bits, b)))


def strict(module: Any) -> Any:
    """The kernels with NaN as IEEE 754-2019 has it in `maximum` and `minimum`, and conversions that saturate.

    A maximum or minimum with NaN is NaN; NaN differs from everything. A float becomes the nearest integer toward zero
    that the type has, NaN becomes 0.
    """
    return _mapped(
        module, ((tirx.Max, _maximum), (tirx.Min, _minimum), (tirx.NE, _differs), (tirx.Cast, _saturating))
    )


def explicit_casts(module: Any, target: Any) -> Any:
    """Conversions of 16-bit floats written out, while the kernels still compute one element at a time.

    NaN stays NaN when it becomes a bfloat16: TVM rounds by an addition, which may carry into the sign. For WebAssembly,
    float16 is widened in integer arithmetic, also to be compared: LLVM 22 fails to compile its own conversion there.
    Widening to 64 bits at once gives code that does not validate, and comparisons may hang it.
    """
    if "wasm32" not in str(target):
        return _mapped(module, ((tirx.Cast, _to_bfloat16),))
    return _mapped(
        module, ((tirx.Cast, lambda cast: _from_float16(_to_bfloat16(cast))), (_COMPARISONS, _of_float32))
    )


def _mapped(module: Any, callbacks: tuple[Any, ...]) -> Any:
    functions = {
        variable: function.with_body(tvm_ffi.structural_map(function.body, callbacks))
        for variable, function in module.functions.items()
    }
    return tvm.IRModule(functions)


def _maximum(expression: Any) -> Any:
    return _extreme(expression, tirx.LT)


def _minimum(expression: Any) -> Any:
    return _extreme(expression, tirx.GT)


def _extreme(expression: Any, loses: Any) -> Any:
    """One comparison and one selection beside a number, which is one instruction; two of both for two variables."""
    a, b = expression.a, expression.b
    if not _is_float(a):
        return expression
    if _number(a) is not None:
        a, b = b, a
    best = tirx.Select(loses(a, b), b, a)  # a when it is NaN
    number = _number(b)
    if number is not None and not math.isnan(number):
        return best
    return tirx.Select(tirx.EQ(b, b), best, b)


def _differs(expression: Any) -> Any:
    return tirx.Not(tirx.EQ(expression.a, expression.b)) if _is_float(expression.a) else expression


def _saturating(expression: Any) -> Any:
    value, target = expression.value, _dtype(expression)
    signed, unsigned = target.startswith("int"), target.startswith("uint")
    if not _is_float(value) or not (signed or unsigned):
        return expression
    intrinsic = "llvm.fptosi.sat" if signed else "llvm.fptoui.sat"
    return tirx.call_llvm_pure_intrin(target, intrinsic, value)


def _to_bfloat16(expression: Any) -> Any:
    value = expression.value
    if _dtype(expression) != "bfloat16" or not _is_float(value):
        return expression
    nan = tirx.const(math.nan, _dtype(value))
    return tirx.Cast("bfloat16", tirx.Select(tirx.isnan(value), nan, value))


def _of_float32(comparison: Any) -> Any:
    """A comparison of float16 as one of the widened numbers."""
    if _dtype(comparison.a) != "float16":
        return comparison
    return type(comparison)(
        *(_from_float16(tirx.Cast("float32", side)) for side in (comparison.a, comparison.b))
    )


def _from_float16(expression: Any) -> Any:
    if _dtype(expression.value) != "float16":
        return expression
    bits = tirx.reinterpret("uint16", expression.value).astype("uint32")
    magnitude = (bits & tirx.const(0x7FFF, "uint32")) << tirx.const(13, "uint32")
    sign = (bits & tirx.const(0x8000, "uint32")) << tirx.const(16, "uint32")
    scaled = tirx.reinterpret("float32", magnitude) * tirx.const(2.0**112, "float32")
    special = magnitude >= tirx.const(0x0F800000, "uint32")
    magnitude = tirx.Select(
        special, magnitude | tirx.const(0x7F800000, "uint32"), tirx.reinterpret("uint32", scaled)
    )
    return tirx.reinterpret("float32", magnitude | sign).astype(_dtype(expression))


def _dtype(expression: Any) -> str:
    return str(expression.ty.dtype)


def _is_float(expression: Any) -> bool:
    return _dtype(expression).startswith("float")


def _number(expression: Any) -> float | None:
    """The value of a number, or of a vector of it."""
    if isinstance(expression, tirx.Broadcast):
        expression = expression.value
    return float(expression.value) if isinstance(expression, tirx.FloatImm) else None
