"""Nodes of onnxruntime's own quantized operators, as `microsoft_operators` has the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import ml_dtypes
import numpy as np

from .microsoft_operators import BATCH, HEADS, LENGTH, WIDTH, Array, Case, floats, masks, random


def integers(dtype: str, *shape: int) -> Array:
    """Any numbers of a type of 8 bits."""
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


def weights(dtype: str, *shape: int) -> Array:
    """Numbers of 8 bits, of 7 where they are signed: some processors add products of others in 16 bits."""
    return integers(dtype, *shape) if dtype == "uint8" else integers(dtype, *shape) // 2


def scale(value: float) -> Array:
    """A scalar of float32."""
    return np.array(value, np.float32)


def _pointwise_quantized() -> Iterator[Case]:
    for dtype, zeros in product(("uint8", "int8"), (True, False)):
        a, b = integers(dtype, 2, 3, 4), integers(dtype, 3, 1)
        za, zb = (np.array(value, dtype) if zeros else None for value in (7, 100))
        zc, none = np.array(3, dtype), np.array(0, dtype)  # without the result's, onnxruntime ends itself
        pair = (a, scale(0.02), none if za is None else za, b, scale(0.013), none if zb is None else zb)
        yield Case("QLinearAdd", (*pair, scale(0.03), zc), {}, (1, 2, 4, 5, 6, 7))
        yield Case("QLinearMul", (*pair, scale(0.03), zc), {}, (1, 2, 3, 4, 5, 6, 7))
        one = (a, scale(0.05), za, scale(1 / 256), np.array(0 if dtype == "uint8" else -128, dtype))
        yield Case("QLinearSigmoid", one, {}, (1, 2, 3, 4))
        yield Case("QLinearLeakyRelu", (a, scale(0.05), za, scale(0.04), zc), {"alpha": 0.2}, (1, 2, 3, 4))
        for axis, opset in ((-1, 13), (1, 13), (1, 11)):
            yield Case("QLinearSoftmax", one, {"axis": axis, "opset": opset}, (1, 2, 3, 4))
        parts = (scale(0.03), zc, a, scale(0.02), none if za is None else za)
        other = (integers(dtype, 2, 2, 4), scale(0.05), none if zb is None else zb)
        yield Case("QLinearConcat", (*parts, *other), {"axis": 1}, (0, 1, 3, 4, 6, 7))
        chosen = (np.arange(4) % 2 == 0, a, scale(0.02), zc, b, scale(0.013), none, scale(0.03), zc)
        yield Case("QLinearWhere", chosen, {}, (2, 3, 5, 6, 7, 8))


def _pools_quantized() -> Iterator[Case]:
    for dtype, last in product(("uint8", "int8"), (0, 1)):
        x = integers(dtype, 2, 5, 6, 3)
        rest = (scale(0.02), np.array(9, dtype), scale(0.015), np.array(4, dtype))
        yield Case("QLinearGlobalAveragePool", (x, *rest), {"channels_last": last}, (1, 2, 3, 4))
        for pads, counted in (([0, 0, 0, 0], 0), ([1, 1, 0, 1], 0), ([1, 1, 0, 1], 1)):
            attributes = {
                "kernel_shape": [2, 2],
                "strides": [2, 1],
                "pads": pads,
                "count_include_pad": counted,
            }
            attributes["channels_last"] = last
            yield Case("QLinearAveragePool", (x, *rest), attributes, (1, 2, 3, 4))
        if last:
            yield Case("NhwcMaxPool", (x,), {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 0, 0]})
        filters = weights("int8", 4, 3 if last else 5, 3, 3)
        convolution = (
            x,
            scale(0.02),
            np.array(9, dtype),
            filters,
            scale(0.01),
            np.array(0, np.int8),
            scale(0.1),
            np.array(4, dtype),
        )
        yield Case(
            "QLinearConv", convolution, {"channels_last": last, "pads": [1, 1, 1, 1]}, tuple(range(1, 8))
        )


def _linear_quantized() -> Iterator[Case]:
    for dtype, axis in (("uint8", None), ("int8", 0), ("int8", 1)):
        per = () if axis is None else ((3, 4)[axis],)
        scales = np.abs(floats(*per)) * np.float32(0.1) + np.float32(0.01)
        attributes = {} if axis is None else {"axis": axis}
        zeros = np.full(per, 3, dtype)
        yield Case("QuantizeLinear", (floats(3, 4) * 2, scales, zeros), attributes, (1, 2))
        yield Case("DequantizeLinear", (integers(dtype, 3, 4), scales, zeros), attributes, (1, 2))
    for dtype, wide in (("int16", 30000), ("uint16", 60000)):
        yield Case("QuantizeLinear", (floats(3, 4) * 2, scale(1e-4), np.array(wide // 4, dtype)), {}, (1, 2))


def _products_quantized() -> Iterator[Case]:
    for left, right, per in product(("uint8", "int8"), ("uint8", "int8"), (False, True)):
        if (left, right) == ("int8", "uint8"):
            continue
        a, b = integers(left, 2, 3, 8), weights(right, 8, 5)
        scales = np.abs(floats(5)) * np.float32(0.01) if per else scale(0.012)
        zero = np.full(5 if per else (), 3, right)
        operands = (a, b, scale(0.02), scales, np.array(5, left), zero, floats(5))
        yield Case("MatMulIntegerToFloat", operands, {}, (1, 2, 3, 4, 5, 6))
        if not per:
            yield Case("MatMulIntegerToFloat", operands[:4], {}, (1, 2, 3))
        if left == "uint8":
            for count in (3, 4, 5):
                dynamic = (floats(2, 3, 8), b, scales, zero, floats(5))
                yield Case("DynamicQuantizeMatMul", dynamic[:count], {}, (1, 2, 3, 4), tolerance=2e-3)
    for dtype, right in (("uint8", "int8"), ("uint8", "uint8"), ("int8", "int8")):
        for swap_a, swap_b, real, biased in ((0, 0, False, True), (1, 1, False, True), (0, 1, True, False)):
            a = integers(dtype, 8, 3) if swap_a else integers(dtype, 3, 8)
            b = weights(right, 5, 8) if swap_b else weights(right, 8, 5)
            c = random.integers(-900, 900, 5).astype(np.int32) if biased else None
            result = () if real else (scale(0.5), np.array(20, dtype))
            operands = (a, scale(0.02), np.array(9, dtype), b, scale(0.03), np.array(4, right), c, *result)
            yield Case(
                "QGemm", operands, {"transA": swap_a, "transB": swap_b}, tuple(range(1, len(operands)))
            )


def _few_bits() -> Iterator[Case]:
    columns, depth = 6, 40
    for bits, block, zeros in product((4, 8), (16, 32), (None, "packed", "real")):
        if (bits, zeros) == (8, "real"):  # which onnxruntime refuses
            continue
        blocks = -(-depth // block)
        packed = integers("uint8", columns, blocks, block * bits // 8)
        zero: Array | None = None
        if zeros == "packed":
            zero = integers("uint8", columns * -(-blocks * bits // 8))
        elif zeros == "real":
            zero = np.abs(floats(columns * blocks)) * np.float32(8)
        operands = (floats(2, 3, depth), packed, np.abs(floats(columns * blocks)), zero)
        attributes = {"K": depth, "N": columns, "bits": bits, "block_size": block}
        yield Case("MatMulNBits", operands, attributes, (1, 2, 3), tolerance=1e-4)


def _gathered_blocks() -> Iterator[Case]:
    indices = np.array([[0, 3], [2, -1]])
    for kind, zeros, (chosen, blocked) in product(
        (ml_dtypes.int4, ml_dtypes.uint4), (True, False), ((0, 1), (1, 0), (0, -1))
    ):
        numbers = integers("int8", 5, 40) % 16 - (8 if kind is ml_dtypes.int4 else 0)
        scales, zero = np.abs(floats(5, 3)), numbers[:, :3]
        parts = [numbers.astype(kind), scales, zero.astype(kind)]
        if blocked == 0:
            parts = [np.ascontiguousarray(part.T) for part in parts]
        operands = (parts[0], indices, parts[1], parts[2] if zeros else None)
        attributes = {"block_size": 16, "gather_axis": chosen, "quantize_axis": blocked}
        yield Case("GatherBlockQuantized", operands, attributes, (0, 2, 3))
    for bits, zeros in product((4, 8), (True, False)):
        packed, zero = integers("uint8", 5, 40 * bits // 8), integers("uint8", 5, -(-3 * bits // 8))
        operands = (packed, indices, np.abs(floats(5, 3)), zero if zeros else None)
        yield Case("GatherBlockQuantized", operands, {"block_size": 16, "bits": bits}, (0, 2, 3))


def _attention_quantized() -> Iterator[Case]:
    x, matrix = integers("uint8", BATCH, LENGTH, 6), weights("int8", 6, 3 * WIDTH)
    for mask, causal, per in product((0, 1, 2), (0, 1), (False, True)):
        scales = np.abs(floats(3 * WIDTH)) * np.float32(0.01) if per else scale(0.01)
        zero = np.zeros(3 * WIDTH, np.int8) if per else np.array(3, np.int8)
        operands = (
            x,
            matrix,
            floats(3 * WIDTH),
            scale(0.02),
            scales,
            masks(LENGTH)[mask],
            np.array(120, np.uint8),
            zero,
        )
        attributes = {"num_heads": HEADS, "unidirectional": causal}
        yield Case("QAttention", operands, attributes, (1, 2, 3, 4, 6, 7), tolerance=1e-4)


def _recurrent_quantized() -> Iterator[Case]:
    steps, batch, features, hidden = 3, 2, 5, 6
    for direction, dtype, per in product(
        ("forward", "reverse", "bidirectional"), ("uint8", "int8"), (False, True)
    ):
        count = 2 if direction == "bidirectional" else 1
        per_gate = (count, 4 * hidden) if per else (count,)
        scales = [np.abs(floats(*per_gate)) * np.float32(0.004) + np.float32(0.001) for _ in range(2)]
        zeros = [np.full(per_gate, 0 if per else value, dtype) for value in (12, 9)]
        operands = (
            floats(steps, batch, features), weights(dtype, count, features, 4 * hidden),
            weights(dtype, count, hidden, 4 * hidden), floats(count, 8 * hidden), None, floats(count, batch, hidden),
            floats(count, batch, hidden), None, scales[0], zeros[0], scales[1], zeros[1],
        )  # fmt: skip
        attributes = {"hidden_size": hidden, "direction": direction}
        yield Case(
            "DynamicQuantizeLSTM", operands, attributes, (1, 2, 3, 8, 9, 10, 11), (0, 1, 2), tolerance=5e-3
        )


QUANTIZED: dict[str, Callable[[], Iterator[Case]]] = {
    "quantized pointwise": _pointwise_quantized,
    "quantized pools": _pools_quantized,
    "quantization": _linear_quantized,
    "quantized products": _products_quantized,
    "few bits": _few_bits,
    "gathered blocks": _gathered_blocks,
    "quantized attention": _attention_quantized,
    "quantized recurrent": _recurrent_quantized,
}
