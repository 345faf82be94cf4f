"""Convolutions: Conv, ConvTranspose, CausalConvWithState, DeformConv.

Conv becomes Relax's canonical convolution, which later passes replace by own kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import ir, relax, te, tirx

from ._dequantized import along, fits_int32, real, steps_of
from ._nn import Window, all_of, cast, per_axis, sliding_window, wide, widened
from ._registry import Node, converter, literal
from ._subpixel import as_convolutions
from ._volume import by_pictures

_CONVOLUTIONS = {1: relax.op.nn.conv1d, 2: relax.op.nn.conv2d, 3: relax.op.nn.conv3d}


def convolve(node: Node, data: Any, weight: Any, window: Window, groups: int) -> Any:
    """A convolution without bias of data [n, c, *spatial] and weight [m, c / groups, *kernel]."""
    build = _CONVOLUTIONS.get(len(window.kernel))
    if build is None:
        node.refuse(f"convolutions over {len(window.kernel)} spatial axes are not supported")
    return build(
        data,
        weight,
        strides=list(window.strides),
        padding=window.padding,
        dilation=list(window.dilations),
        groups=groups,
    )


def per_channel(value: Any, rank: int) -> Any:
    """A vector [c] shaped to broadcast against [n, c, *spatial] of that rank."""
    return relax.op.expand_dims(value, [0, *range(2, rank)])


def _with_bias(node: Node, result: Any, index: int, dtype: str) -> Any:
    """`result` [n, c, *spatial] of type `dtype` plus the vector that input `index` may hold."""
    if not node.has(index):
        return result
    rank, constant = node.rank(0), node.constant(index)
    if constant is not None:
        return relax.op.add(result, literal(constant.reshape([1, -1] + [1] * (rank - 2)), dtype))
    return relax.op.add(result, per_channel(cast(node.input(index), node.dtype(index), dtype), rank))


def folded_convolution(node: Node, factor: NDArray[np.float64], offset: NDArray[np.float64]) -> Any | None:
    """Input 0, which a Conv with constant weights computed, times a factor plus an offset per channel.

    It is the same convolution with other weights and bias. None when input 0 is something else. The original
    convolution is left to be removed as dead code.
    """
    value, bias = _call(node, node.input(0)), np.zeros_like(offset)
    if value is None:
        return None
    if value.op.name == "relax.add" and isinstance(value.args[1], ir.Constant):
        bias = value.args[1].value.numpy().astype(np.float64).reshape(-1)
        value = _call(node, value.args[0])
    names = {f"relax.nn.conv{spatial}d" for spatial in _CONVOLUTIONS}
    if value is None or value.op.name not in names or not isinstance(value.args[1], ir.Constant):
        return None
    weight = value.args[1].value.numpy()
    if weight.dtype != np.float32 or len(factor) != weight.shape[0] or bias.shape != offset.shape:
        return None
    ones = [1] * (weight.ndim - 2)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled_weight = (weight * factor.reshape(-1, 1, *ones)).astype(np.float32)
    if not np.isfinite(scaled_weight).all():
        return None
    scaled = literal(scaled_weight)
    shifted = literal((bias * factor + offset).reshape(1, -1, *ones), "float32")
    return relax.op.add(ir.Call(value.op, [value.args[0], scaled], value.attrs), shifted)


def _call(node: Node, variable: Any) -> Any | None:
    """The operator call that computed a variable; None for anything else."""
    if not isinstance(variable, relax.Var):
        return None
    value = node.graphs.builder.lookup_binding(variable)
    return value if isinstance(value, ir.Call) and hasattr(value.op, "name") else None


def weight_window(node: Node, data: int, weight: int) -> Window:
    """The window of a convolution whose inputs have these indices; refused when shapes disagree."""
    shape, kernel = node.shape(data), node.shape(weight)
    groups = int(node.attribute("group", 1))
    if len(shape) < 3 or len(kernel) != len(shape):
        node.refuse(f"an input of shape {shape} does not go with weights of shape {kernel}")
    if groups < 1 or shape[1] != kernel[1] * groups or kernel[0] % groups:
        node.refuse(f"an input of shape {shape} in {groups} groups does not go with weights {kernel}")
    declared = node.attribute("kernel_shape", None)
    if declared is not None and tuple(declared) != tuple(kernel[2:]):
        node.refuse(f"kernel_shape {tuple(declared)} is not that of the weights, {tuple(kernel[2:])}")
    return sliding_window(node, shape[2:], kernel[2:])


def _of_steps(node: Node, window: Window, groups: int) -> Any | None:
    """A convolution of dequantized tensors over one or two axes as one of integers; None where it is no such."""
    data, weights = steps_of(node, 0), steps_of(node, 1)
    if data is None or weights is None or weights.array is None or len(window.kernel) > 2:
        return None
    scale = along(data.scale * weights.scale, 0)
    if data.scale.size > 1 or scale is None or not fits_int32(weights, prod(weights.array.shape[1:]), 0):
        return None
    sums = convolve(node, data.value, weights.value, window, groups)
    return real(node, sums, scale.reshape(-1, *[1] * len(window.kernel)) if scale.size > 1 else scale)


@converter("Conv", since=1)
def conv(node: Node) -> Any:
    """A convolution of any group count over one to three spatial axes."""
    dtype = node.dtype(0)
    window, groups, weights = weight_window(node, 0, 1), int(node.attribute("group", 1)), node.constant(1)
    quantized = _of_steps(node, window, groups)
    if quantized is not None:
        result = quantized
    elif len(window.kernel) == 3 and wide(dtype) == "float32" and weights is not None:
        result = by_pictures(node, widened(node, 0), weights.astype(np.float32), window, groups)
    else:
        result = convolve(node, widened(node, 0), widened(node, 1), window, groups)
    return cast(_with_bias(node, result, 2, wide(dtype)), wide(dtype), dtype)


def _transposed_sizes(
    node: Node, sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Output sizes of a transposed convolution, and how much is cut off before each axis."""
    spatial = len(sizes)
    extra = per_axis(node, "output_padding", spatial, 0)
    mode = node.attribute("auto_pad", "NOTSET") or "NOTSET"
    wanted = node.attribute("output_shape", None)
    full = [(n - 1) * s + e + r for n, s, e, r in zip(sizes, strides, extra, reach, strict=True)]
    if wanted is not None:
        output = [int(size) for size in wanted][-spatial:]
    elif mode in {"SAME_UPPER", "SAME_LOWER"}:
        output = [size * stride for size, stride in zip(sizes, strides, strict=True)]
        if any(size < out for size, out in zip(full, output, strict=True)):
            node.refuse(
                f"auto_pad '{mode}' asks for the sizes {tuple(output)}, but only {tuple(full)} are reached"
            )
    else:
        pads = [int(pad) for pad in (node.attribute("pads", None) or [0] * 2 * spatial)]
        if mode == "VALID":
            pads = [0] * 2 * spatial
        first, last = pads[:spatial], pads[spatial:]
        return [size - a - b for size, a, b in zip(full, first, last, strict=True)], first
    total = [max(0, size - out) for size, out in zip(full, output, strict=True)]
    return output, [pad // 2 if mode == "SAME_UPPER" else pad - pad // 2 for pad in total]


@converter("ConvTranspose", since=1)
def conv_transpose(node: Node) -> Any:
    """The gradient of a convolution: weights are [c, m / groups, *kernel]."""
    shape, kernel = node.shape(0), node.shape(1)
    groups = int(node.attribute("group", 1))
    if len(shape) < 3 or len(kernel) != len(shape) or shape[1] != kernel[0] or shape[1] % groups:
        node.refuse(f"an input of shape {shape} in {groups} groups does not go with weights {kernel}")
    spatial = len(shape) - 2
    strides = per_axis(node, "strides", spatial, 1)
    dilations = per_axis(node, "dilations", spatial, 1)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel[2:], dilations, strict=True)]
    output, cut = _transposed_sizes(node, shape[2:], reach, strides)
    if min(output) < 1:
        node.refuse(f"its output would have the sizes {tuple(output)}")
    dtype = node.dtype(0)
    weights = node.constant(1)
    if wide(dtype) == "float32" and weights is not None and set(dilations) == {1}:
        as_floats = weights.astype(np.float32)
        bias = node.constant(2) if node.has(2) else None
        inside = None if bias is None else bias.astype(np.float32)
        result = as_convolutions(node, widened(node, 0), as_floats, inside, groups, strides, cut, output)
        if result is not None:
            whole = _with_bias(node, result, 2, "float32") if inside is None else result
            return cast(whole, "float32", dtype)
    result = _by_definition(node, groups, strides, dilations, cut, output)
    return cast(_with_bias(node, result, 2, wide(dtype)), wide(dtype), dtype)


