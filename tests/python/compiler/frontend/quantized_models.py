"""Models of one quantized product, drawn at random, in the forms that quantizers write, with what is right.

What is right is computed in float64, which holds sums of products of 8-bit integers exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional as F  # noqa: N812

Array = np.ndarray[Any, Any]
Form = Literal["qdq", "qdq-real", "qlinear", "integer"]
FORMS: tuple[Form, ...] = ("qdq", "qdq-real", "qlinear", "integer")


@dataclass(frozen=True)
class Quantized:
    """A model with the input x, the number of steps of its output that it may be off, and what is right."""

    model: onnx.ModelProto
    x: Array
    right: Array
    step: float


@dataclass(frozen=True)
class _Product:
    """The integers of a product: x less its zero point times the weights less theirs, and how to compute it."""

    operator: str
    attributes: dict[str, Any]
    x: Array
    zero: Array
    weights: Array
    weight_zeros: Array
    scales: Array  # one, or one of each output channel
    bias: Array
    channel_axis: int  # of the weights
    sums: Array


def drawn(seed: int, form: Form) -> Quantized:
    """A product of a random operator, shape, and types."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["conv", "depthwise", "matmul", "gemm" if form.startswith("qdq") else "matmul"])
    product = (
        _matrices(rng, str(kind), form) if kind in ("matmul", "gemm") else _pictures(rng, str(kind), form)
    )
    return _model(rng, product, form)


def _bytes(rng: np.random.Generator, dtype: str, *shape: int) -> Array:
    limits = np.iinfo(dtype)
    values = rng.integers(limits.min, limits.max, shape, endpoint=True)
    return np.where(rng.random(shape) < 0.2, rng.choice([limits.min, limits.max], shape), values).astype(
        dtype
    )


def _types(rng: np.random.Generator, form: Form) -> tuple[str, str]:
    x = str(rng.choice(["uint8", "int8"]))
    return x, "int8" if rng.random() < 0.7 else "uint8"


def _zeros(rng: np.random.Generator, dtype: str, count: int) -> Array:
    """Of int8 weights 0, as quantizers write them, most times."""
    if dtype == "int8" and rng.random() < 0.7:
        return np.zeros(count, dtype)
    return _bytes(rng, dtype, count)


def _matrices(rng: np.random.Generator, kind: str, form: Form) -> _Product:
    x_type, w_type = _types(rng, form)
    m, k, n = (int(rng.choice(sizes)) for sizes in ([1, 5, 12, 31], [3, 16, 65, 200], [1, 8, 21, 64]))
    per_channel = bool(rng.integers(2)) and form != "integer"
    count = n if per_channel else 1
    x = _bytes(rng, x_type, *((m, k) if kind == "gemm" or rng.random() < 0.5 else (2, m, k)))
    weights, zeros = _bytes(rng, w_type, k, n), _zeros(rng, w_type, count)
    if not per_channel and form != "qdq-real":
        zeros = zeros.reshape(())
    zero = _bytes(rng, x_type).reshape(())
    sums = (x.astype(np.float64) - float(zero)) @ (weights.astype(np.float64) - zeros.astype(np.float64))
    operator = {"matmul": "MatMul", "gemm": "Gemm"}[kind]
    bias = rng.integers(-9000, 9000, n).astype(np.int32) if kind == "gemm" else np.zeros(0, np.int32)
    scales = rng.uniform(0.5, 2, zeros.shape).astype(np.float32) / 100
    attributes: dict[str, Any] = {}
    axis = 1
    if kind == "gemm" and rng.random() < 0.5:
        attributes, weights, axis = {"transB": 1}, np.ascontiguousarray(weights.T), 0
    sums = sums + bias if bias.size else sums
    return _Product(operator, attributes, x, zero, weights, zeros, scales, bias, axis, sums)


