"""What is evaluated while a model is compiled is what its kernels would give at run time."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
import wasmgrad
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from wasmgrad.compiler import CompileOptions, compile_model

from . import special_values as table
from .test_special_values import CASES, model_of_cases

Array = NDArray[Any]

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
NUMBERS = [
    *(sign * (2.0**bits + more) for sign in (1, -1) for bits in (7, 8, 15, 16, 31, 32, 53, 63, 64) for more in (-1, 1)),
    *(sign * 2.0**bits for sign in (1, -1) for bits in (7, 8, 15, 16, 31, 32, 63, 64)),
    *(np.nan, np.inf, -np.inf, 0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -1.5, 300.7, 1e30, -1e30, 3.4e38, 1e-8, 2049, 16777217),
]  # fmt: skip


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def _values(name: str) -> Array:
    """Numbers of a type, the ends of all others among them."""
    if name == "bool":
        return np.array([True, False])
    if name in FLOATS:
        with np.errstate(all="ignore"):
            return np.array(NUMBERS).astype(_dtype(name))
    limits = np.iinfo(name)
    numbers = {int(number) for number in NUMBERS if np.isfinite(number)} | {limits.min, limits.max}
    return np.array(sorted(n for n in numbers if limits.min <= n <= limits.max), name)


def _run(model: onnx.ModelProto, level: int, **inputs: Array) -> list[Array]:
    module = wasmgrad.load(compile_model(model, CompileOptions(opt_level=level)).module)
    results = module(**inputs)
    return list(results) if isinstance(results, tuple) else [results]


def _with_constants(model: onnx.ModelProto, values: dict[str, Array]) -> onnx.ModelProto:
    """The model with all its inputs as weights, and another input that one more output returns."""
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    del folded.graph.input[:]
    folded.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in values.items())
    folded.graph.input.append(helper.make_tensor_value_info("unused", onnx.TensorProto.FLOAT, [1]))
    folded.graph.output.append(helper.make_tensor_value_info("returned", onnx.TensorProto.FLOAT, [1]))
    folded.graph.node.append(helper.make_node("Identity", ["unused"], ["returned"]))
    return folded


def _same(a: Array, b: Array) -> bool:
    if a.dtype.kind not in "biu":
        a, b = a.astype(np.float64), b.astype(np.float64)
        return bool(np.all((a == b) | (np.isnan(a) & np.isnan(b))))
    return bool(np.all(a == b))


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("source", [*FLOATS, *INTEGERS, "bool"])
def test_a_constant_is_cast_as_an_input_is(source: str, level: int) -> None:
    targets = [*FLOATS, *INTEGERS, "bool"]
    x, types = _values(source), [helper.np_dtype_to_tensor_dtype(_dtype(target)) for target in targets]
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], [name], to=to) for name, to in zip(targets, types, strict=True)],
        "casts",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [helper.make_tensor_value_info(name, to, x.shape) for name, to in zip(targets, types, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    computed = _run(model, level, x=x)
    folded = _run(_with_constants(model, {"x": x}), level, unused=np.zeros(1, np.float32))
    differing = [
        target for target, a, b in zip(targets, computed, folded[:-1], strict=True) if not _same(a, b)
    ]
    assert differing == []


@pytest.mark.parametrize("level", [0, 3])
def test_special_values_are_folded_as_they_are_computed(level: int) -> None:
    feeds = table.operands("float32")
    model = model_of_cases(CASES, feeds)
    names = {info.name for info in model.graph.input}
    computed = _run(model, level, **{name: feeds[name] for name in feeds if name in names})
    constants = {name: feeds[name] for name in feeds if name in names}
    folded = _run(_with_constants(model, constants), level, unused=np.zeros(1, np.float32))
    labels = [case.label for case in CASES for _ in range(case.outputs)]
    differing = [
        label
        for label, a, b in zip(labels, computed, folded[:-1], strict=True)
        if not (_same(a, b) or np.allclose(a, b, rtol=1e-6, atol=1e-6, equal_nan=True))
    ]
    assert differing == []


@pytest.mark.parametrize("level", [0, 3])
def test_quantized_constants_are_what_onnxruntime_makes_of_them(level: int) -> None:
    generator = np.random.default_rng(2)
    values: dict[str, Array] = {
        "a": generator.integers(0, 9, (4, 6)).astype(np.uint8),
        "b": generator.integers(-9, 9, (6, 5)).astype(np.int8),
        "w": generator.integers(-9, 9, (3, 2, 1, 1)).astype(np.int8),
        "image": generator.integers(0, 9, (1, 2, 3, 3)).astype(np.uint8),
        **{name: np.array(value, np.float32) for name, value in (("half", 0.5), ("one", 1), ("two", 2))},
        "za": np.array(3, np.uint8),
        "zb": np.array(1, np.int8),
        "zy": np.array(101, np.uint8),
        "large": np.array([1e12, -1e12, 3e9, -3e9, 70000, -70000, 0.5, 1.5], np.float32),
        "flat": np.zeros(3, np.float32),
    }
    nodes = [
        helper.make_node("QLinearMatMul", ["a", "half", "za", "b", "one", "zb", "one", "zy"], ["product"]),
        helper.make_node("QLinearConv", ["image", "half", "za", "w", "one", "zb", "one", "zy"], ["filtered"]),
        *(
            helper.make_node("QuantizeLinear", ["large", "two"], [f"q{to}"], output_dtype=to)
            for to in (2, 3, 4, 5)
        ),
        helper.make_node("DynamicQuantizeLinear", ["large"], ["dynamic", "scale", "zero"]),
        helper.make_node("DynamicQuantizeLinear", ["flat"], ["still", "still_scale", "still_zero"]),
    ]
    names = [name for node in nodes for name in node.output]
    graph = helper.make_graph(
        nodes, "constants", [helper.make_tensor_value_info("unused", onnx.TensorProto.FLOAT, [1])],
        [helper.make_empty_tensor_value_info(name) for name in names],
        [numpy_helper.from_array(array, name) for name, array in values.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    model = onnx.shape_inference.infer_shapes(model)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    feeds = {"unused": np.zeros(1, np.float32)}
    wanted = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feeds)
    for name, result, right in zip(names, _run(model, level, **feeds), wanted, strict=True):
        assert result.dtype == right.dtype, name
        np.testing.assert_array_equal(result, right, err_msg=name)
