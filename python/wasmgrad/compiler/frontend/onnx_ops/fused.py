"""What onnxruntime's optimizer fuses and writes as operators of its own: products, activations, normalizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._compose import Operators, microsoft, number
from ._registry import Node, Value, converter

_WINDOW = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
_FUNCTIONS = {
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
    "LeakyRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
}


@microsoft("FusedConv", f"activation activation_params {' '.join(_WINDOW)}", inputs=4)
def fused_conv(node: Node) -> Any:
    """A convolution, plus another tensor, through an activation function."""
    op = Operators(node)
    result = op.Conv(*(node.value(i) for i in range(3)), **op.given(*_WINDOW))
    if node.has(3):
        result = op.Add(result, node.value(3))
    return _activated(node, op, result)


def _activated(node: Node, op: Operators, x: Value) -> Value:
    kind = node.attribute("activation", "")
    parameters = [float(value) for value in node.attribute("activation_params", None) or []]
    if kind == "":
        return x
    if kind == "Clip" and len(parameters) == 2:
        return op.Clip(x, *(number(bound, x) for bound in parameters))
    if kind not in _FUNCTIONS or len(parameters) != len(_FUNCTIONS[kind]):
        node.refuse(f"the activation function {kind!r} with {len(parameters)} parameters is not supported")
    return getattr(op, kind)(x, **dict(zip(_FUNCTIONS[kind], parameters, strict=True)))


_GEMM = ("alpha", "beta", "transA", "transB")
_GEMM_FUNCTIONS = (
    *("Elu", "HardSigmoid", "LeakyRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh"),
    *("ThresholdedRelu", ""),
)
_GEMM_PARAMETERS = ("alpha", "beta", "gamma")


@microsoft(
    "FusedGemm",
    f"activation {' '.join(_GEMM)} {' '.join(f'activation_{name}' for name in _GEMM_PARAMETERS)}",
    inputs=3,
)
def fused_gemm(node: Node) -> Any:
    """A matrix product and sum through an activation function."""
    op, kind = Operators(node), node.attribute("activation", "")
    if kind not in _GEMM_FUNCTIONS:
        node.refuse(f"the activation function {kind!r} is not supported")
    result = op.Gemm(*(node.value(i) for i in range(3)), **op.given(*_GEMM))
    given = op.given(*(f"activation_{name}" for name in _GEMM_PARAMETERS))
    parameters = {name.removeprefix("activation_"): value for name, value in given.items()}
    return getattr(op, kind)(result, **parameters) if kind else result


@microsoft("TransposeMatMul", "alpha transA transB", inputs=2)
@microsoft("FusedMatMul", "alpha transA transB transBatchA transBatchB", inputs=2)
def fused_matmul(node: Node) -> Any:
    """The product alpha · A · B; of either operand the first axis may go behind the batch, or the last two swap."""
    op = Operators(node)
    product = op.MatMul(*(_operand(node, op, i, letter) for i, letter in enumerate("AB")))
    alpha = float(node.attribute("alpha", 1.0))
    return product if alpha == 1 else op.Mul(product, number(alpha, product))


def _operand(node: Node, op: Operators, i: int, letter: str) -> Value:
    rank = node.rank(i)
    axes = list(range(rank))
    if node.attribute(f"transBatch{letter}", 0):
        if rank < 3:
            node.refuse(
                f"transBatch{letter} needs a tensor of three axes or more, not of shape {node.shape(i)}"
            )
        axes = [*axes[1:-1], 0, axes[-1]]
    if node.attribute(f"trans{letter}", 0) and rank > 1:
        axes[-2:] = axes[-1], axes[-2]
    return op.transpose(node.value(i), *axes)


@microsoft("Gelu", inputs=1)
@microsoft("BiasGelu", inputs=2)
def gelu(node: Node) -> Any:
    """Gives x · Φ(x), of a sum where there are two operands."""
    op = Operators(node)
    return op.Gelu(_sum(op, [node.value(i) for i in range(len(node.values))]))


@microsoft("FastGelu", inputs=2)
def fast_gelu(node: Node) -> Any:
    """Gelu by its tanh approximation, of a sum where there are two operands."""
    op = Operators(node)
    return op.Gelu(_sum(op, [node.value(0), node.value(1)]), approximate="tanh")


@microsoft("QuickGelu", "alpha", inputs=1)
def quick_gelu(node: Node) -> Any:
    """Gives x · sigmoid(alpha · x)."""
    op, x = Operators(node), node.value(0)
    alpha = float(node.attribute("alpha", 1.702))
    return op.Mul(x, op.Sigmoid(op.Mul(x, number(alpha, x))))


def _sum(op: Operators, terms: list[Value]) -> Value:
    given = [term for term in terms if term is not None]
    total = given[0]
    for term in given[1:]:
        total = op.Add(total, term)
    return total


@microsoft("SkipLayerNormalization", "epsilon", inputs=5, outputs=4)
def skip_layer_normalization(node: Node) -> Any:
    """LayerNormalization of the sum of input, skip and bias; the sum is the fourth output."""
    op = Operators(node)
    total = _skipped(node, op, 4)
    scale, bias = node.value(2), node.value(3)
    normalized = op.LayerNormalization(total, scale, bias, epsilon=float(node.attribute("epsilon", 1e-12)))
    return [normalized, None, None, total]


@microsoft("SkipSimplifiedLayerNormalization", "epsilon", inputs=4, outputs=4)
def skip_rms_normalization(node: Node) -> Any:
    """RMSNormalization of the sum of input, skip and bias; the sum is the fourth output."""
    op = Operators(node)
    total = _skipped(node, op, 3)
    epsilon = float(node.attribute("epsilon", 1e-12))
    return [op.RMSNormalization(total, node.value(2), epsilon=epsilon), None, None, total]


def _skipped(node: Node, op: Operators, bias: int) -> Value:
    for output in (1, 2):
        if node.wanted(output):
            node.refuse("its outputs mean and inverse deviation are not supported")
    return _sum(op, [node.value(0), node.value(1), node.value(bias)])


@converter("SimplifiedLayerNormalization", fold=False)
@microsoft("SimplifiedLayerNormalization", "axis epsilon stash_type", inputs=2)
def rms_normalization(node: Node) -> Any:
    """RMSNormalization under its first name, which onnxruntime keeps in the standard's domain."""
    op = Operators(node)
    if node.wanted(1):
        node.refuse("its output of the inverse deviation is not supported")
    return op.RMSNormalization(node.value(0), node.value(1), **op.given("axis", "epsilon", "stash_type"))


@microsoft("EmbedLayerNormalization", "epsilon mask_index_type", inputs=9, outputs=3)
def embed_layer_normalization(node: Node) -> Any:
    """LayerNormalization of the sum of the embeddings of words, positions and segments."""
    op, (batch, length) = Operators(node), node.shape(0)
    positions = node.value(8) if node.has(8) else np.arange(length, dtype=np.int64).reshape(1, length)
    terms = [op.Gather(node.value(2), node.value(0)), op.Gather(node.value(3), positions)]
    if node.has(1):
        terms.append(op.Gather(node.value(4), node.value(1)))
    total = _sum(op, terms)
    epsilon = float(node.attribute("epsilon", 1e-12))
    normalized = op.LayerNormalization(total, node.value(5), node.value(6), epsilon=epsilon)
    mask_index: Value = np.zeros(batch, np.int32)
    if node.has(7):
        used = op.Cast(op.Equal(node.value(7), number(1, node.value(7))), to=6)
        mask_index = op.ReduceSum(used, np.array([1], np.int64), keepdims=0)
    return [normalized, mask_index, total]
