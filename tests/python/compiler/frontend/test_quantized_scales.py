"""Scales at the ends of float32, and those that are none, give what they give in floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import wasmgrad
from onnx import TensorProto, helper, numpy_helper
from wasmgrad.compiler import CompileOptions, compile_model
from wasmgrad.compiler.frontend.reference import exact_options

SCALES = [0.0, 1e-38, 1e-30, -0.02, 1e30, 3e38, np.inf, np.nan]
Array = np.ndarray[Any, Any]


def model_of(operator: str, x_scale: float, w_scale: float, y_scale: float | None) -> onnx.ModelProto:
    """The operator between DequantizeLinear and, with a scale of the result, QuantizeLinear."""
    rng = np.random.default_rng(0)
    shapes = {"Conv": ((1, 4, 6, 6), (20, 4, 3, 3)), "MatMul": ((5, 12), (12, 20)), "Add": ((4, 20), (4, 20))}
    x, w = shapes[operator]
    constants = {
        "w": rng.integers(-128, 127, w).astype(np.int8), "xs": np.float32(x_scale), "ws": np.float32(w_scale),
        "z": np.int8(3), "none": np.int8(0),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "z"], ["xr"]),
        helper.make_node("DequantizeLinear", ["v" if operator == "Add" else "w", "ws", "none"], ["wr"]),
        helper.make_node(operator, ["xr", "wr"], ["y" if y_scale is None else "real"]),
    ]
    if y_scale is not None:
        constants["ys"] = np.float32(y_scale)
        nodes.append(helper.make_node("QuantizeLinear", ["real", "ys", "z"], ["y"]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.INT8, x)]
    if operator == "Add":
        inputs.append(helper.make_tensor_value_info("v", TensorProto.INT8, w))
    kind = TensorProto.FLOAT if y_scale is None else TensorProto.INT8
    output = helper.make_tensor_value_info("y", kind, None)
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "scales", inputs, [output], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("operator", ["Conv", "MatMul", "Add"])
@pytest.mark.parametrize("scale", SCALES)
def test_a_real_result_is_onnxruntime_s(operator: str, scale: float) -> None:
    for x_scale, w_scale in ((scale, 0.5), (0.5, scale)):
        model = model_of(operator, x_scale, w_scale, None)
        ours, theirs = both(model)
        largest = np.abs(theirs[np.isfinite(theirs)]).max(initial=0)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * float(largest))


@pytest.mark.parametrize("operator", ["Conv", "MatMul", "Add"])
@pytest.mark.parametrize("scale", [1e-38, -0.02, 1e30, 3e38, np.inf])
def test_a_quantized_result_is_onnxruntime_s(operator: str, scale: float) -> None:
    for x_scale, w_scale, y_scale in ((scale, 0.5, 0.3), (0.5, scale, 0.3), (0.03, 0.02, scale)):
        ours, theirs = both(model_of(operator, x_scale, w_scale, y_scale))
        known = max(abs(x_scale), abs(w_scale)) < 1e36  # of NaN, onnxruntime makes the lowest number
        assert np.abs(ours.astype(int) - theirs).max() <= 1 or not known


def both(model: onnx.ModelProto) -> tuple[Array, Array]:
    """What the compiled model and onnxruntime give for all bytes at random."""
    rng = np.random.default_rng(1)
    feeds = {
        info.name: rng.integers(
            -128, 127, [each.dim_value for each in info.type.tensor_type.shape.dim]
        ).astype(np.int8)
        for info in model.graph.input
    }
    session = onnxruntime.InferenceSession(model.SerializeToString(), exact_options(model))
    graph = wasmgrad.load(compile_model(model, CompileOptions()).module)
    return np.asarray(graph(**feeds)), session.run(None, feeds)[0]
