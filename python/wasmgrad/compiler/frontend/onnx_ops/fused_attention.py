"""onnxruntime's own attention operators, as the standard's attention with what they add: masks, caches, projections."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from ._compose import Operators, extents, microsoft
from ._registry import Node, Value

__all__ = ["heads_of", "merged_heads", "split_heads"]

_HIDDEN = -10000.0  # what onnxruntime adds to the score of a key that a mask hides, unless told otherwise


def split_heads(op: Operators, x: Value, heads: int) -> Value:
    """[batch, length, heads · size] as [batch, heads, length, size]."""
    batch, length, width = extents(x)
    return op.transpose(op.reshape(x, batch, length, heads, width // heads), 0, 2, 1, 3)


def merged_heads(op: Operators, x: Value) -> Value:
    """[batch, heads, length, size] as [batch, length, heads · size]."""
    batch, heads, length, size = extents(x)
    return op.reshape(op.transpose(x, 0, 2, 1, 3), batch, length, heads * size)


def heads_of(node: Node, name: str, *widths: int) -> int:
    """The number of heads that an attribute names, which has to divide these widths."""
    heads = int(node.attribute(name, 0))
    if heads < 1 or any(width % heads for width in widths):
        node.refuse(f"{name} {heads} does not divide {widths}")
    return heads


def _padding(node: Node, op: Operators, index: int, scores: tuple[int, int, int]) -> Value | None:
    """What the padding mask at input `index` adds to the scores of (batch, queries, keys); None where it is missing."""
    if not node.has(index):
        return None
    (batch, queries, keys), mask, shape = scores, node.value(index), node.shape(index)
    places = np.arange(keys, dtype=np.int32).reshape(1, keys)
    if shape in {(batch, keys), (batch, queries, keys)}:
        seen = op.Greater(mask, np.zeros((), np.int32))
        seen = op.reshape(seen, batch, 1, -1, keys)
    elif shape in {(batch,), (2 * batch,)}:
        end, *start = op.cut(op.reshape(mask, -1, 1), [batch] * (shape[0] // batch), axis=0)
        seen = op.Less(places, end)
        for first in start:
            seen = op.And(seen, op.GreaterOrEqual(places, first))
        seen = op.reshape(seen, batch, 1, 1, keys)
    else:
        node.refuse(f"a mask of shape {shape} for {batch} x {queries} x {keys} scores is not supported")
    hidden = np.float32(node.attribute("mask_filter_value", _HIDDEN))
    return op.Where(seen, np.zeros((), np.float32), np.array(hidden))


def _causal(node: Node, queries: int, keys: int) -> NDArray[np.float32] | None:
    """The lowest number for keys behind each query: also where a mask hides all others, none of them is seen."""
    if not node.attribute("unidirectional", 0):
        return None
    ahead = np.arange(keys) > np.arange(queries).reshape(-1, 1) + keys - queries
    return np.where(ahead, np.finfo(np.float32).min, np.float32(0))


def _attend(
    node: Node, op: Operators, heads: list[Value], past: list[Value | None], padding: int, bias: int | None
) -> list[Value]:
    """The result [batch, length, width] and all keys and values, of query, key and value [batch, heads, length, size].

    padding, bias: the inputs that hold the padding mask and what is added to the scores.
    """
    batch, _, queries, _ = extents(heads[0])
    keys = extents(heads[1])[2] + (0 if past[0] is None else extents(past[0])[2])
    added = [_padding(node, op, padding, (batch, queries, keys)), _causal(node, queries, keys)]
    if bias is not None and node.has(bias):
        added.append(node.value(bias))
    mask = None
    for term in added:
        if term is not None:
            mask = term if mask is None else op.Add(mask, term)
    if mask is not None and len(extents(mask)) == 2:
        mask = op.reshape(mask, 1, 1, *extents(mask))
    result, key, value = op.Attention(*heads, mask, *past, **op.given("scale"), outputs=3)
    return [merged_heads(op, result), key, value]


_ATTENTION = "num_heads unidirectional scale mask_filter_value"


@microsoft(
    "Attention", f"{_ATTENTION} qkv_hidden_sizes do_rotary past_present_share_buffer rotary_embedding_dim",
    inputs=6, outputs=2, lacks={6: "past_sequence_length"},
)  # fmt: skip
def attention(node: Node) -> Any:
    """Attention of a tensor to itself, with the projections to queries, keys and values."""
    _refuse_cache_in_place(node)
    op = Operators(node)
    projected = op.MatMul(node.value(0), node.value(1))
    if node.has(2):
        projected = op.Add(projected, node.value(2))
    return _self_attention(node, op, projected, node.value(4), 3, 5)


def _refuse_cache_in_place(node: Node) -> None:
    for name in ("do_rotary", "past_present_share_buffer", "rotary_embedding_dim"):
        if node.attribute(name, 0):
            node.refuse(f"the attribute {name!r} is not supported")


def _self_attention(
    node: Node, op: Operators, projected: Value, past: Value | None, padding: int, bias: int | None
) -> list[Value]:
    """Of queries, keys and values side by side; earlier keys and values are stacked."""
    width = extents(projected)[-1]
    sizes = [int(size) for size in node.attribute("qkv_hidden_sizes", None) or [width // 3] * 3]
    count = heads_of(node, "num_heads", *sizes)
    heads = [split_heads(op, part, count) for part in op.cut(projected, sizes)]
    earlier: list[Value | None] = [None, None]
    if past is not None:
        earlier = [op.Gather(past, np.array(i, np.int64), axis=0) for i in range(2)]
    result, key, value = _attend(node, op, heads, earlier, padding, bias)
    if not node.wanted(1):
        return [result]
    first = np.array([0], np.int64)
    return [result, op.Concat(op.Unsqueeze(key, first), op.Unsqueeze(value, first), axis=0)]


@microsoft(
    "QAttention", f"{_ATTENTION} do_rotary past_present_share_buffer", inputs=9, outputs=2,
)  # fmt: skip
def quantized_attention(node: Node) -> Any:
    """Attention whose projections are products of 8-bit matrices."""
    _refuse_cache_in_place(node)
    op = Operators(node)
    sums = op.MatMulInteger(node.value(0), node.value(1), node.value(6), node.value(7))
    scale = op.Mul(node.value(3), node.value(4))
    projected = op.Add(op.Mul(op.Cast(sums, to=TensorProto.FLOAT), scale), node.value(2))
    return _self_attention(node, op, projected, node.value(8), 5, None)


@microsoft(
    "MultiHeadAttention", _ATTENTION, inputs=8, outputs=3,
    lacks={8: "past_sequence_length", 9: "cache_indirection"},
)  # fmt: skip
def multi_head_attention(node: Node) -> Any:
    """Attention of projected queries to projected keys and values, or to ones that are divided into heads."""
    op = Operators(node)
    if not node.has(1) or not node.has(2) or node.rank(0) != 3 or node.rank(1) not in {3, 4}:
        node.refuse("queries, keys and values in one tensor are not supported")
    divided = node.rank(1) == 4
    parts = [node.value(i) for i in range(3)]
    if node.has(3):
        width = node.shape(0)[2]
        parts = _biased(op, parts, node.value(3), width, divided)
    count = heads_of(node, "num_heads", *(extents(part)[2] for part in parts if len(extents(part)) == 3))
    heads = [part if len(extents(part)) == 4 else split_heads(op, part, count) for part in parts]
    return _attend(node, op, heads, [node.value(6), node.value(7)], 4, 5)


def _biased(op: Operators, parts: list[Value], bias: Value, width: int, divided: bool) -> list[Value]:
    """Queries, keys and values plus their parts of a vector; only the queries where the others are divided."""
    (whole,) = extents(bias)
    vectors = op.cut(bias, [width, width, whole - 2 * width])
    return [
        part if divided and i > 0 else op.Add(part, vector)
        for i, (part, vector) in enumerate(zip(parts, vectors, strict=True))
    ]


@microsoft("RotaryEmbedding", "interleaved num_heads rotary_embedding_dim scale is_packed_batching", inputs=4)
def rotary_embedding(node: Node) -> Any:
    """Rotates pairs of features; positions are given one by one, or as where the first one stands."""
    if node.attribute("scale", 1.0) != 1.0 or node.attribute("is_packed_batching", 0):
        node.refuse("a scale and packed batches are not supported")
    op, shape = Operators(node), node.shape(0)
    batch, length = shape[0], shape[1] if len(shape) == 3 else shape[2]
    positions = node.value(1)
    if node.shape(1) == (1,):
        positions = op.Add(positions, np.arange(length, dtype=np.int64))
    positions = op.Expand(positions, np.array([batch, length], np.int64))
    return _rotated(node, op, node.value(0), positions, node.value(2), node.value(3))


def _rotated(node: Node, op: Operators, x: Value, positions: Value, cosine: Value, sine: Value) -> Value:
    rotated = int(node.attribute("rotary_embedding_dim", 0))
    heads = int(node.attribute("num_heads", 0))
    if len(extents(x)) == 3 and heads == 0:
        if rotated:
            node.refuse("rotary_embedding_dim needs num_heads")
        heads = extents(x)[2] // (2 * extents(cosine)[1])
    attributes = {"num_heads": heads} if len(extents(x)) == 3 else {}
    interleaved = int(node.attribute("interleaved", 0))
    return op.RotaryEmbedding(
        x, cosine, sine, positions, interleaved=interleaved, rotary_embedding_dim=rotated, **attributes
    )
