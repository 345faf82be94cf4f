"""Models that multiply in float16 as models of float32: what is stored, read and returned stays float16.

No processor that runs a module computes in float16; one that rounds every result to it takes many times as long for
numbers that are less exact. Where the model itself casts to float16, it rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["widened"]

_PRODUCTS = frozenset(
    ("Attention", "Conv", "ConvTranspose", "Einsum", "Gemm", "GRU", "LSTM", "MatMul", "MatMulNBits", "RNN")
)
# Operators that tell the type of their result by that of another tensor, or by its bits.
_BY_TYPE = frozenset(("BitCast", "CastLike"))
_TYPE_ATTRIBUTES = frozenset(("dtype", "output_dtype", "output_datatype"))
_SUFFIX = "_float32"


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with float32 in place of float16 inside; itself where that does not apply."""
    if not _has_float16(model) or not _can_be_widened(model):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    inputs = [info.name for info in graph.input if _is_float16(info)]
    outputs = [info.name for info in graph.output if _is_float16(info)]
    _rename(graph, {name: name + _SUFFIX for name in (*inputs, *outputs)})
    _widen_graph(graph)
    for function in result.functions:
        _widen_nodes(function.node)
    before = [_cast(name, name + _SUFFIX, TensorProto.FLOAT) for name in inputs]
    after = [_cast(name + _SUFFIX, name, TensorProto.FLOAT16) for name in outputs]
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def _has_float16(model: onnx.ModelProto) -> bool:
    """Whether a weight, an input or a cast is of float16."""
    return (
        any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)
        or any(_is_float16(info) for info in model.graph.input)
        or any(node.op_type == "Cast" and _casts_to_float16(node) for node in model.graph.node)
    )


def _can_be_widened(model: onnx.ModelProto) -> bool:
    nodes = [*_all_nodes(model)]
    kinds = {node.op_type for node in nodes}
    names = {name for node in nodes for name in node.output}
    ends = {info.name for info in model.graph.output}
    taken = any(
        name.endswith(_SUFFIX) for name in (*names, *(tensor.name for tensor in model.graph.initializer))
    )
    return bool(kinds & _PRODUCTS) and not kinds & _BY_TYPE and ends <= names and not taken


def _all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    left = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while left:
        node = left.pop()
        yield node
        for graph in _graphs(node):
            left.extend(graph.node)


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g


def _is_float16(info: onnx.ValueInfoProto) -> bool:
    return bool(info.type.tensor_type.elem_type == TensorProto.FLOAT16)


def _casts_to_float16(node: onnx.NodeProto) -> bool:
    return any(each.name == "to" and each.i == TensorProto.FLOAT16 for each in node.attribute)


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], f"{target}_cast", to=to)


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Gives values that nodes read and write other names, here and in subgraphs, whose own names hide those outside."""
    for node in graph.node:
        for side in (node.input, node.output):
            side[:] = [names.get(name, name) for name in side]
        for inner in _graphs(node):
            own = {info.name for info in (*inner.input, *inner.initializer)}
            own.update(name for each in inner.node for name in each.output)
            _rename(inner, {name: new for name, new in names.items() if name not in own})
            for info in inner.output:  # of a value from outside
                info.name = info.name if info.name in own else names.get(info.name, info.name)


def _widen_graph(graph: onnx.GraphProto, *, is_main: bool = True) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    del graph.value_info[:]  # which says nothing that is not inferred
    for info in () if is_main else (*graph.input, *graph.output):
        _widen_type(info.type)
    _widen_nodes(graph.node)


def _widen_nodes(nodes: Any) -> None:
    result = []
    for node in nodes:
        if node.op_type == "Cast" and node.domain in ("", "ai.onnx") and _casts_to_float16(node):
            rounded = f"{node.output[0]}_float16"
            result += [_cast(node.input[0], rounded, TensorProto.FLOAT16)]
            result += [_cast(rounded, node.output[0], TensorProto.FLOAT)]
            continue
        for attribute in node.attribute:
            if attribute.name in _TYPE_ATTRIBUTES and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
            if attribute.HasField("t"):
                _widen_tensor(attribute.t)
        for graph in _graphs(node):
            _widen_graph(graph, is_main=False)
        result.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in result]
    del nodes[:]
    nodes.extend(copies)


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        wide = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))


def _widen_type(kind: onnx.TypeProto) -> None:
    which = kind.WhichOneof("value")
    if which in ("sequence_type", "optional_type"):
        _widen_type(getattr(kind, which).elem_type)
    elif which == "tensor_type" and kind.tensor_type.elem_type == TensorProto.FLOAT16:
        kind.tensor_type.elem_type = TensorProto.FLOAT
