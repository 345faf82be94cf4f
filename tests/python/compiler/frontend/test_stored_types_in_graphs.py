"""Where values of the types of 2, 4 and 8 bits may stand in a graph, and where they are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from wasmgrad import Unsupported
from wasmgrad.compiler import CompileOptions, compile_model

from .stored_types import Array, all_numbers, dtype, expected, forms, model_of, node, results

Move = tuple[str, dict[str, Any], Callable[[Array], Array]]

MOVES: dict[str, Move] = {
    "Reshape": ("w shape", {}, lambda a: a.reshape(4, 6)),
    "Flatten": ("w", {"axis": 2}, lambda a: a.reshape(6, 4)),
    "Transpose": ("w", {"perm": [2, 0, 1]}, lambda a: a.transpose(2, 0, 1)),
    "Unsqueeze": ("w zero", {}, lambda a: a[None]),
    "Identity": ("w", {}, lambda a: a),
    "Slice": ("w zero one two", {}, lambda a: a[:, :, :1]),
    "Gather": ("w places", {"axis": 1}, lambda a: a[:, [2, 0]]),
    "Concat": ("w w", {"axis": 1}, lambda a: np.concatenate([a, a], 1)),
    "Pad": ("w pads", {}, lambda a: np.pad(a, ((0, 0), (1, 0), (0, 2)))),
    "Expand": ("w wide", {}, lambda a: np.broadcast_to(a, (2, 2, 3, 4))),
}


@pytest.mark.parametrize("given", ["constant", "computed"])
@pytest.mark.parametrize("kind", ["INT4", "UINT4", "FLOAT8E4M3FN", "FLOAT8E5M2FNUZ"])
def test_stored_values_are_moved(kind: str, given: str) -> None:
    wide = np.resize(all_numbers(kind), (2, 3, 4)).astype(np.float32)
    constants = {
        "shape": np.array([4, 6]), "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]),
        "pads": np.array([0, 1, 0, 0, 0, 2]), "wide": np.array([2, 1, 1, 1]), "c": wide,
    }  # fmt: skip
    feeds = {"x": wide, "places": np.array([2, 0])}
    nodes = [node("Cast", "x" if given == "computed" else "c", "w", to=kind)]
    for name, (inputs, attributes, _) in MOVES.items():
        nodes.append(node(name, inputs, f"moved_{name}", **attributes))
        nodes.append(node("Cast", f"moved_{name}", f"y_{name}", to="FLOAT"))
    nodes += [node("Shape", "w", "y_shape"), node("Add", "x x", "y_x")]
    *moved, shape, _ = results(model_of(nodes, feeds, constants), feeds)
    for result, (name, (_, _, move)) in zip(moved, MOVES.items(), strict=True):
        np.testing.assert_array_equal(result, move(wide), err_msg=name)
    assert shape.tolist() == [2, 3, 4]


def test_all_that_makes_stored_constants_is_read() -> None:
    nodes = [
        helper.make_node("Constant", [], ["a"], value=numpy_helper.from_array(all_numbers("INT4"), "t")),
        node("Cast", "a", "y_a", to="FLOAT"),
        node("Cast", "f", "y_f", to="FLOAT"),
        node("Cast", "g", "y_g", to="FLOAT"),
        node("ConstantOfShape", "two", "b", value=helper.make_tensor("v", TensorProto.UINT4, [1], [9])),
        node("Cast", "b", "y_b", to="FLOAT"),
    ]
    model = model_of(nodes, {}, {"two": np.array([2])})
    model.graph.initializer.append(
        helper.make_tensor("f", TensorProto.INT4, [3], [-8, 7, 3])
    )  # two in a byte
    model.graph.initializer.append(helper.make_tensor("g", TensorProto.FLOAT8E5M2, [3], [1.5, -0.0, 57344.0]))
    wanted = [all_numbers("INT4").astype(np.float32), [-8, 7, 3], [1.5, -0.0, 57344.0], [9, 9]]
    for result, right in zip(results(model, {}), wanted, strict=True):
        np.testing.assert_array_equal(result, right)


def test_an_input_of_a_stored_type_may_be_held_constant() -> None:
    numbers = all_numbers("INT4")
    model = model_of([node("Cast", "w", "y", to="FLOAT")], {"w": numbers}, {})
    compiled = compile_model(model, CompileOptions(constants={"w": numbers}))
    assert [info.name for info in compiled.metadata.inputs] == []


@forms
@pytest.mark.parametrize("kind", ["INT4", "UINT4", "FLOAT8E4M3FN"])
def test_a_product_with_stored_weights_is_onnxruntimes(kind: str, form: str) -> None:
    generator = np.random.default_rng(5)
    numbers = np.resize(all_numbers(kind), (32, 24))
    numbers = np.where(np.isnan(numbers.astype(np.float32)), np.zeros((), numbers.dtype), numbers)
    constants = {
        "w": generator.permuted(numbers.reshape(-1)).reshape(32, 24),
        "scale": (generator.random((24, 2)) / 10).astype(np.float32),
    }
    feeds = {"x": generator.standard_normal((3, 32)).astype(np.float32)}
    nodes = [
        node("Transpose", "w", "turned"),
        node("DequantizeLinear", "turned scale", "real", axis=1, block_size=16),
        node("Transpose", "real", "back"),
        node("MatMul", "x back", "y"),
    ]
    model = model_of(nodes, feeds, constants)
    (result,), (wanted,) = results(model, feeds, form), expected(model, feeds)
    np.testing.assert_allclose(result, wanted, atol=1e-5 * np.abs(wanted).max())


# -- what is refused --------------------------------------------------------------------------------------------------


def _refusal(model: Any) -> str:
    with pytest.raises(Unsupported) as error:
        compile_model(model, CompileOptions())
    return str(error.value)


@pytest.mark.parametrize(
    ("kind", "carrier"), [("INT4", "int8"), ("UINT4", "uint8"), ("FLOAT8E4M3FN", "float32")]
)
def test_inputs_and_outputs_of_stored_types_are_refused(kind: str, carrier: str) -> None:
    numbers, name = all_numbers(kind), dtype(kind).name
    back = model_of([node("Cast", "x", "y", to="FLOAT")], {"x": numbers}, {})
    assert _refusal(back) == (
        f"input 'x': tensors of {name} are only stored, not computed with; let it be of {carrier} and Cast it inside "
        "of the model"
    )
    there = model_of([node("Cast", "x", "y", to=kind)], {"x": np.zeros(3, np.float32)}, {})
    assert _refusal(there) == (
        f"output 'y': tensors of {name} are only stored, not computed with; Cast it to {carrier} inside of the model"
    )


@pytest.mark.parametrize("operator", ["Add", "Equal", "Where", "MatMul", "Max"])
@pytest.mark.parametrize("kind", ["INT4", "FLOAT8E5M2"])
def test_arithmetic_in_stored_types_is_refused(kind: str, operator: str) -> None:
    inputs = "truth w w" if operator == "Where" else "w w"
    nodes = [node(operator, inputs, "a"), node("Cast", "a", "y", to="FLOAT")]
    model = model_of(nodes, {"truth": np.ones((1, 1), bool)}, {"w": all_numbers(kind)[:4].reshape(2, 2)})
    assert _refusal(model) == (
        f"node '{operator}_a' ({operator}, opset 25): tensors of {dtype(kind).name} are only stored, not computed "
        "with; put a Cast or a DequantizeLinear in front of this node"
    )


def test_a_zero_point_of_floats_must_be_zero() -> None:
    weights = all_numbers("FLOAT8E4M3FN")
    constants = {"w": weights, "s": np.float32(1), "z": weights[9]}
    real = model_of([node("DequantizeLinear", "w s z", "y")], {}, constants)
    assert "(DequantizeLinear, opset 25): a zero point of floats must be 0" in _refusal(real)
    few = [node("QuantizeLinear", "x s z", "a"), node("Cast", "a", "y", to="FLOAT")]
    model = model_of(few, {"x": np.zeros(3, np.float32)}, constants)
    assert "(QuantizeLinear, opset 25): a zero point of floats must be 0" in _refusal(model)


def test_a_division_in_another_precision_is_refused() -> None:
    few = node("QuantizeLinear", "x s", "a", output_dtype=TensorProto.INT4, precision=TensorProto.DOUBLE)
    nodes = [few, node("Cast", "a", "y", to="FLOAT")]
    model = model_of(nodes, {"x": np.zeros(3, np.float32)}, {"s": np.float32(1)})
    assert "(QuantizeLinear, opset 25): a division in float64 is not supported" in _refusal(model)