def _by_definition(
    node: Node,
    groups: int,
    strides: Sequence[int],
    dilations: Sequence[int],
    cut: Sequence[int],
    output: Sequence[int],
) -> Any:
    """A transposed convolution without bias, as one kernel of its own."""
    shape, kernel = node.shape(0), node.shape(1)
    work = wide(node.dtype(0))
    channels_in, channels_out = shape[1] // groups, kernel[1]

    def compute(data: Any, weight: Any) -> Any:
        channel = te.reduce_axis((0, channels_in), "channel")
        taps = [te.reduce_axis((0, size), "tap") for size in kernel[2:]]

        def element(n: Any, m: Any, *position: Any) -> Any:
            group = m // channels_out
            # Output o receives input i through tap k where o + cut = i * stride + k * dilation.
            offset = [p + c - k * d for p, c, k, d in zip(position, cut, taps, dilations, strict=True)]
            source = [tirx.floordiv(o, s) for o, s in zip(offset, strides, strict=True)]
            hit = [tirx.floormod(o, s) == 0 for o, s in zip(offset, strides, strict=True)]
            inside = [tirx.all(i >= 0, i < size) for i, size in zip(source, shape[2:], strict=True)]
            x = data[(n, group * channels_in + channel, *source)].astype(work)
            w = weight[(group * channels_in + channel, m % channels_out, *taps)].astype(work)
            product = tirx.if_then_else(all_of(hit + inside), x * w, tirx.const(0, work))
            return te.sum(product, axis=[channel, *taps])

        return te.compute((shape[0], channels_out * groups, *output), element, name="conv_transpose")

    return node.emit_te(compute, node.input(0), node.input(1))


