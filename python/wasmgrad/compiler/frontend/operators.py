"""Single operators as models: what `wasmgrad compile-op` compiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper

from ..._errors import InvalidArgument, Unsupported

__all__ = ["operator_names", "single_operator"]

_OPSET = 20
_TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "int8": TensorProto.INT8}
_Model = Callable[[str, Sequence[int], str], onnx.ModelProto]


def operator_names() -> list[str]:
    """The names that `single_operator` knows."""
    return sorted(_OPERATORS)


def single_operator(name: str, shape: Sequence[int], dtype: str) -> onnx.ModelProto:
    """A model of one operator.

    shape: that of each input, but M x K x N for matmul and batch x channels x height x width x filters x kernel for
    conv2d. dtype: float32, int32 or int8; products of int8 are summed in int32.
    Errors: `InvalidArgument` for an unknown name or a shape that does not fit, `Unsupported` for a dtype.
    """
    if name not in _OPERATORS:
        raise InvalidArgument(f"no operator {name!r}; there are {', '.join(operator_names())}")
    if dtype not in _TYPES:
        raise Unsupported(f"operators are compiled for {', '.join(_TYPES)}, not {dtype!r}")
    if not shape or min(shape) < 1 or prod(shape) >= 1 << 31:
        raise InvalidArgument(f"shape: expected positive sizes, not {'x'.join(map(str, shape))}")
    return _OPERATORS[name](name, shape, dtype)


def _model(
    name: str, nodes: Sequence[onnx.NodeProto], inputs: Sequence[Sequence[int]], dtype: str, result: str
) -> onnx.ModelProto:
    values = [
        helper.make_tensor_value_info(letter, _TYPES[dtype], list(shape))
        for letter, shape in zip("abc", inputs, strict=False)
    ]
    output = helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(np.dtype(result)), None)
    graph = helper.make_graph(list(nodes), name, values, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def _elementwise(operator: str, inputs: int) -> _Model:
    def make(name: str, shape: Sequence[int], dtype: str) -> onnx.ModelProto:
        node = helper.make_node(operator, list("ab"[:inputs]), ["y"])
        return _model(name, [node], [shape] * inputs, dtype, dtype)

    return make


def _float_only(operator: str) -> _Model:
    def make(name: str, shape: Sequence[int], dtype: str) -> onnx.ModelProto:
        if dtype != "float32":
            raise Unsupported(f"{name} is defined for float32 only")
        return _elementwise(operator, 1)(name, shape, dtype)

    return make


def _argmax(name: str, shape: Sequence[int], dtype: str) -> onnx.ModelProto:
    """The index of the greatest value along the last axis."""
    node = helper.make_node("ArgMax", ["a"], ["y"], axis=-1, keepdims=0)
    return _model(name, [node], [shape], dtype, "int64")


def _equal_count(name: str, shape: Sequence[int], dtype: str) -> onnx.ModelProto:
    """At how many places two tensors hold the same value: one int64."""
    nodes = [
        helper.make_node("Equal", ["a", "b"], ["same"]),
        helper.make_node("Cast", ["same"], ["ones"], to=TensorProto.INT64),
        helper.make_node("ReduceSum", ["ones"], ["y"], keepdims=0),
    ]
    return _model(name, nodes, [shape] * 2, dtype, "int64")


def _matmul(name: str, shape: Sequence[int], dtype: str) -> onnx.ModelProto:
    if len(shape) != 3:
        raise InvalidArgument(f"{name}: expected a shape MxKxN, not {'x'.join(map(str, shape))}")
    rows, depth, columns = shape
    operator = "MatMulInteger" if dtype == "int8" else "MatMul"
    node = helper.make_node(operator, ["a", "b"], ["y"])
    return _model(
        name, [node], [(rows, depth), (depth, columns)], dtype, "int32" if dtype == "int8" else dtype
    )


def _conv2d(name: str, shape: Sequence[int], dtype: str) -> onnx.ModelProto:
    if len(shape) != 6:
        sizes = "batch x channels x height x width x filters x kernel"
        raise InvalidArgument(f"{name}: expected six sizes, {sizes}, not {'x'.join(map(str, shape))}")
    if dtype == "int32":
        raise Unsupported(f"{name} is defined for float32 and int8")
    batch, channels, height, width, filters, kernel = shape
    operator = "ConvInteger" if dtype == "int8" else "Conv"
    node = helper.make_node(operator, ["a", "b"], ["y"], auto_pad="SAME_UPPER")
    weights = (filters, channels, kernel, kernel)
    result = "int32" if dtype == "int8" else dtype
    return _model(name, [node], [(batch, channels, height, width), weights], dtype, result)


_OPERATORS: dict[str, _Model] = {
    "add": _elementwise("Add", 2),
    "sub": _elementwise("Sub", 2),
    "mul": _elementwise("Mul", 2),
    "relu": _elementwise("Relu", 1),
    "sigmoid": _float_only("Sigmoid"),
    "tanh": _float_only("Tanh"),
    "exp": _float_only("Exp"),
    "gelu": _float_only("Gelu"),
    "softmax": _float_only("Softmax"),
    "argmax": _argmax,
    "equal-count": _equal_count,
    "matmul": _matmul,
    "conv2d": _conv2d,
}
