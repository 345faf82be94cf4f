"""Keeps the numbers of a torch model what they are on the way to ONNX.

torch keeps a number in Python's 64 bits until a kernel uses it: with the precision of the tensor beside it, and with
that of float32 beside float16 and bfloat16. ONNX has constants of a tensor's own type, and attributes of float32. So
three things would alter a model: a number that float16 cannot hold, an attribute beside a float64 tensor, and the
exporter's constants, which it rounds to float32 before it casts them.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.onnx._internal.exporter import _building

__all__ = ["DECOMPOSITIONS", "exact_constants"]

_aten = torch.ops.aten
_exporter: Any = _building
_NARROW = (torch.float16, torch.bfloat16)


@contextlib.contextmanager
def exact_constants() -> Iterator[None]:
    """Within it, torch's exporter makes float64 constants of numbers whose type only the operator's result fixes.

    These are what it casts, and exponents: ONNX calls the type of either T1.
    """
    original = _exporter._determine_input_dtype

    def determine(parameter: Any, argument: Any, bound: Any) -> Any:
        constraint = parameter.type_constraint
        if isinstance(argument, float) and constraint.name == "T1" and constraint not in bound:
            return _exporter.ir.DataType.DOUBLE
        return original(parameter, argument, bound)

    _exporter._determine_input_dtype = determine
    try:
        yield
    finally:
        _exporter._determine_input_dtype = original


def _wide(operator: Any, tensor: Any, other: Any, **scale: Any) -> Any:
    """Arithmetic of a narrow tensor with numbers: in float32, as torch's kernels do it."""
    if not isinstance(tensor, Tensor) or torch.result_type(tensor, other) not in _NARROW:
        return NotImplemented
    kind = torch.result_type(tensor, other)
    if not isinstance(other, Tensor):
        return operator(tensor.float(), other, **scale).to(kind)
    if other.dtype == kind and not scale:
        return NotImplemented
    return operator(tensor.float(), other.float(), **scale).to(kind)


