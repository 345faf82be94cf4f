"""Gives operators to our own kernels: finds them in a Relax function, packs their weights, and calls the kernels.

Pictures must be in NHWC. What no kernel fits stays for TVM's generated code.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from .._relax import RECURRENT_STEP
from .bindings import Bindings, constant, is_float32, shape, with_bindings
from .epilogue import Epilogue, follow
from .kernels import (
    AddQuantized,
    Conv2d,
    Conv2dQuantized,
    Gru,
    GruReset,
    GruUpdate,
    Kernel,
    LayerNorm,
    Lstm,
    MatMul,
    MatMulQuantized,
    Pool2d,
    Quantize,
    Softmax,
    Stored,
    Tensor,
    Transpose,
    Unary,
    UnaryFunction,
)
from .match import Computed, Context, Match
from .quantized import before_swap, conv2d_of_bytes, matmul_of_bytes
from .quantizing import addition_of_bytes, extreme, quantization
from .stored import Tables, made_by, weight

__all__ = ["offload"]

_MIN_ELEMENTS = 4  # below, a call costs more than the arithmetic

# Kernels whose matchers look at the types themselves.
_OF_BYTES = (AddQuantized, Conv2dQuantized, MatMulQuantized, Quantize)

_UNARY: dict[str, UnaryFunction] = {
    "relax.exp": "exp",
    "relax.log": "log",
    "relax.erf": "erf",
    "relax.tanh": "tanh",
    "relax.sigmoid": "sigmoid",
    "relax.nn.silu": "swish",
    "relax.nn.gelu": "gelu",
}


def offload(module: Any, lanes: int, batch: int = 0, most: int = 0) -> tuple[Any, list[Kernel]]:
    """Replaces what our kernels compute in `main` by calls of them. lanes: floats of a vector, 1 without SIMD.

    most: for how many samples algorithms are chosen, where the module is for `batch` of them.

    Returns the new module and the kernels that it calls.
    """
    bindings = Bindings(module["main"])
    tables = Tables(bindings)
    matches: dict[int, Match] = {}
    absorbed: set[int] = set()
    for position in range(len(bindings)):
        find = _MATCHERS.get(bindings.operator(position) or "")
        taken = matches.keys() | absorbed
        if find is None or position in taken or _is_empty(bindings, position):
            continue
        match = find(Context(module, bindings, lanes, taken, tables, batch, most), position)
        if match is not None and _has_the_types_of_its_kernel(match, bindings):
            matches[match.last] = match
            absorbed.update(match.absorbed)
    rewritten = []
    for position, binding in enumerate(bindings.bindings):
        if position in matches:
            rewritten += _call(binding.var, matches[position])
        elif position not in absorbed:
            rewritten.append(binding)
    module = with_bindings(module, rewritten)
    return module, [match.kernel for match in matches.values()]


def _is_empty(bindings: Bindings, position: int) -> bool:
    """Whether a tensor without elements is read or made, for which no kernel is needed or fits."""
    tensors = [bindings.variable(position), *bindings.value(position).args]
    return any(isinstance(each.ty, relax.TensorType) and 0 in shape(each) for each in tensors)


def _has_the_types_of_its_kernel(match: Match, bindings: Bindings) -> bool:
    """Whether all that the kernel would read and write has its types, float32 but for bytes: it reads blindly.

    No matcher has to ask: a product of float16 summed in float32, for one, is a match whose result alone fits.
    """
    operands = [
        each for each in match.operands if each is not None and not isinstance(each, Stored | Computed)
    ]
    if isinstance(match.kernel, _OF_BYTES):
        return True
    return all(map(is_float32, [*operands, bindings.variable(match.last)]))


def _call(variable: Any, match: Match) -> list[Any]:
    """Bindings that call the kernel for its results and scratch memory, and take the results."""
    descriptor = relax.const(match.kernel.descriptor())
    operands, making = [], []
    for operand in match.operands:
        if isinstance(operand, Stored):
            bindings, operand = made_by(operand, f"{variable.name}_weights", (operand.kernel.size(),))  # noqa: PLW2901
            making += bindings
        if isinstance(operand, Computed):
            bindings, operand = operand.bound(f"{variable.name}_weights")  # noqa: PLW2901
            making += bindings
        operands.append(descriptor if operand is None else operand)
    scratch = relax.TensorType((match.kernel.scratch_bytes(),), "uint8")
    several = isinstance(variable.ty, relax.TupleType)
    types = [*(variable.ty.fields if several else [variable.ty]), scratch]
    call = relax.op.call_dps_packed(match.kernel.symbol, relax.Tuple([descriptor, *operands]), out_ty=types)
    every = relax.DataflowVar(variable.name, relax.TupleType(types))
    results = [relax.TupleGetItem(every, index) for index in range(len(types) - 1)]
    taken = relax.Tuple(results) if several else results[0]
    return [*making, relax.VarBinding(every, call), relax.VarBinding(variable, taken)]


def _conv2d(context: Context, position: int) -> Match | None:
    bindings = context.bindings
    call = bindings.value(position)
    if not is_float32(call):
        return conv2d_of_bytes(context, position)
    weights, attributes = constant(call.args[1]), call.attrs
    layouts = (attributes.data_layout, attributes.kernel_layout, attributes.out_layout)
    if weights is None and layouts == ("NHWC", "OHWI", "NHWC"):
        return _conv2d_of_computed(context, position)
    if weights is None or layouts != ("NHWC", "OHWI", "NHWC") or not np.isfinite(weights).all():
        return (
            None  # the kernels for pictures may add and subtract weights, or leave out the padding's products
        )
    found = follow(bindings, position, context.taken, may_scale=True)
    kernel = _conv2d_kernel(context, position, found, fixed=True)
    factors = kernel.pack_factors(found.scale)
    values = kernel.pack(weights if factors is not None else weights * found.scale[:, None, None, None])
    stored = weight(values, factors, kernel.arrangement, context.lanes)
    operands = [call.args[0], stored, relax.const(kernel.pack_bias(found.bias)), found.residual]
    return Match(kernel, operands, found.last, found.absorbed)


def _conv2d_kernel(context: Context, position: int, found: Epilogue, *, fixed: bool) -> Conv2d:
    call = context.bindings.value(position)
    attributes = call.attrs
    batch, in_h, in_w, in_c = shape(call.args[0])
    _, kernel_h, kernel_w, _ = shape(call.args[1])
    _, out_h, out_w, out_c = shape(context.bindings.variable(position))
    stride_h, stride_w = _ints(attributes.strides)
    dilation_h, dilation_w = _ints(attributes.dilation)
    pad_top, pad_left, *_ = _ints(attributes.padding)
    return Conv2d(
        batch, in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w, stride_h, stride_w,
        dilation_h, dilation_w, pad_top, pad_left, int(attributes.groups), found.activation,
        found.residual is not None, context.lanes, context.pictures_of_most(batch), fixed,
    )  # fmt: skip


def _conv2d_of_computed(context: Context, position: int) -> Match | None:
    """With weights that a run computes, as a training step does: they are packed in each run.

    Few channels in a group, as of a depthwise convolution, would leave most of each packed column empty.
    """
    bindings = context.bindings
    call = bindings.value(position)
    out_c, kernel_h, kernel_w, in_c = shape(call.args[1])
    if int(call.attrs.groups) != 1:
        return None
    found = follow(bindings, position, context.taken, may_scale=False)
    kernel = _conv2d_kernel(context, position, found, fixed=False)
    depth, width = kernel_h * kernel_w * in_c, 2 * context.lanes
    panels = -(-out_c // width)
    packed = Computed(
        call.args[1],
        (
            lambda x: relax.op.reshape(x, (out_c, depth)),
            lambda x: relax.op.permute_dims(x, [1, 0]),
            lambda x: relax.op.nn.pad(x, [0, 0, 0, panels * width - out_c]),
            lambda x: relax.op.reshape(x, (depth, panels, width)),
            lambda x: relax.op.permute_dims(x, [1, 0, 2]),
        ),
    )
    operands = [call.args[0], packed, relax.const(kernel.pack_bias(found.bias)), found.residual]
    return Match(kernel, operands, found.last, found.absorbed)


def _matmul(context: Context, position: int) -> Match | None:
    bindings = context.bindings
    if not is_float32(bindings.value(position)):
        return matmul_of_bytes(context, position)
    left, right = bindings.value(position).args
    left_shape, right_shape = shape(left), shape(right)
    if len(left_shape) < 2 or len(right_shape) < 2:
        return None
    *leading, rows, depth = left_shape
    batched = len(right_shape) > 2
    if batched and list(right_shape[:-2]) != leading:
        return None
    matrix, transposed = constant(right), False
    if matrix is None:
        right, transposed = before_swap(bindings, right)
    found = follow(bindings, position, context.taken, may_scale=matrix is not None)
    kernel = MatMul(
        rows, depth, right_shape[-1], batch=prod(leading), activation=found.activation, lanes=context.lanes,
        has_residual=found.residual is not None, b_is_constant=matrix is not None, b_transposed=transposed,
        b_batched=batched,
    )  # fmt: skip
    if matrix is not None:
        right = _columns(
            context,
            kernel,
            matrix.reshape(prod(leading), *matrix.shape[-2:]) if batched else matrix,
            found.scale,
        )
    operands = [left, right, relax.const(kernel.pack_bias(found.bias)), found.residual]
    return Match(kernel, operands, found.last, found.absorbed)


def _columns(context: Context, kernel: MatMul, matrix: NDArray[Any], scale: Tensor) -> Any:
    """A constant right-hand side: made of the rows of a matrix that there is anyway, or packed."""
    if matrix.ndim == 2 and matrix.T in context.tables:
        rows = np.ascontiguousarray(matrix.T)[..., None]
        return weight(rows, scale[:, None], "rows to columns", context.lanes)
    return weight(kernel.pack(matrix), kernel.pack_factors(scale), "as stored", context.lanes)


def _pool2d(context: Context, position: int) -> Match | None:
    bindings = context.bindings
    call = bindings.value(position)
    attributes = call.attrs
    if attributes.layout != "NHWC" or attributes.out_layout != "NHWC":
        return None
    batch, in_h, in_w, channels = shape(call.args[0])
    _, out_h, out_w, _ = shape(bindings.variable(position))
    is_max = bindings.operator(position) == "relax.nn.max_pool2d"
    kernel_h, kernel_w = _ints(attributes.pool_size)
    stride_h, stride_w = _ints(attributes.strides)
    dilation_h, dilation_w = _ints(attributes.dilation)
    pad_top, pad_left, pad_bottom, pad_right = _ints(attributes.padding)
    kernel = Pool2d(
        "max" if is_max else "average", batch, in_h, in_w, channels, out_h, out_w, kernel_h, kernel_w, stride_h,
        stride_w, dilation_h, dilation_w, pad_top, pad_left, pad_bottom, pad_right, bool(attributes.count_include_pad),
    )  # fmt: skip
    return Match(kernel, [call.args[0]], position)


def _mean(context: Context, position: int) -> Match | None:
    """The mean over height and width of a picture is a pooling over all of it."""
    bindings = context.bindings
    call = bindings.value(position)
    if len(shape(call.args[0])) != 4 or _ints(call.attrs.axis or ()) != [1, 2]:
        return None
    return Match(Pool2d.over_all("average", *shape(call.args[0])), [call.args[0]], position)


def _softmax(context: Context, position: int) -> Match | None:
    bindings = context.bindings
    call = bindings.value(position)
    *leading, columns = shape(call.args[0])
    if int(call.attrs.axis) not in (-1, len(leading)):
        return None
    is_log = bindings.operator(position) == "relax.nn.log_softmax"
    return Match(Softmax(prod(leading), columns, log=is_log), [call.args[0]], position)


def _layer_norm(context: Context, position: int) -> Match | None:
    bindings = context.bindings
    call = bindings.value(position)
    x, scale, bias = call.args
    *leading, columns = shape(x)
    scale_array, bias_array = constant(scale), constant(bias)
    if _ints(call.attrs.axes) not in ([-1], [len(leading)]) or scale_array is None or bias_array is None:
        return None
    if not (call.attrs.center and call.attrs.scale):
        return None
    kernel = LayerNorm(prod(leading), columns, float(call.attrs.epsilon))
    operands = [x, relax.const(kernel.pack_scale(scale_array)), relax.const(kernel.pack_bias(bias_array))]
    return Match(kernel, operands, position)


def _unary(context: Context, position: int) -> Match | None:
    bindings = context.bindings
    call = bindings.value(position)
    count = prod(shape(call.args[0]))
    if count < _MIN_ELEMENTS:
        return None
    return Match(Unary(_UNARY[bindings.operator(position) or ""], count), [call.args[0]], position)


def _transpose(context: Context, position: int) -> Match | None:
    """Axes that fall into leading and last ones, which stay, and two runs between them that change places."""
    bindings = context.bindings
    call = bindings.value(position)
    extents = shape(call.args[0])
    axes = [axis for axis in _ints(call.attrs.axes or range(len(extents))[::-1]) if extents[axis] > 1]
    here = sorted(axes)
    first = next((index for index, axis in enumerate(axes) if axis != here[index]), None)
    if first is None:
        return None
    end = next(index for index in range(len(axes), 0, -1) if axes[index - 1] != here[index - 1])
    middle = first + end - axes.index(here[first])
    if axes[first:end] != [*here[middle:end], *here[first:middle]]:
        return None
    sizes = [extents[axis] for axis in here]
    parts = ((0, first), (first, middle), (middle, end), (end, len(here)))
    return Match(Transpose(*(prod(sizes[start:stop]) for start, stop in parts)), [call.args[0]], position)


_RECURRENT: dict[str, Callable[[int, int, int], Kernel]] = {
    "lstm": Lstm,
    "gru": Gru,
    "gru_reset": GruReset,
    "gru_update": GruUpdate,
}


def _recurrent(context: Context, position: int) -> Match | None:
    name, operands = context.bindings.value(position).args[:2]
    attributes = context.module[name].attrs
    if attributes is None or RECURRENT_STEP not in attributes:
        return None
    inputs, step, product, *rest = operands.fields
    number, kernel = constant(step), _RECURRENT[str(attributes[RECURRENT_STEP])]
    if number is None:
        return None
    batch, hidden = shape(rest[-1])
    seen = rest[1:] if kernel is Lstm else rest
    return Match(kernel(int(number), batch, hidden), [inputs, product, *seen], position)


def _ints(values: Any) -> list[int]:
    return [int(value) for value in values]


_MATCHERS: dict[str, Callable[[Context, int], Match | None]] = {
    "relax.nn.conv2d": _conv2d,
    "relax.matmul": _matmul,
    "relax.nn.max_pool2d": _pool2d,
    "relax.nn.avg_pool2d": _pool2d,
    "relax.mean": _mean,
    "relax.nn.softmax": _softmax,
    "relax.nn.log_softmax": _softmax,
    "relax.nn.layer_norm": _layer_norm,
    "relax.permute_dims": _transpose,
    "relax.call_tir": _recurrent,
    "relax.divide": quantization,
    "relax.add": addition_of_bytes,
    "relax.max": extreme,
    "relax.min": extreme,
    **dict.fromkeys(_UNARY, _unary),
}
