"""A module stores every weight once, in as few bits as the model does, and gives the same numbers on every engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import wasmgrad
import wasmtime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from wasmgrad.compiler import Compiled, CompileOptions, compile_model

Array = NDArray[Any]
VOCABULARY, WIDTH = 300, 48


def weights(seed: int, *shape: int) -> Array:
    values = np.random.default_rng(seed).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)


def model_of(
    nodes: list[Any], inputs: list[Any], outputs: list[Any], arrays: dict[str, Array]
) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "net", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def pictures() -> onnx.ModelProto:
    """Convolutions by Winograd's tiles of both sizes, by columns, each channel for itself, and a product."""
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["a"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["ar"]),
        helper.make_node("Conv", ["ar", "w1", "b1"], ["b"], pads=[1] * 4),
        helper.make_node("Relu", ["b"], ["br"]),
        helper.make_node("Conv", ["br", "w2"], ["c"], pads=[1] * 4, group=64),
        helper.make_node("Add", ["br", "c"], ["d"]),
        helper.make_node("Conv", ["d", "w3", "b3"], ["e"], strides=[4, 4]),
        helper.make_node("Conv", ["e", "w4"], ["f"], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["f"], ["g"]),
        helper.make_node("Flatten", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "w5", "b5"], ["y"], transB=1),
    ]
    arrays = {
        "w0": weights(0, 16, 3, 3, 3), "b0": weights(1, 16), "w1": weights(2, 64, 16, 3, 3), "b1": weights(3, 64),
        "w2": weights(4, 64, 1, 3, 3), "w3": weights(5, 128, 64, 1, 1), "b3": weights(6, 128),
        "w4": weights(7, 96, 128, 3, 3), "w5": weights(8, 104, 96), "b5": weights(9, 104),
    }  # fmt: skip
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 56, 56])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 104])
    return model_of(nodes, [x], [y], arrays)


def tied() -> onnx.ModelProto:
    """An embedding whose rows are also the columns of the last product."""
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["a"]),
        helper.make_node("MatMul", ["a", "up"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "down"], ["d"]),
        helper.make_node("Add", ["a", "d"], ["e"]),
        helper.make_node("Transpose", ["table"], ["columns"], perm=[1, 0]),
        helper.make_node("MatMul", ["e", "columns"], ["y"]),
    ]
    arrays = {
        "table": weights(1, VOCABULARY, WIDTH),
        "up": weights(2, WIDTH, 4 * WIDTH),
        "down": weights(3, 4 * WIDTH, WIDTH),
    }
    x = helper.make_tensor_value_info("x", TensorProto.INT64, [1, 7])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 7, VOCABULARY])
    return model_of(nodes, [x], [y], arrays)


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {"pictures": pictures, "tied": tied}
# Of the bytes of float32: what is quantized, and what is not.
KINDS: dict[str | None, float] = {None: 1.0, "float16": 0.5, "weights-int8": 0.25}
_OVERHEAD = 8000  # descriptors of calls, scales, small weights that stay as they are, ends of 64 bytes


def sample(name: str) -> Array:
    rng = np.random.default_rng(5)
    if name == "tied":
        return rng.integers(0, VOCABULARY, (1, 7))
    return rng.standard_normal((1, 3, 56, 56), np.float32)


def right(compiled: Compiled, x: Array) -> Array:
    """What onnxruntime makes of the quantized model, in floats."""
    return np.asarray(compiled.source.reference.outputs({"x": x})[0])


def run(compiled: Compiled, path: Path, engine: str, x: Array) -> Array:
    compiled.save(path)
    graph = wasmgrad.load(path, engine)
    first = np.asarray(graph(x))
    np.testing.assert_array_equal(np.asarray(graph(x)), first)
    graph.close()
    return first


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_weights_take_the_bytes_that_the_model_has(name: str, kind: Any) -> None:
    model = MODELS[name]()
    compiled = compile_model(model, CompileOptions(quantize=kind))
    floats = sum(4 * int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    assert compiled.metadata.weights.bytes <= KINDS[kind] * floats + _OVERHEAD
    assert len(compiled.all_weights) == compiled.metadata.weights.bytes


@pytest.mark.parametrize("kind", ["float16", "weights-int8", "weights-int4", "dynamic"])
@pytest.mark.parametrize("name", MODELS)
def test_no_quantized_module_is_larger(name: str, kind: Any) -> None:
    whole, small = (compile_model(MODELS[name](), CompileOptions(quantize=each)) for each in (None, kind))
    assert len(small.module) < len(whole.module)


@pytest.mark.parametrize("kind", [*KINDS, "weights-int4"])
@pytest.mark.parametrize("name", MODELS)
def test_every_engine_gives_what_the_stored_model_does(name: str, kind: Any, tmp_path: Path) -> None:
    x = sample(name)
    modules = {
        where: compile_model(MODELS[name](), CompileOptions(quantize=kind, weights=where))  # type: ignore[arg-type]
        for where in ("embed", "file")
    }
    expected = right(modules["embed"], x)
    results = [
        run(modules[where], tmp_path / f"{where}.wasm", engine, x)
        for where in ("embed", "file")
        for engine in ("wasmtime", "wasmedge", "node")
    ]
    for each in results:
        np.testing.assert_array_equal(each, results[0])
    native = compile_model(MODELS[name](), CompileOptions(quantize=kind, target="native"))
    results.append(run(native, tmp_path / "native.so", "native", x))
    # onnxruntime may round products of float16 where the module does not.
    tolerance = (2e-2 if kind == "float16" else 1e-4) * np.ptp(expected)
    for each in (results[0], results[-1]):
        assert np.abs(each - expected).max() <= tolerance


class Bare:
    """A host that knows the exports of the first graph modules only."""

    def __init__(self, module: bytes) -> None:
        self.store = wasmtime.Store()
        instance = wasmtime.Instance(self.store, wasmtime.Module(self.store.engine, module), [])
        self.exports: Any = instance.exports(self.store)

    def call(self, name: str, *arguments: int) -> Any:
        return self.exports[name](self.store, *arguments)

    def write(self, data: bytes, address: int) -> None:
        self.exports["memory"].write(self.store, data, address)

    def output(self, size: int) -> Array:
        address = self.call("graph_output", 0)
        return np.frombuffer(self.exports["memory"].read(self.store, address, address + size), np.float32)


@pytest.mark.parametrize("first", ["graph_run", "graph_call"])
def test_weights_in_a_file_are_loaded_by_the_first_run(first: str) -> None:
    x = sample("pictures")
    options = CompileOptions(quantize="weights-int8", weights="file")
    compiled = compile_model(pictures(), options)
    assert compiled.weights is not None
    host = Bare(compiled.module)
    host.call("_initialize")
    host.write(x.tobytes(), host.call("graph_input", 0))  # before the weights, which must not touch it
    host.write(compiled.weights, host.call("graph_weights"))
    if first == "graph_call":
        assert [host.call("graph_call", index) for index in range(len(compiled.metadata.plan))]
    else:
        assert host.call("graph_run") == 0
    expected = right(compiled, x)
    assert np.abs(host.output(expected.nbytes) - expected).max() <= 1e-4 * np.ptp(expected)
    assert host.call("graph_weights") == 0  # other weights could not take their place