@converter("CausalConvWithState", since=1)
def causal_conv_with_state(node: Node) -> Any:
    """A depthwise convolution over time that sees only the past, which the state continues."""
    batch, channels, length = node.shape(0)
    taps = node.shape(1)[2]
    dtype = node.dtype(0)
    activation = node.attribute("activation", "none") or "none"
    if activation not in {"none", "silu", "swish"}:
        node.refuse(f"activation '{activation}' is unknown")
    data = node.input(0)
    if taps > 1:
        past = node.input(3)
        if past is None:
            past = relax.op.zeros((batch, channels, taps - 1), dtype)
        data = node.emit(relax.op.concat([past, data], axis=2))
    result = relax.op.nn.conv1d(data, node.input(1), groups=channels, out_dtype=wide(dtype))
    result = _with_bias(node, result, 2, wide(dtype))
    if activation != "none":
        result = relax.op.nn.silu(result)
    state = relax.op.strided_slice(data, [2], [length], [length + taps - 1])
    return [cast(result, wide(dtype), dtype), state][: node.outputs]


def _bilinear(data: Any, lead: Sequence[Any], y: Any, x: Any, size: tuple[int, int], dtype: str) -> Any:
    """The value of data[*lead, y, x] at a fractional position, zero outside of the image of that `size`."""
    top, left = tirx.floor(y), tirx.floor(x)
    value = tirx.const(0, dtype)
    for down in (0, 1):
        for right in (0, 1):
            row, column = top.astype("int64") + down, left.astype("int64") + right
            weight_y = y - top if down else tirx.const(1, dtype) - (y - top)
            weight_x = x - left if right else tirx.const(1, dtype) - (x - left)
            inside = tirx.all(row >= 0, row < size[0], column >= 0, column < size[1])
            pixel = tirx.if_then_else(inside, data[(*lead, row, column)].astype(dtype), tirx.const(0, dtype))
            value += weight_y * weight_x * pixel
    return value


@converter("DeformConv", since=19)
def deform_conv(node: Node) -> Any:
    """A two-dimensional convolution whose taps are moved by learned fractions, and optionally weighted."""
    shape, kernel = node.shape(0), node.shape(1)
    if len(shape) != 4:
        node.refuse("only two spatial axes are supported")
    window = weight_window(node, 0, 1)
    groups, offset_groups = int(node.attribute("group", 1)), int(node.attribute("offset_group", 1))
    if shape[1] % offset_groups:
        node.refuse(f"{shape[1]} channels do not divide into {offset_groups} offset groups")
    dtype = node.dtype(0)
    work = wide(dtype)
    rows, columns = kernel[2:]
    mask = node.input(4)
    inputs = [node.input(0), node.input(1), node.input(2)] + ([] if mask is None else [mask])

    def compute(data: Any, weight: Any, offset: Any, *mask: Any) -> Any:
        def sample(n: Any, c: Any, a: Any, b: Any, i: Any, j: Any) -> Any:
            tap = (c // (shape[1] // offset_groups)) * (rows * columns) + a * columns + b
            y = (i * window.strides[0] - window.before[0] + a * window.dilations[0]).astype(work)
            x = (j * window.strides[1] - window.before[1] + b * window.dilations[1]).astype(work)
            y += offset[n, 2 * tap, i, j].astype(work)
            x += offset[n, 2 * tap + 1, i, j].astype(work)
            value = _bilinear(data, (n, c), y, x, shape[2:], work)
            return value * mask[0][n, tap, i, j].astype(work) if mask else value

        samples = te.compute((*shape[:2], rows, columns, *window.output), sample, name="samples")
        axes = [te.reduce_axis((0, size), "k") for size in kernel[1:]]
        per_group = kernel[0] // groups

        def element(n: Any, m: Any, i: Any, j: Any) -> Any:
            c, a, b = axes
            channel = (m // per_group) * kernel[1] + c
            return te.sum(samples[n, channel, a, b, i, j] * weight[m, c, a, b].astype(work), axis=axes)

        return te.compute((shape[0], kernel[0], *window.output), element, name="deform_conv")

    result = node.emit_te(compute, *inputs)
    return cast(_with_bias(node, result, 3, work), work, dtype)
