"""Evaluates nodes whose inputs are all constants while a model is imported."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from .._casts import converted, is_special
from .onnx_ops._dequantized import Dequantized
from .onnx_ops._registry import CARRIERS, DTYPES, Node, Stored, dtype_name, find_converter, numpy_dtype
from .onnx_ops._stored import stored

__all__ = ["fold"]

# A node whose outputs would be larger than this, and larger than what it reads times `_GROWTH`, is left to run time:
# else an Expand of one number to a picture would become weights.
_SMALL_ELEMENTS = 1 << 16
_GROWTH = 8
# Operators that only move elements, and so may move NaN and infinities.
_MOVES = frozenset(
    (
        *(
            "Concat",
            "Expand",
            "Flatten",
            "Gather",
            "GatherElements",
            "GatherND",
            "Identity",
            "Pad",
            "Reshape",
        ),
        *("Slice", "Split", "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where", "ConstantOfShape"),
    )
)


# What the outputs of a node are: constants, also in carriers of their types.
Constants = list[NDArray[Any] | Stored | None]


def fold(node: Node) -> Constants | None:
    """The node's outputs, `None` when it is not a matter of constants or ONNX cannot evaluate it.

    Shapes are static, so `Shape` and `Size` are always a matter of constants.
    """
    if node.domain == "" and node.op == "Shape":
        start, end = node.attribute("start", 0), node.attribute("end", None)
        return [np.array(node.shape(0)[start:end], np.int64)]
    if node.domain == "" and node.op == "Size":
        return [np.array(prod(node.shape(0)), np.int64)]
    if node.domain == "" and node.op == "Constant":
        return _constant(node)
    if not node.values or not all(value is None or isinstance(value, np.ndarray) for value in node.values):
        return None
    if any(attribute.HasField("g") for attribute in node.proto.attribute):
        return None
    if node.domain == "" and node.op in ("Cast", "CastLike") and (cast := _cast(node)) is not None:
        return [cast]
    if node.domain == "" and node.op == "Cast" and dtype_name(node.attribute("to")) in CARRIERS:
        return None  # only the converter rounds to these as it should
    if node.domain == "" and node.op == "Transpose" and isinstance(dequantized := node.value(0), Dequantized):
        return [dequantized.transposed(node.attribute("perm", None))]
    return None if _grows(node) or _is_left_to_kernels(node) else _evaluate(node)


def _cast(node: Node) -> NDArray[Any] | None:
    """The constant in the type that it is cast to; None where that type or its own is none of run time."""
    target = node.dtype(1) if node.op == "CastLike" else dtype_name(node.attribute("to"))
    if node.dtype(0) not in DTYPES or target not in DTYPES:
        return None
    return converted(node.value(0), numpy_dtype(target))


def _is_left_to_kernels(node: Node) -> bool:
    """Whether NaN or infinities would be computed with: the kernels define what comes of them, ONNX does not."""
    if node.domain == "" and node.op in _MOVES:
        return False
    special = any(value is not None and is_special(value) for value in node.values)
    return special and find_converter(node.domain, node.op, node.opset) is not None


def _constant(node: Node) -> Constants:
    for attribute in node.proto.attribute:
        value = helper.get_attribute_value(attribute)
        match attribute.name:
            case "value":
                return [stored(numpy_helper.to_array(value))]
            case "value_float" | "value_floats":
                return [np.array(value, np.float32)]
            case "value_int" | "value_ints":
                return [np.array(value, np.int64)]
            case "value_string" | "value_strings":
                return [np.array(value, object)]
    return node.refuse("it has no dense value")


def _types(node: Node) -> dict[str, onnx.TypeProto]:
    return {
        name: helper.make_tensor_type_proto(_elem_type(value), value.shape)
        for name, value in zip(node.proto.input, node.values, strict=False)
        if value is not None
    }


def _elem_type(value: NDArray[Any]) -> int:
    if value.dtype.kind in "OSU":
        return onnx.TensorProto.STRING
    return helper.np_dtype_to_tensor_dtype(value.dtype)


def _grows(node: Node) -> bool:
    """Whether the outputs would be too large for constants, or cannot be told."""
    if not defs.has(node.op, node.opset, node.domain):
        return True
    schema = defs.get_schema(node.op, node.opset, node.domain)
    data = {
        name: numpy_helper.from_array(value)
        for name, value in zip(node.proto.input, node.values, strict=False)
        if value is not None and value.size <= 64
    }
    opsets = [helper.make_opsetid(node.domain, node.opset)]
    try:
        inferred = shape_inference.infer_node_outputs(
            schema, node.proto, _types(node), data, opset_imports=opsets
        )
    except onnx.shape_inference.InferenceError:
        return True  # the converters have a better sentence for what is wrong with it
    largest = max(
        (prod(dim.dim_value for dim in output.tensor_type.shape.dim) for output in inferred.values()),
        default=0,
    )
    read = sum(value.size for value in node.values if value is not None)
    return bool(largest > max(_SMALL_ELEMENTS, _GROWTH * read))


def _evaluate(node: Node) -> Constants | None:
    types = _types(node)
    inputs = [helper.make_value_info(name, type_proto) for name, type_proto in types.items()]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.proto.output if name]
    graph = helper.make_graph([node.proto], "constant", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, node.opset)])
    values = {
        name: value for name, value in zip(node.proto.input, node.values, strict=False) if value is not None
    }
    try:
        with np.errstate(all="ignore"):
            results: Any = ReferenceEvaluator(model).run(None, values)
    except Exception:  # whatever the reference lacks is left to the converters
        return None
    if not all(isinstance(result, (np.ndarray, np.generic)) for result in results):
        return None  # a sequence
    by_name = dict(zip((name for name in node.proto.output if name), results, strict=True))
    return [stored(np.asarray(by_name[name])) if name else None for name in node.proto.output]