def _pictures(rng: np.random.Generator, kind: str, form: Form) -> _Product:
    x_type, w_type = _types(rng, form)
    spatial = int(rng.choice([1, 2, 2, 2]))
    groups = int(rng.choice([1, 1, 2])) if kind == "conv" else int(rng.integers(2, 40))
    in_c, out_c = (
        (groups * int(rng.integers(1, 20)), groups * int(rng.integers(1, 20)))
        if kind == "conv"
        else (groups, groups)
    )
    kernel, stride, dilation = (rng.choice(c, spatial) for c in ([1, 2, 3, 5], [1, 1, 2], [1, 1, 2]))
    pads = rng.integers(0, 3, 2 * spatial)
    sizes = rng.integers(9, 15, spatial)
    per_channel = bool(rng.integers(2)) and form != "integer"
    x = _bytes(rng, x_type, int(rng.integers(1, 3)), in_c, *sizes)
    weights = _bytes(rng, w_type, out_c, in_c // groups, *kernel)
    zeros = _zeros(rng, w_type, out_c if per_channel else 1)
    if kind == "depthwise" and per_channel:
        zeros = np.zeros_like(zeros)
    zeros = zeros if per_channel else zeros.reshape(())
    zero = _bytes(rng, x_type).reshape(())
    centred = torch.from_numpy(x.astype(np.float64) - float(zero))
    wide = weights.astype(np.float64) - zeros.astype(np.float64).reshape(-1, *[1] * (spatial + 1))
    sides = [int(side) for axis in reversed(range(spatial)) for side in (pads[axis], pads[spatial + axis])]
    compute = F.conv1d if spatial == 1 else F.conv2d
    options: Any = {"stride": stride.tolist(), "dilation": dilation.tolist(), "groups": groups}
    sums = compute(F.pad(centred, sides), torch.from_numpy(wide), **options).numpy()
    bias = (
        rng.integers(-9000, 9000, out_c).astype(np.int32)
        if form != "integer" and rng.random() < 0.7
        else np.zeros(0, np.int32)
    )
    if bias.size:
        sums = sums + bias.reshape(-1, *[1] * spatial)
    attributes = {
        "strides": stride.tolist(),
        "dilations": dilation.tolist(),
        "group": groups,
        "pads": pads.tolist(),
    }
    scales = rng.uniform(0.5, 2, zeros.shape).astype(np.float32) / 100
    return _Product("Conv", attributes, x, zero, weights, zeros, scales, bias, 0, sums)


def _model(rng: np.random.Generator, p: _Product, form: Form) -> Quantized:
    x_scale = np.float32(rng.uniform(0.01, 0.1))
    along = [-1] + [1] * (p.sums.ndim - 2) if p.operator == "Conv" else [-1]
    real = p.sums * (
        np.float64(x_scale) * p.scales.astype(np.float64).reshape(along if p.scales.ndim else ())
    )
    y_type = (
        "uint8"
        if form == "qlinear" and p.x.dtype == np.uint8
        else "int8"
        if form == "qlinear"
        else str(rng.choice(["uint8", "int8"]))
    )
    y_scale = np.float32(max(np.abs(real).max(), 1e-3) / 150)
    y_zero = _bytes(rng, y_type).reshape(())
    initial = {
        "xs": x_scale, "xz": p.zero, "w": p.weights, "ws": p.scales, "wz": p.weight_zeros, "ys": y_scale, "yz": y_zero,
        "b": p.bias, "bs": (x_scale * p.scales).astype(np.float32), "bz": np.zeros(p.scales.shape, np.int32),
    }  # fmt: skip
    bounded = form == "qdq" and rng.random() < 0.3
    if bounded:
        real = np.clip(real, 0, 6 * float(y_scale) * 10)
        initial |= {"low": np.float32(0), "high": np.float32(60 * y_scale)}
    nodes = _nodes(p, form, bounded)
    if form == "qdq-real":
        right, step, dtype = real, float(np.abs(real).max()) * 1e-5 + 1e-6, TensorProto.FLOAT
    elif form == "integer":
        right, step, dtype = p.sums, 0.0, TensorProto.INT32
    else:
        limits = np.iinfo(y_type)
        right = np.clip(np.rint(real / np.float64(y_scale)) + float(y_zero), limits.min, limits.max)
        step, dtype = 1.0, helper.np_dtype_to_tensor_dtype(np.dtype(y_type))
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(p.x.dtype), p.x.shape)],
        [helper.make_tensor_value_info("y", dtype, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in initial.items() if name in used],
    )
    opsets = [helper.make_opsetid("", 21)]
    return Quantized(helper.make_model(graph, opset_imports=opsets, ir_version=10), p.x, right, step)


def _nodes(p: _Product, form: Form, bounded: bool) -> list[onnx.NodeProto]:
    bias = ["b"] if p.bias.size else []
    convolves = p.operator == "Conv"
    if form == "integer":
        return [
            helper.make_node(
                "ConvInteger" if convolves else "MatMulInteger", ["x", "w", "xz", "wz"], ["y"], **p.attributes
            )
        ]
    if form == "qlinear":
        operator = "QLinearConv" if convolves else "QLinearMatMul"
        inputs = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", *(bias if convolves else [])]
        return [helper.make_node(operator, inputs, ["y"], **p.attributes)]
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xr"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wr"], axis=p.channel_axis),
        *[helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["br"], axis=0) for _ in bias],
        helper.make_node(p.operator, ["xr", "wr", *(["br"] if bias else [])], ["real"], **p.attributes),
    ]
    if form == "qdq-real":
        return [*nodes, helper.make_node("Identity", ["real"], ["y"])]
    if bounded:
        nodes.append(helper.make_node("Clip", ["real", "low", "high"], ["bounded"]))
    return [*nodes, helper.make_node("QuantizeLinear", ["bounded" if bounded else "real", "ys", "yz"], ["y"])]
