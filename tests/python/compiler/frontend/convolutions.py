"""One convolution as an ONNX model, and what a compiled model gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import wasmgrad
from onnx import TensorProto, helper, numpy_helper
from wasmgrad.compiler import CompileOptions, compile_model

Array = np.ndarray[Any, Any]

ELEM_TYPES = {
    "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16, "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}  # fmt: skip


def model_of(operator: str, case: Any, *, constant: bool = True) -> onnx.ModelProto:
    """Of the case's x, weights, bias and attributes; its weights are constant, or an input."""
    dtype = ELEM_TYPES[str(case.x.dtype)]
    inputs = [helper.make_tensor_value_info("x", dtype, case.x.shape)]
    constants = [numpy_helper.from_array(case.bias, "b")]
    if constant:
        constants.append(numpy_helper.from_array(case.weights, "w"))
    else:
        inputs.append(helper.make_tensor_value_info("w", dtype, case.weights.shape))
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w", "b"], ["y"], **case.attributes)],
        "convolution",
        inputs,
        [helper.make_tensor_value_info("y", dtype, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def run(model: onnx.ModelProto, *inputs: Array, **options: Any) -> Array:
    """The output of the compiled model."""
    compiled = compile_model(model, CompileOptions(**options))
    module = wasmgrad.load(compiled.module, "native" if options.get("target") == "native" else "wasmtime")
    output: Array = module(*inputs)
    module.close()
    return output
