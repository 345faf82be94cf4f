"""Scalars that TVM computes wrongly with, and tensors without elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import wasmgrad
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from wasmgrad.compiler import CompileOptions, compile_model

Array = NDArray[Any]


def _result(nodes: list[onnx.NodeProto], x: Array, level: int, constant: Array | None = None) -> Array:
    constants = [] if constant is None else [numpy_helper.from_array(constant, "c")]
    inputs = [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)]
    graph = helper.make_graph(nodes, "one", inputs, [helper.make_empty_tensor_value_info("y")], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    compiled = compile_model(onnx.shape_inference.infer_shapes(model), CompileOptions(opt_level=level))
    return np.asarray(wasmgrad.load(compiled.module)(x=x))


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_zero_times_nan_is_nan_within_a_fused_kernel(dtype: str, level: int) -> None:
    x, zero = np.array([np.nan, np.inf, 2.0], dtype), np.array(0, dtype)
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["product"]),
        helper.make_node("Add", ["product", "c"], ["y"]),
    ]
    np.testing.assert_array_equal(_result(nodes, x, level, zero), np.array([np.nan, np.nan, 0.0], dtype))


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("operator", ["Add", "Mul", "Div"])
def test_zero_and_a_scalar_are_computed(operator: str, level: int) -> None:
    x, zero = np.array(np.inf, np.float32), np.array(0.0, np.float32)
    with np.errstate(all="ignore"):
        wanted = {"Add": x + zero, "Mul": x * zero, "Div": x / zero}[operator]
    np.testing.assert_array_equal(
        _result([helper.make_node(operator, ["x", "c"], ["y"])], x, level, zero), wanted
    )


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_products_with_the_lowest_integer_wrap_around(shape: tuple[int, ...], dtype: Any, level: int) -> None:
    x, lowest = np.full(shape, 7, dtype), np.array(np.iinfo(dtype).min, dtype)
    result = _result([helper.make_node("Mul", ["x", "c"], ["y"])], x, level, lowest)
    np.testing.assert_array_equal(result, np.full(shape, lowest))  # 7 is odd


@pytest.mark.parametrize("level", [0, 3])
def test_nothing_between_axes_of_one_is_transposed(level: int) -> None:
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[0, 2, 1])
    assert _result([node], np.zeros((1, 1, 0), np.float32), level).shape == (1, 0, 1)


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("shapes", [((2, 0), (0, 3)), ((0, 2, 4), (4, 5)), ((0,), (0,))])
def test_products_of_nothing_are_zeros(shapes: tuple[tuple[int, ...], tuple[int, ...]], level: int) -> None:
    left, right = (np.zeros(shape, np.float32) for shape in shapes)
    result = _result([helper.make_node("MatMul", ["x", "c"], ["y"])], left, level, right)
    np.testing.assert_array_equal(result, np.matmul(left, right))
