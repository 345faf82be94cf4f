"""A quantized net gives the same numbers in every build on every engine, which are onnxruntime's up to a step."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import wasmgrad
from onnx import numpy_helper
from wasmgrad.compiler import Compiled, CompileOptions, compile_model

from ..graph.test_javascript import address, page  # noqa: F401
from .quantized_nets import Array, net, quantized, sample

KINDS = [
    ("QDQ", "uint8", "int8", True), ("QDQ", "int8", "int8", True), ("QDQ", "uint8", "uint8", False),
    ("QOperator", "uint8", "int8", True), ("QOperator", "uint8", "uint8", False),
]  # fmt: skip


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: "-".join(map(str, kind)))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    return quantized(net(), tmp_path_factory.mktemp("quantized"), *request.param)


def compiled(model: onnx.ModelProto, **options: Any) -> Compiled:
    return compile_model(model, CompileOptions(**options))


def run(module: Compiled, engine: str, x: Array) -> Array:
    graph = wasmgrad.load(module.module, engine)
    result = np.asarray(graph(x))
    graph.close()
    return result


def step_of(model: onnx.ModelProto) -> float:
    """The scale of the output."""
    last = next(node for node in reversed(model.graph.node) if node.op_type == "DequantizeLinear")
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    return float(numpy_helper.to_array(constants[last.input[1]]))


def test_every_build_and_engine_gives_the_same(model: onnx.ModelProto) -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    x = sample(9)
    right = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})[0]
    plain, relaxed = compiled(model), compiled(model, simd="relaxed")
    first = run(plain, "wasmtime", x)
    assert np.abs(first - right).max() <= 1.001 * step_of(model)
    for module, engine in (
        (plain, "wasmedge"),
        (plain, "node"),
        (relaxed, "wasmtime"),
        (relaxed, "wasmedge"),
    ):
        np.testing.assert_array_equal(run(module, engine, x), first, err_msg=engine)
    for build, engine in (({"simd": "off"}, "wasmtime"), ({"target": "native"}, "native")):
        np.testing.assert_array_equal(run(compiled(model, **build), engine, x), first, err_msg=str(build))


def test_a_browser_gives_the_same(model: onnx.ModelProto, page: Any, address: str) -> None:  # noqa: F811
    """V8 multiplies bytes as the processor does best, which the module finds out."""
    relaxed, x = compiled(model, simd="relaxed"), sample(9)
    page.open(address)
    script = """async (module, values) => {
      const { loadGraph } = await import("../host/graph.js");
      const bytes = Uint8Array.from(atob(module), (letter) => letter.charCodeAt(0));
      const graph = await loadGraph(bytes);
      return [...Object.values(graph.run({ x: Float32Array.from(values) }))[0]];
    }"""
    result = page.evaluate(script, base64.b64encode(relaxed.module).decode(), x.reshape(-1).tolist())
    np.testing.assert_array_equal(np.float32(result).reshape(2, 10), run(relaxed, "wasmtime", x))


def test_a_quantized_module_is_smaller(model: onnx.ModelProto) -> None:
    for options in ({}, {"simd": "relaxed"}):
        whole = compiled(net(), **options)
        small = compiled(model, **options)
        assert len(small.module) <= len(whole.module)
        assert len(small.all_weights) <= 0.6 * len(whole.all_weights)