def _when_double(decompose: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The operator in smaller ones beside float64 tensors, so that none of its numbers becomes an attribute."""
    if any(isinstance(value, Tensor) and value.dtype == torch.float64 for value in args):
        return decompose(*args, **kwargs)
    return NotImplemented


def _scaled_sum(tensor: Any, other: Any, *, alpha: Any = 1) -> Any:
    if alpha == 1:
        return _wide(_aten.add.Tensor, tensor, other)
    result = _wide(_aten.add.Tensor, tensor, other, alpha=alpha)
    return tensor + other * alpha if result is NotImplemented else result


def _scaled_difference(tensor: Any, other: Any, *, alpha: Any = 1) -> Any:
    if alpha == 1:
        return _wide(_aten.sub.Tensor, tensor, other)
    result = _wide(_aten.sub.Tensor, tensor, other, alpha=alpha)
    return tensor - other * alpha if result is NotImplemented else result


def _reversed_difference(tensor: Tensor, other: Any, alpha: Any = 1) -> Any:
    kind = torch.result_type(tensor, other)
    wide = torch.float32 if kind in _NARROW else kind
    return (_number(other, kind).to(wide) - tensor.to(wide) * alpha).to(kind)


def _with_tensor(operator: Any, tensor: Tensor, number: Any) -> Any:
    """The overload whose second operand is a tensor."""
    kind = torch.result_type(tensor, number)
    return operator(tensor.to(kind), _number(number, kind))


def _power_of_number(number: Any, exponent: Tensor) -> Any:
    kind = torch.result_type(exponent, number)
    return _aten.pow.Tensor_Tensor(_number(number, kind), exponent.to(kind))


def _number(value: Any, kind: torch.dtype) -> Tensor:
    return torch.full((), value, dtype=kind)


def _range(start: Any, end: Any = None, step: Any = 1, *, dtype: torch.dtype | None = None, **_: Any) -> Any:
    """Numbers counted in float64, as torch does, where ONNX counts in the type of the result."""
    if end is None:
        start, end = 0, start
    kind = dtype or (torch.float32 if any(isinstance(each, float) for each in (start, end, step)) else None)
    if kind is None or not kind.is_floating_point:
        return NotImplemented
    count = math.ceil((end - start) / step)
    return (_aten.arange.default(count, dtype=torch.int64).double() * float(step) + float(start)).to(kind)


def _copy(target: Tensor, source: Tensor, _non_blocking: bool = False) -> Tensor:
    """What a write in place leaves: the source as wide as its target, which the exporter would not make it."""
    return source.to(target.dtype).expand(target.shape).clone()


def _logarithm(base: int, x: Tensor) -> Tensor:
    y = x.float() if x.dtype in _NARROW else x if x.is_floating_point() else x.to(torch.get_default_dtype())
    return (torch.log(y) / math.log(base)).to(x.dtype if x.is_floating_point() else y.dtype)


def _log1p(x: Tensor) -> Any:
    """log(1 + x) that keeps what a sum with 1 would drop of a small x."""
    if not x.is_floating_point():
        return NotImplemented
    y = x.float() if x.dtype in _NARROW else x
    whole = y + 1
    rest = whole - 1
    precise = torch.log(whole) * (y / torch.where(rest == 0, 1.0, rest).to(y.dtype))
    return torch.where(rest == 0, y, torch.where(torch.isinf(whole), whole, precise)).to(x.dtype)


def _expm1(x: Tensor) -> Any:
    """exp(x) - 1 that keeps what the difference would drop of a small x."""
    if not x.is_floating_point():
        return NotImplemented
    y = x.float() if x.dtype in _NARROW else x
    power = torch.exp(y)
    exponent = torch.log(power)  # of what exp made of y, so that its rounding cancels
    precise = (power - 1) * (y / torch.where(exponent == 0, 1.0, exponent).to(y.dtype))
    small = torch.where(exponent == 0, y, precise)
    return torch.where((y.abs() < 1) | torch.isnan(y), small, power - 1).to(x.dtype)


def _selu(x: Tensor) -> Tensor:
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return torch.where(x > 0, x * scale, torch.expm1(x) * (alpha * scale))


def _layer_norm(
    x: Tensor,
    shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    _cudnn: bool = True,
) -> Tensor:
    axes = list(range(x.dim() - len(shape), x.dim()))
    centred = x - x.mean(axes, keepdim=True)
    normal = centred * torch.rsqrt((centred * centred).mean(axes, keepdim=True) + eps)
    return _affine(normal, weight, bias)


def _group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    _cudnn: bool = True,
) -> Tensor:
    grouped = x.reshape(x.size(0), groups, -1)
    normal = _layer_norm(grouped, [grouped.size(2)], eps=eps).reshape(x.shape)
    shape = [-1, *[1] * (x.dim() - 2)]
    return _affine(normal, *(each if each is None else each.reshape(shape) for each in (weight, bias)))


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    scaled = x if weight is None else x * weight
    return scaled if bias is None else scaled + bias


def _takes_numbers(operator: Any) -> bool:
    return (
        isinstance(operator, torch._ops.OpOverload)
        and operator.namespace == "aten"
        and any(
            str(argument.type) in ("float", "number", "Optional[float]", "Optional[number]")
            for argument in operator._schema.arguments
        )
    )


DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    **{
        operator: functools.partial(_when_double, decompose)
        for operator, decompose in torch._decomp.decomposition_table.items()
        if _takes_numbers(operator)
    },
    _aten.add.Tensor: _scaled_sum,
    _aten.add.Scalar: _scaled_sum,
    _aten.sub.Tensor: _scaled_difference,
    _aten.sub.Scalar: _scaled_difference,
    _aten.rsub.Scalar: _reversed_difference,
    _aten.mul.Tensor: functools.partial(_wide, _aten.mul.Tensor),
    _aten.mul.Scalar: functools.partial(_wide, _aten.mul.Tensor),
    _aten.div.Tensor: functools.partial(_wide, _aten.div.Tensor),
    _aten.div.Scalar: functools.partial(_wide, _aten.div.Tensor),
    _aten.remainder.Scalar: functools.partial(_with_tensor, _aten.remainder.Tensor),
    _aten.fmod.Scalar: functools.partial(_with_tensor, _aten.fmod.Tensor),
    _aten.pow.Scalar: _power_of_number,
    _aten.arange.default: _range,
    _aten.arange.start: _range,
    _aten.arange.start_step: _range,
    _aten.copy.default: _copy,
    _aten.log1p.default: _log1p,
    _aten.expm1.default: _expm1,
    _aten.log2.default: functools.partial(_logarithm, 2),
    _aten.log10.default: functools.partial(_logarithm, 10),
    _aten.hardsigmoid.default: functools.partial(_when_double, lambda x: torch.clamp(x + 3, 0, 6) / 6),
    _aten.hardswish.default: functools.partial(_when_double, lambda x: x * torch.clamp(x + 3, 0, 6) / 6),
    _aten.selu.default: functools.partial(_when_double, _selu),
    _aten.layer_norm.default: functools.partial(_when_double, _layer_norm),
    _aten.group_norm.default: functools.partial(_when_double, _group_norm),
    _aten._convolution.default: lambda *args: _aten.convolution(*args[:9]),
}
