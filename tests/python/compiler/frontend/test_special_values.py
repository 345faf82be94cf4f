"""NaN, infinities and signed zeros in compiled models, against NumPy and torch.

WASMGRAD_SWEEP=1 takes all types, levels, choices of SIMD and engines.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import wasmgrad
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from wasmgrad.compiler import CompileOptions, compile_model

from ... import sweep
from . import special_values as table
from .special_values import INF, NAN, Case

Array = NDArray[Any]

TOLERANCES = {"float16": 2e-3, "float32": 2e-5, "float64": 1e-12}
CASES = [*table.UNARY, *table.BINARY, *table.ROWWISE, *table.POOLING]


def model_of_cases(cases: Iterable[Case], feeds: dict[str, Array]) -> onnx.ModelProto:
    """One model with all cases, each with outputs of its own."""
    nodes, outputs, constants = [], [], []
    used = set()
    dtype = feeds["x"].dtype
    for number, case in enumerate(cases):
        names = []
        for place, operand in enumerate(case.operands):
            if operand is None:
                names.append("")
            elif isinstance(operand, str):
                used.add(operand)
                names.append(operand)
            else:
                value = operand if isinstance(operand, np.ndarray) else np.array(operand, dtype)
                names.append(f"constant{number}_{place}")
                constants.append(numpy_helper.from_array(value, names[-1]))
        results = [f"y{number}_{i}" for i in range(case.outputs)]
        nodes.append(helper.make_node(case.operator, names, results, name=case.label, **case.attributes))
        outputs += [helper.make_empty_tensor_value_info(name) for name in results]
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(feeds[name].dtype), feeds[name].shape
        )
        for name in feeds
        if name in used
    ]
    graph = helper.make_graph(nodes, "special", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def _run(
    model: onnx.ModelProto, feeds: dict[str, Array], options: CompileOptions, engine: str
) -> list[Array]:
    compiled = compile_model(model, options)
    module = wasmgrad.load(compiled.module, engine=engine)
    results = module(**{info.name: feeds[info.name] for info in module.inputs})
    return list(results) if isinstance(results, (tuple, list)) else [results]


def _difference(case: Case, got: Array, wanted: Array, tolerance: float) -> str | None:
    wanted = np.asarray(wanted)
    if got.shape != wanted.shape:
        return f"shape {got.shape}, not {wanted.shape}"
    if got.dtype.kind != "f":
        bad = got != wanted
    else:
        with np.errstate(all="ignore"):
            wide = got.astype(np.float64)
            close = np.abs(wide - wanted) <= tolerance * np.maximum(1, np.abs(wanted))
            bad = ~np.where(
                np.isfinite(wanted), close, (wide == wanted) | (np.isnan(wide) & np.isnan(wanted))
            )
        if case.signed:
            bad |= (wanted == 0) & (np.signbit(got) != np.signbit(wanted))
    if not bad.any():
        return None
    return f"{bad.sum()} of {bad.size}: {got[bad][:6]}, not {wanted[bad][:6]}"


def mismatches(cases: list[Case], dtype: str, options: CompileOptions, engine: str) -> list[str]:
    """What a model of all cases gives otherwise than NumPy."""
    feeds = table.operands(dtype)
    results = iter(_run(model_of_cases(cases, feeds), feeds, options, engine))
    found = []
    for case in cases:
        arguments = [feeds[name] for name in case.operands if isinstance(name, str)]
        wide = [array.astype(np.float64) if array.dtype.kind == "f" else array for array in arguments]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = case.expected(*wide)
        for result in expected if case.outputs > 1 else (expected,):
            wanted = np.asarray(result)
            if wanted.dtype.kind == "f":
                with np.errstate(all="ignore"):
                    wanted = wanted.astype(dtype).astype(np.float64)
            difference = _difference(case, next(results), wanted, TOLERANCES[dtype])
            if difference is not None:
                found.append(f"{case.label} of {dtype}: {difference}")
    return found


SAMPLE = [
    ("float32", 3, "relaxed", "wasmtime"),
    ("float32", 0, "off", "wasmtime"),
    ("float64", 2, "128", "node"),
    ("float32", 3, "128", "native"),
]
SWEEP = [
    *itertools.product(TOLERANCES, range(4), ("off", "128", "relaxed"), ("wasmtime", "node")),
    *itertools.product(TOLERANCES, range(4), ("128",), ("native",)),
]


@pytest.mark.parametrize(
    ("dtype", "level", "simd", "engine"),
    SWEEP if sweep.WHOLE else SAMPLE,
)
def test_special_values_are_what_numpy_gives(dtype: str, level: int, simd: Any, engine: str) -> None:
    target: Any = "native" if engine == "native" else "wasm32"
    options = CompileOptions(target=target, simd=simd, opt_level=level)
    assert mismatches(CASES, dtype, options, engine) == []


INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def _converted(x: Array, target: str) -> Array:
    """Toward zero, the nearest number that the type has; 0 for NaN."""
    limits = np.iinfo(target)
    return np.array(
        [0 if np.isnan(v) else min(max(int(np.clip(v, -1e30, 1e30)), limits.min), limits.max) for v in x],
        target,
    )


@pytest.mark.parametrize(
    ("source", "engine"), [("float32", "wasmtime"), ("float64", "native"), ("float16", "node")]
)
def test_conversions_to_integers_saturate(source: str, engine: str) -> None:
    edges = [2.0**bits + more for bits in (7, 8, 15, 16, 31, 32, 53, 63, 64) for more in (-1, -0.5, 0, 2)]
    values = [*table.VALUES, *edges, *(-edge for edge in edges), 1e30, -1e30, 300.7, -1.5]
    with np.errstate(over="ignore"):
        x = np.array(values * 2, source)
    casts = [
        Case(
            "Cast",
            partial(_converted, target=to),
            attributes={"to": helper.np_dtype_to_tensor_dtype(np.dtype(to))},
        )
        for to in INTEGERS
    ]
    casts.append(Case("Cast", lambda v: v.astype(bool), attributes={"to": onnx.TensorProto.BOOL}))
    target: Any = "native" if engine == "native" else "wasm32"
    results = _run(model_of_cases(casts, {"x": x}), {"x": x}, CompileOptions(target=target), engine)
    for case, result in zip(casts, results, strict=True):
        np.testing.assert_array_equal(result, case.expected(x.astype(np.float64)), err_msg=case.label)


def test_nan_stays_nan_in_narrow_floats() -> None:
    x = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0x7FC00000, 0x7F800000, 0xFF800000], np.uint32).view(
        np.float32
    )
    back = [
        helper.make_node("Cast", ["x"], ["narrow"], to=onnx.TensorProto.BFLOAT16),
        helper.make_node("Cast", ["narrow"], ["wide"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Cast", ["x"], ["half"], to=onnx.TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["wide_half"], to=onnx.TensorProto.FLOAT),
    ]
    names = ("wide", "wide_half")
    graph = helper.make_graph(
        back, "narrow", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, x.shape) for name in names],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    for result in _run(model, {"x": x}, CompileOptions(), "wasmtime"):
        np.testing.assert_array_equal(result, x)


def test_quantization_saturates() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 300, -300, 0.4, 1e20], np.float32)
    results = [
        Case("QuantizeLinear", lambda v: v, ("x", np.float32(0.5), np.array(zero, dtype)))
        for zero, dtype in ((10, "uint8"), (3, "int8"), (0, "int16"))
    ]
    unsigned, signed, wide = _run(model_of_cases(results, {"x": x}), {"x": x}, CompileOptions(), "wasmtime")
    np.testing.assert_array_equal(unsigned[1:], [255, 0, 255, 0, 11, 255])
    np.testing.assert_array_equal(signed[1:], [127, -128, 127, -128, 4, 127])
    np.testing.assert_array_equal(wide[1:], [32767, -32768, 600, -600, 1, 32767])
    assert [unsigned[0], signed[0], wide[0]] == [0, 0, 0]


def test_regions_and_scattered_extremes_keep_nan() -> None:
    picture = np.full((1, 1, 4, 4), -np.inf, np.float32)
    picture[0, 0, 3, 3] = np.nan
    feeds = {"x": picture, "line": np.array([1, np.nan, 3, -np.inf], np.float32)}
    rois = np.array([[0, 0, 0, 1, 1], [0, 2, 2, 3, 3]], np.float32)
    updates = np.array([np.nan, 2, -np.inf, -np.inf], np.float32)
    scattered: dict[str, Any] = {"axis": 0, "reduction": "max"}
    cases = [
        Case("MaxRoiPool", lambda x: x, ("x", rois), {"pooled_shape": [1, 1]}),
        Case("ScatterElements", lambda x: x, ("line", np.arange(4), updates), scattered),
        Case(
            "ScatterElements", lambda x: x, ("line", np.arange(4), updates), {**scattered, "reduction": "min"}
        ),
    ]
    regions, largest, smallest = _run(model_of_cases(cases, feeds), feeds, CompileOptions(), "wasmtime")
    np.testing.assert_array_equal(regions.reshape(-1), [-np.inf, np.nan])
    np.testing.assert_array_equal(largest, [np.nan, np.nan, 3, -np.inf])
    np.testing.assert_array_equal(smallest, [np.nan, np.nan, -np.inf, -np.inf])


@pytest.mark.parametrize("level", [0, 3])
def test_functions_after_a_convolution_keep_nan(level: int) -> None:
    x = np.array([5, 4, 3, np.nan, 1, -np.inf, 2, np.inf], np.float32).reshape(1, 1, 8)
    weights, scale = numpy_helper.from_array(np.ones((1, 1, 1), np.float32), "w"), np.float32([-1, 4])
    bounds = [
        numpy_helper.from_array(value, name) for name, value in zip(("low", "high"), scale, strict=True)
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"]),
            helper.make_node("Conv", ["x", "w"], ["d"]), helper.make_node("Clip", ["d", "low", "high"], ["z"]),
            helper.make_node("IsNaN", ["z"], ["n"]), helper.make_node("Where", ["n", "low", "z"], ["u"]),
        ],
        "fused", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)],
        [helper.make_empty_tensor_value_info(name) for name in "yzu"], [weights, *bounds],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)
    y, z, u = _run(model, {"x": x}, CompileOptions(opt_level=level), "wasmtime")
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    np.testing.assert_array_equal(z, np.clip(x, -1, 4))
    np.testing.assert_array_equal(u, np.where(np.isnan(x), -1, np.clip(x, -1, 4)))


def _convolution(
    x: Array, weights: Array, after: list[tuple[str, list[float]]], level: int, **attributes: Any
) -> Array:
    """What a compiled convolution with constant weights gives through operators with constant scalars."""
    tensors, nodes, last = [numpy_helper.from_array(weights, "w")], [], "c"
    nodes.append(helper.make_node("Conv", ["x", "w"], ["c"], **attributes))
    for number, (operator, scalars) in enumerate(after):
        names = [f"s{number}_{place}" for place in range(len(scalars))]
        tensors += [
            numpy_helper.from_array(np.array(value, np.float32), name)
            for value, name in zip(scalars, names, strict=True)
        ]
        nodes.append(helper.make_node(operator, [last, *names], [f"y{number}"]))
        last = f"y{number}"
    graph = helper.make_graph(
        nodes, "convolution", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)],
        [helper.make_empty_tensor_value_info(last)], tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)
    return _run(model, {"x": x}, CompileOptions(opt_level=level), "wasmtime")[0]


@pytest.mark.parametrize("value", [INF, NAN])
@pytest.mark.parametrize(
    ("shape", "groups"), [((16, 16, 3, 3), 1), ((16, 1, 3, 3), 16), ((4, 16, 5, 5), 1), ((24, 16, 1, 1), 1)]
)
def test_a_weight_that_is_no_number_shows_where_it_is_used(
    shape: tuple[int, ...], groups: int, value: float
) -> None:
    generator = np.random.default_rng(3)
    x, weights = (generator.standard_normal(size).astype(np.float32) for size in ((1, 16, 9, 8), shape))
    weights.reshape(-1)[shape[-1]] = value
    pad = shape[-1] // 2
    result = _convolution(x, weights, [], 3, pads=[pad] * 4, group=groups)
    padded = torch.nn.functional.pad(torch.from_numpy(x).double(), [pad] * 4)
    windows = torch.nn.functional.unfold(padded, shape[2:]).reshape(groups, -1, x[0, 0].size)
    rows = torch.from_numpy(weights).double().reshape(groups, shape[0] // groups, -1)
    wanted = torch.bmm(rows, windows).reshape(result.shape).numpy()
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "after",
    [
        [("Clip", [NAN, 1.0])], [("Clip", [0.0, NAN])], [("Max", [NAN])], [("Clip", [-0.5, 0.5])], [("Mul", [INF])],
        [("Mul", [1e38]), ("Mul", [1e-38])], [("Mul", [1e-30]), ("Mul", [1e30])], [("Div", [0.0])], [("Div", [1e-39])],
        [("Mul", [0.0])], [("Add", [INF]), ("Mul", [-1.0])], [("Sub", [NAN]), ("Clip", [0.0, 6.0])],
    ],
    ids=str,
)  # fmt: skip
def test_what_follows_a_convolution_is_the_same_in_its_kernel(after: list[tuple[str, list[float]]]) -> None:
    generator = np.random.default_rng(4)
    x, weights = (
        generator.standard_normal(size).astype(np.float32) for size in ((1, 16, 8, 8), (16, 16, 3, 3))
    )
    apart, fused = (_convolution(x, weights, after, level, pads=[1] * 4) for level in (0, 3))
    np.testing.assert_allclose(
        fused, apart, rtol=1e-3, atol=1e-4 * float(np.abs(apart[np.isfinite(apart)]).max(initial=0))
    )


def test_bounds_before_operator_set_11_are_finite_as_in_onnxruntime() -> None:
    x = np.array([NAN, INF, -INF, 1.0, -1.0], np.float32)
    nodes = [helper.make_node("Clip", ["x"], ["y"], **bounds) for bounds in ({}, {"min": 0.0}, {"max": 0.0})]
    for node, name in zip(nodes, ("none", "low", "high"), strict=True):
        node.output[0] = name
    graph = helper.make_graph(
        nodes, "clip", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, x.shape) for node in nodes],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=5)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for ours, theirs in zip(
        _run(model, {"x": x}, CompileOptions(), "wasmtime"), session.run(None, {"x": x}), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
