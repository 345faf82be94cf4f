"""Models whose weights alone are of few bits, and models of float16: what is computed stays in floats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .prepare import PER_CHANNEL, quiet, with_opset

__all__ = ["float16", "refuses_float16", "weights_int4", "weights_int8"]


_FEWEST = 1024  # elements of a weight that is worth a scale for each of its channels
_BLOCK = 32  # weights of 4 bits that share a scale
# Operator -> its weights: of each, the input and the axis that has a scale for each index.
_WEIGHTS: dict[str, tuple[tuple[int, int], ...]] = {
    "Conv": ((1, 0),),
    "ConvTranspose": ((1, 1),),
    "Gather": ((0, 0),),
    "Gemm": ((1, 1),),
    "GRU": ((1, 1), (2, 1)),
    "LSTM": ((1, 1), (2, 1)),
    "MatMul": ((1, -1),),
    "RNN": ((1, 1), (2, 1)),
}


def weights_int8(model: onnx.ModelProto, excluded: Collection[str]) -> onnx.ModelProto:
    """Weights of int8 with a scale for each channel, each turned back to float32 by a DequantizeLinear.

    `excluded` are names of nodes whose weights stay; those of fewer than 1024 elements do, too.
    """
    result = onnx.ModelProto()
    result.CopyFrom(with_opset(model, PER_CHANNEL))
    graph = result.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    made: dict[tuple[str, int], list[onnx.NodeProto | onnx.TensorProto]] = {}
    for node in graph.node:
        for index, usual in () if node.name in excluded else _WEIGHTS.get(node.op_type, ()):
            tensor = tensors.get(node.input[index]) if index < len(node.input) else None
            if tensor is None or tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _FEWEST:
                continue
            axis = _axis(node, usual, len(tensor.dims))
            key = (tensor.name, axis)
            if key not in made:
                made[key] = _stored_as_int8(tensor, axis)
            node.input[index] = f"{tensor.name}_{axis}_dequantized"
    nodes = [*(parts[0] for parts in made.values()), *graph.node]
    graph.initializer.extend(part for parts in made.values() for part in parts[1:])
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused(graph)
    return result


def _axis(node: onnx.NodeProto, axis: int, rank: int) -> int:
    """The axis of the channels of a weight; a transposed one of Gemm has them first."""
    transposed = any(each.name == "transB" and each.i for each in node.attribute)
    return 0 if transposed else axis % rank


def _stored_as_int8(tensor: onnx.TensorProto, axis: int) -> list[Any]:
    """The node that makes the weight, and its three initializers.

    The zero points could be left out, but onnxruntime then adds one where it turns int8 into uint8, and fails on it.
    """
    values, scales = _rounded(numpy_helper.to_array(tensor), axis)
    name = f"{tensor.name}_{axis}"
    node = helper.make_node(
        "DequantizeLinear",
        [f"{name}_int8", f"{name}_scales", f"{name}_zeros"],
        [f"{name}_dequantized"],
        f"{name}_dequantize",
        axis=axis,
    )
    return [
        node,
        numpy_helper.from_array(values, f"{name}_int8"),
        numpy_helper.from_array(scales, f"{name}_scales"),
        numpy_helper.from_array(np.zeros(len(scales), np.int8), f"{name}_zeros"),
    ]


def _rounded(weight: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """int8 of the weight's shape and float32 of its axis, so that their product is the weight's nearest."""
    others = tuple(other for other in range(weight.ndim) if other != axis)
    largest = np.abs(weight).max(others, keepdims=True)
    scales = np.where(largest > 0, largest / np.float32(127), np.float32(1)).astype(np.float32)
    values = np.clip(np.rint(weight / scales), -127, 127).astype(np.int8)
    return values, scales.reshape(-1)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Leaves out initializers that nothing reads, here or in a subgraph."""
    used: Counter[str] = Counter(info.name for info in graph.output)
    nodes = list(graph.node)
    while nodes:
        node = nodes.pop()
        used.update(node.input)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                nodes.extend(inner.node)
                used.update(info.name for info in inner.output)
    left = [tensor for tensor in graph.initializer if used[tensor.name]]
    del graph.initializer[:]
    graph.initializer.extend(left)


def weights_int4(model: onnx.ModelProto, excluded: Collection[str]) -> onnx.ModelProto:
    """Matrices of products by 4-bit integers, blocks of 32 of which share a scale and a zero point, as MatMulNBits.

    Errors: onnxruntime's own.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.quantization.onnx_model import ONNXModel

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with quiet():
        holder = ONNXModel(copy)
        holder.replace_gemm_with_matmul()
        quantizer = MatMulNBitsQuantizer(
            holder.model, block_size=_BLOCK, is_symmetric=False, nodes_to_exclude=sorted(excluded)
        )
        quantizer.process()
    result: onnx.ModelProto = quantizer.model.model
    return result


def float16(model: onnx.ModelProto, excluded: Collection[str]) -> onnx.ModelProto:
    """Numbers of float16 but for inputs, outputs and operators that lose too much. Errors: onnxruntime's own."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with quiet():
        converted: onnx.ModelProto = convert_float_to_float16(
            copy, keep_io_types=True, node_block_list=sorted(excluded)
        )
    return converted


def refuses_float16(operator: str) -> bool:
    """Whether `float16` leaves nodes of this operator in float32."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST

    return operator in DEFAULT_OP_BLOCK_LIST
