"""onnxruntime's LSTM of 8-bit weights, whose inputs and hidden states are quantized by their own ranges as it runs."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto, helper

from ._compose import Operators, microsoft
from ._registry import Node, Value
from .recurrent import lstm_layer

_LAYER = (
    "activation_alpha",
    "activation_beta",
    "activations",
    "clip",
    "direction",
    "hidden_size",
    "input_forget",
)


@microsoft("DynamicQuantizeLSTM", " ".join(_LAYER), inputs=12, outputs=3)
def dynamic_quantize_lstm(node: Node) -> Any:
    """The standard's LSTM on what is left of its operands when they have 8 bits."""
    op = Operators(node)
    values = [_rounded(op, node.value(0)), _weights(node, op, 1, 8), _weights(node, op, 2, 10)]
    values += [node.value(i) for i in range(3, 8)]
    names = [f"{place}" if value is not None else "" for place, value in enumerate(values)]
    proto = helper.make_node("LSTM", names, list(node.proto.output), name=node.name, **op.given(*_LAYER))
    layer = Node(proto, 14, values, node.graphs, within=node)
    return lstm_layer(layer, lambda hidden: _rounded(op, node.emit(hidden)))


def _rounded(op: Operators, x: Value) -> Value:
    """What an 8-bit quantization by its own range leaves of a tensor."""
    return op.DequantizeLinear(*op.DynamicQuantizeLinear(x, outputs=3))


def _weights(node: Node, op: Operators, i: int, scale: int) -> Value:
    """Weights [directions, inputs, gates] with a scale and zero point per direction, and maybe per gate, transposed."""
    directions = node.shape(i)[0]
    steps = op.Cast(node.value(i), to=TensorProto.FLOAT)
    if node.has(scale + 1):
        zero = op.reshape(node.value(scale + 1), directions, 1, -1)
        steps = op.Sub(steps, op.Cast(zero, to=TensorProto.FLOAT))
    return op.transpose(op.Mul(steps, op.reshape(node.value(scale), directions, 1, -1)), 0, 2, 1)
