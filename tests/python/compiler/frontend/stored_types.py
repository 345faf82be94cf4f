"""Models of the types that values are only stored in, of 2, 4 and 8 bits, and what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import wasmgrad
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from wasmgrad.compiler import CompileOptions, compile_model

Array = NDArray[Any]
Part = tuple[list[onnx.NodeProto], dict[str, Any]]

INTEGERS = {"INT4": (-8, 7), "UINT4": (0, 15), "INT2": (-2, 1), "UINT2": (0, 3)}
"""The lowest and the highest number."""
FLOATS = {"FLOAT8E4M3FN": 448.0, "FLOAT8E4M3FNUZ": 240.0, "FLOAT8E5M2": 57344.0, "FLOAT8E5M2FNUZ": 57344.0}
"""The largest number."""
FORMS = {
    "wasm -O0": CompileOptions(opt_level=0),
    "wasm -O3": CompileOptions(opt_level=3),
    "native -O3": CompileOptions(opt_level=3, target="native"),
}
forms = pytest.mark.parametrize("form", FORMS)


def elem_type(kind: str) -> int:
    return int(getattr(TensorProto, kind))


def dtype(kind: str) -> np.dtype[Any]:
    return helper.tensor_dtype_to_np_dtype(elem_type(kind))


def all_numbers(kind: str) -> Array:
    """Every number of the type, from its bits; at least 32 of them."""
    if kind in FLOATS:
        return np.arange(256, dtype=np.uint8).view(dtype(kind))
    low, high = INTEGERS[kind]
    return np.resize(np.arange(low, high + 1, dtype=np.int8), 32).astype(dtype(kind))


def node(operator: str, inputs: str, output: str, /, **attributes: Any) -> onnx.NodeProto:
    """A node; `to` may name a type."""
    if isinstance(attributes.get("to"), str):
        attributes["to"] = elem_type(attributes["to"])
    return helper.make_node(operator, inputs.split(), [output], name=f"{operator}_{output}", **attributes)


def model_of(
    nodes: Sequence[onnx.NodeProto], feeds: Mapping[str, Array], constants: Mapping[str, Any]
) -> Any:
    """Every value whose name begins with y is an output."""
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    names = [name for each in nodes for name in each.output if name.startswith("y")]
    outputs = [helper.make_empty_tensor_value_info(name) for name in names]
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(list(nodes), "stored", infos, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=11)
    return onnx.shape_inference.infer_shapes(model)


def side_by_side(
    parts: Mapping[str, Part], feeds: dict[str, Array]
) -> tuple[list[onnx.NodeProto], dict[str, Array], dict[str, Any]]:
    """Nodes and constants of several models as those of one, by which the names end; a module for each takes long."""
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, Any] = {}
    for label, (part, own) in parts.items():
        for each in part:
            each.input[:] = [name if name in feeds else f"{name}_{label}" for name in each.input]
            each.output[:] = [f"{name}_{label}" for name in each.output]
            each.name = f"{each.name}_{label}"
            nodes.append(each)
        constants |= {f"{name}_{label}": value for name, value in own.items()}
    return nodes, feeds, constants


def expected(model: Any, feeds: Mapping[str, Array]) -> list[Array]:
    """What onnxruntime makes of the model, node by node."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return [np.asarray(result) for result in session.run(None, dict(feeds))]


def results(model: Any, feeds: Mapping[str, Array], form: str = "wasm -O3") -> list[Array]:
    """What the compiled model makes of it."""
    options = FORMS[form]
    engine = "native" if options.target == "native" else "wasmtime"
    found = wasmgrad.load(compile_model(model, options).module, engine)(**feeds)
    return list(found) if isinstance(found, tuple) else [found]


def assert_same(got: Sequence[Array], wanted: Sequence[Array], names: Sequence[str]) -> None:
    """The same numbers of the same types, zeros of the same sign."""
    for a, b, name in zip(got, wanted, names, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), name
        same = ((a == b) & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b))
        assert same.all(), f"{name}: {a[~same][:5]} instead of {b[~same][:5]}"


def compare(
    nodes: Sequence[onnx.NodeProto], feeds: Mapping[str, Array], constants: Mapping[str, Any], form: str
) -> None:
    """Holds the compiled model to what onnxruntime gives."""
    model = model_of(nodes, feeds, constants)
    names = [info.name for info in model.graph.output]
    assert_same(results(model, feeds, form), expected(model, feeds), names)
