"""Models that multiply in float16 compute in float32, keep the types at their ends, and round where they cast."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import wasmgrad
from onnx import TensorProto, helper, numpy_helper
from wasmgrad.compiler import CompileOptions, compile_model
from wasmgrad.compiler.frontend.widen import widened

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def model_of(nodes: list[Any], outputs: dict[str, int], weights: dict[str, Any]) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", HALF, [2, 8])
    infos = [helper.make_tensor_value_info(name, dtype, [2, 8]) for name, dtype in outputs.items()]
    arrays = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "net", [x], infos, arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def random(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float16)


def run(model: onnx.ModelProto, x: Any) -> Any:
    graph = wasmgrad.load(compile_model(model, CompileOptions()).module)
    result = graph(x)
    graph.close()
    return result


def branch(name: str, node: Any) -> onnx.GraphProto:
    return helper.make_graph([node], name, [], [helper.make_tensor_value_info(node.output[0], HALF, [2, 8])])


def test_products_are_summed_and_kept_in_float32() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "large"], ["b"]),
        helper.make_node("Sub", ["b", "large"], ["y"]),
    ]
    w, large, x = random(1, 8, 8), np.float16([2048]), random(2, 2, 8)
    model = model_of(nodes, {"y": HALF}, {"w": w, "large": large})
    found = run(model, x)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, x.astype(np.float64) @ w.astype(np.float64), atol=2e-3)


def test_a_cast_of_the_model_rounds() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Cast", ["a"], ["wide"], to=FLOAT),
        helper.make_node("Add", ["wide", "large"], ["b"]),
        helper.make_node("Cast", ["b"], ["narrow"], to=HALF),
        helper.make_node("Cast", ["narrow"], ["y"], to=FLOAT),
    ]
    w, large, x = random(1, 8, 8), np.float32([4096]), random(2, 2, 8)
    model = model_of(nodes, {"y": FLOAT}, {"w": w, "large": large})
    exact = x.astype(np.float64) @ w.astype(np.float64) + 4096
    np.testing.assert_array_equal(run(model, x), exact.astype(np.float16).astype(np.float32))


def test_branches_read_what_is_outside() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node(
            "If",
            ["choice"],
            ["y"],
            then_branch=branch("then", helper.make_node("Add", ["a", "x"], ["sum"])),
            else_branch=branch("else", helper.make_node("Sub", ["a", "x"], ["x_less"])),
        ),
    ]
    w, x = random(1, 8, 8), random(2, 2, 8)
    for choice in (True, False):
        model = model_of(nodes, {"y": HALF}, {"w": w, "choice": np.array(choice)})
        product = x.astype(np.float64) @ w.astype(np.float64)
        np.testing.assert_allclose(run(model, x), product + x if choice else product - x, atol=5e-3)


def test_what_does_not_multiply_stays() -> None:
    model = model_of([helper.make_node("Add", ["x", "x"], ["y"])], {"y": HALF}, {})
    assert widened(model) is model


def test_bits_that_are_asked_for_stay() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("CastLike", ["a", "x"], ["y"]),
    ]
    model = model_of(nodes, {"y": HALF}, {"w": random(1, 8, 8)})
    assert widened(model) is model
