"""No element type reaches a kernel that was made for another, and no conversion that a model asks for is left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import wasmgrad
from onnx import TensorProto, helper, numpy_helper
from wasmgrad.compiler import CompileOptions, compile_model

Array = np.ndarray[Any, Any]

ELEM_TYPES = {
    "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16, "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE, "int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "int16": TensorProto.INT16,
    "uint16": TensorProto.UINT16, "int32": TensorProto.INT32, "uint32": TensorProto.UINT32, "int64": TensorProto.INT64,
    "uint64": TensorProto.UINT64, "bool": TensorProto.BOOL,
}  # fmt: skip

# Of the largest value of a result that is rounded once from float32.
ROUNDING = {"float16": 2e-3, "bfloat16": 1.6e-2, "float64": 1e-6}


def _numpy(dtype: str) -> Any:
    return np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, Array],
    outputs: dict[str, str],
    constants: dict[str, Array],
) -> onnx.ModelProto:
    """outputs: names and their dtypes."""
    graph = helper.make_graph(
        nodes,
        "dtypes",
        [helper.make_tensor_value_info(k, ELEM_TYPES[str(v.dtype)], v.shape) for k, v in inputs.items()],
        [helper.make_tensor_value_info(name, ELEM_TYPES[dtype], None) for name, dtype in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def _run(model: onnx.ModelProto, inputs: dict[str, Array], options: CompileOptions) -> list[Array]:
    compiled = compile_model(model, options)
    module = wasmgrad.load(compiled.module, "native" if options.target == "native" else "wasmtime")
    results = module(**inputs)
    return list(results) if isinstance(results, tuple) else [results]


# What our kernels compute in float32, and others around it: name -> node(s) from `x` [2, 8, 9, 11] or `m` [3, 7, 8],
# and the same in torch.
Case = tuple[list[onnx.NodeProto], Callable[[dict[str, torch.Tensor]], torch.Tensor]]


def _node(operator: str, *inputs: str, to: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), [to], **attributes)


def _conv(name: str, *, relu: bool = False, **options: Any) -> Case:
    groups, stride, pad = options.get("groups", 1), options.get("stride", 1), options.get("pad", 0)
    attributes = {"group": groups, "strides": [stride] * 2, "pads": [pad] * 4}
    to = f"{name}_sum" if relu else name
    nodes = [_node("Conv", "x", f"w_{name}", f"b_{name}", to=to, **attributes)]
    if relu:
        nodes.append(_node("Relu", to, to=name))

    def expected(t: dict[str, torch.Tensor]) -> torch.Tensor:
        y = F.conv2d(t["x"], t[f"w_{name}"], t[f"b_{name}"], stride, pad, groups=groups)
        return y.relu() if relu else y

    return nodes, expected


CASES: dict[str, Case] = {
    "pointwise": _conv("pointwise", relu=True),
    "winograd": _conv("winograd", pad=1),
    "strided": _conv("strided", stride=2, pad=1, relu=True),
    "grouped": _conv("grouped", groups=2),
    "depthwise": _conv("depthwise", groups=8, pad=1, relu=True),
    "few": _conv("few", pad=2),
    "product": ([_node("MatMul", "m", "w", to="product")], lambda t: t["m"] @ t["w"]),
    "square": (
        [_node("Transpose", "m", to="mt", perm=[0, 2, 1]), _node("MatMul", "m", "mt", to="square")],
        lambda t: t["m"] @ t["m"].mT,
    ),
    "turned": (
        [_node("Transpose", "x", to="turned", perm=[0, 2, 3, 1])],
        lambda t: t["x"].permute(0, 2, 3, 1),
    ),
    "largest": (
        [_node("MaxPool", "x", to="largest", kernel_shape=[3, 2])],
        lambda t: F.max_pool2d(t["x"], (3, 2), 1),
    ),
    "average": (
        [_node("AveragePool", "x", to="average", kernel_shape=[3, 2])],
        lambda t: F.avg_pool2d(t["x"], (3, 2), 1),
    ),
    "mean": ([_node("GlobalAveragePool", "x", to="mean")], lambda t: t["x"].mean((2, 3), keepdim=True)),
    "shares": ([_node("Softmax", "m", to="shares")], lambda t: t["m"].softmax(-1)),
    "logarithms": ([_node("LogSoftmax", "m", to="logarithms")], lambda t: t["m"].log_softmax(-1)),
    "normalized": (
        [_node("LayerNormalization", "m", "scale", "shift", to="normalized")],
        lambda t: F.layer_norm(t["m"], (8,), t["scale"], t["shift"]),
    ),
    "tanh": ([_node("Tanh", "m", to="tanh")], lambda t: t["m"].tanh()),
    "sigmoid": ([_node("Sigmoid", "m", to="sigmoid")], lambda t: t["m"].sigmoid()),
    "exp": ([_node("Exp", "m", to="exp")], lambda t: t["m"].exp()),
    "erf": ([_node("Erf", "m", to="erf")], lambda t: t["m"].erf()),
    "gelu": ([_node("Gelu", "m", to="gelu")], lambda t: F.gelu(t["m"])),
}

WEIGHTS = {
    "w_pointwise": (12, 8, 1, 1), "b_pointwise": (12,), "w_winograd": (12, 8, 3, 3), "b_winograd": (12,),
    "w_strided": (20, 8, 3, 3), "b_strided": (20,), "w_grouped": (6, 4, 3, 2), "b_grouped": (6,),
    "w_depthwise": (8, 1, 3, 3), "b_depthwise": (8,), "w_few": (3, 8, 5, 5), "b_few": (3,), "w": (8, 5),
    "scale": (8,), "shift": (8,),
}  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("float16", CompileOptions(opt_level=0)),
        ("float16", CompileOptions()),
        ("float16", CompileOptions(simd="off")),
        ("float16", CompileOptions(target="native")),
        ("bfloat16", CompileOptions()),
        ("bfloat16", CompileOptions(simd="relaxed")),
        ("bfloat16", CompileOptions(target="native")),
        ("float64", CompileOptions()),
    ],
    ids=lambda value: (
        f"{value.target}-{value.simd}-O{value.opt_level}" if isinstance(value, CompileOptions) else value
    ),
)
def test_every_kernel_reads_the_type_that_the_model_has(dtype: str, options: CompileOptions) -> None:
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> Array:
        return np.asarray(generator.standard_normal(shape).astype(_numpy(dtype)))

    inputs = {"x": draw(2, 8, 9, 11), "m": draw(3, 7, 8)}
    weights = {name: draw(*shape) for name, shape in WEIGHTS.items()}
    known = {k: torch.from_numpy(v.astype(np.float64)) for k, v in (inputs | weights).items()}
    # ONNX wants the statistics of a normalization in float32, which would not do for float64.
    names = [name for name in CASES if (name, dtype) != ("normalized", "float64")]
    nodes = [node for name in names for node in CASES[name][0]]
    model = _model(nodes, inputs, dict.fromkeys(names, dtype), weights)
    for name, result in zip(names, _run(model, inputs, options), strict=True):
        expected = CASES[name][1](known).numpy()
        gap = np.abs(result.view(_numpy(dtype)).astype(np.float64) - expected).max()
        assert gap <= ROUNDING[dtype] * np.abs(expected).max(), (name, gap)


def _converted(x: Array, dtype: str) -> Array:
    """As NumPy converts; to bfloat16 from float32, as ONNX defines it."""
    if dtype == "bool":
        return np.asarray(x != 0)
    with np.errstate(over="ignore"):
        return np.asarray((x.astype(np.float32) if dtype == "bfloat16" else x).astype(_numpy(dtype)))


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64", "int64", "int32", "uint8"])
def test_no_conversion_to_a_narrower_type_is_left_out(dtype: str, level: int) -> None:
    values = np.array([0, 1, 2, 3, 0.1, 0.3, 1.5, 2.7, 63.9, 100.2, 117.7], np.float64)
    x = values.astype(_numpy(dtype))
    if np.dtype(x.dtype).kind in "iu":
        limit = np.iinfo(x.dtype).max
        x = np.concatenate([x, np.array([limit, limit // 3, limit // 7], x.dtype)])
    others = [other for other in ELEM_TYPES if other != dtype]
    nodes: list[onnx.NodeProto] = []
    for other in others:
        nodes += [_cast("x", f"as_{other}", other), _cast(f"as_{other}", f"by_{other}", dtype)]
    model = _model(nodes, {"x": x}, {f"by_{other}": dtype for other in others}, {})
    for other, result in zip(others, _run(model, {"x": x}, CompileOptions(opt_level=level)), strict=True):
        between = _converted(x, other)
        inside = np.ones(len(x), bool)
        if x.dtype.kind in "iu" and other in ROUNDING | {"float32": 0}:  # else the way back is undefined
            inside = np.abs(between.astype(np.float64)) < float(np.iinfo(x.dtype).max)
        expected = _converted(between[inside], dtype)
        np.testing.assert_array_equal(result.view(expected.dtype)[inside], expected, err_msg=other)


def _cast(source: str, to: str, dtype: str) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [to], to=ELEM_TYPES[dtype])


@pytest.mark.parametrize("level", [0, 3])
def test_sums_of_bfloat16_are_rounded_one_by_one(level: int) -> None:
    generator = np.random.default_rng(1)
    x = generator.standard_normal(64).astype(ml_dtypes.bfloat16)
    nodes = [_node("Add", "x", "c", to="a"), _node("Mul", "a", "c", to="b"), _node("Sub", "b", "x", to="y")]
    c = np.array([1.703], ml_dtypes.bfloat16)
    model = _model(nodes, {"x": x}, {"y": "bfloat16"}, {"c": c})
    (result,) = _run(model, {"x": x}, CompileOptions(opt_level=level))
    np.testing.assert_array_equal(result.view(ml_dtypes.bfloat16), (x + c) * c - x)


def test_special_values_stay_what_they_are_as_bfloat16() -> None:
    x = np.array([np.nan, -np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-40, -0.0, 3.38e38], np.float32)
    model = _model([_cast("x", "b", "bfloat16"), _cast("b", "y", "float32")], {"x": x}, {"y": "float32"}, {})
    (result,) = _run(model, {"x": x}, CompileOptions())
    expected = x.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(np.signbit(result[2:]), np.signbit(expected[2:]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int8", "int64", "float16"])
def test_the_sign_of_every_type_of_number(dtype: str) -> None:
    x = np.array([0, 3, 100] if dtype.startswith("uint") else [0, 3, -100], dtype)
    model = _model([_node("Sign", "x", to="y")], {"x": x}, {"y": dtype}, {})
    np.testing.assert_array_equal(_run(model, {"x": x}, CompileOptions())[0], np.sign(x))


def test_truth_values_compare_equal() -> None:
    x, y = np.array([False, True, False, True]), np.array([False, False, True, True])
    model = _model([_node("Equal", "x", "y", to="z")], {"x": x, "y": y}, {"z": "bool"}, {})
    np.testing.assert_array_equal(_run(model, {"x": x, "y": y}, CompileOptions())[0], x == y)


@pytest.mark.parametrize("level", [0, 3])
def test_an_input_without_elements_is_concatenated(level: int) -> None:
    past, x = np.zeros((1, 2, 0, 4), np.float32), np.arange(8, dtype=np.float32).reshape(1, 2, 1, 4)
    nodes = [
        _node("Concat", "past", "x", to="c", axis=2),
        _node("Transpose", "past", to="t", perm=[0, 1, 3, 2]),
    ]
    model = _model(nodes, {"past": past, "x": x}, {"c": "float32", "t": "float32"}, {})
    whole, turned = _run(model, {"past": past, "x": x}, CompileOptions(opt_level=level))
    np.testing.assert_array_equal(whole, x)
    assert turned.shape == (1, 2, 4, 0)
