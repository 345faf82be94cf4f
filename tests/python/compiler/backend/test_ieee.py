"""A value beside itself: NaN differs from itself, and an infinity less itself is NaN, whatever is fused with it."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
import wasmgrad
from numpy.typing import NDArray
from onnx import helper
from wasmgrad.compiler import CompileOptions, compile_model

X = [1.0, np.nan, -2.0, np.inf, -np.inf, 0.0]
DTYPES = {name: np.dtype(name) for name in ("float16", "float32", "float64")}
DTYPES["bfloat16"] = np.dtype(ml_dtypes.bfloat16)


def _results(nodes: list[onnx.NodeProto], x: NDArray[Any], options: CompileOptions) -> list[NDArray[Any]]:
    outputs = [helper.make_empty_tensor_value_info(node.output[0]) for node in nodes if "y" in node.output[0]]
    inputs = [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)]
    graph = helper.make_graph(nodes, "itself", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    compiled = compile_model(onnx.shape_inference.infer_shapes(model), options)
    engine = "native" if options.target == "native" else "wasmtime"
    return list(wasmgrad.load(compiled.module, engine)(x=x))


@pytest.mark.parametrize("target", ["wasm32", "native"])
@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_value_beside_itself_is_computed(dtype: str, level: int, target: Any) -> None:
    x = np.array(X).astype(DTYPES[dtype])
    compared = {"Equal": x == x, "LessOrEqual": x <= x, "GreaterOrEqual": x >= x, "Less": x < x}  # noqa: PLR0124
    nodes = [helper.make_node("Sub", ["x", "x"], ["none"]), helper.make_node("Abs", ["none"], ["y"])]
    for operator in compared:
        nodes.append(helper.make_node(operator, ["x", "x"], [operator]))
        nodes.append(helper.make_node("Not", [operator], [f"y{operator}"]))
    nothing, *others = _results(nodes, x, CompileOptions(opt_level=level, target=target))
    with np.errstate(invalid="ignore"):
        wanted = np.abs((x - x).astype(np.float64))
    np.testing.assert_array_equal(nothing.view(x.dtype).astype(np.float64), wanted)
    for (operator, same), result in zip(compared.items(), others, strict=True):
        np.testing.assert_array_equal(result, ~same, err_msg=operator)
