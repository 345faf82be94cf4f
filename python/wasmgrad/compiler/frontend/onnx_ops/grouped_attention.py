"""onnxruntime's attention of language models: groups of queries share keys, and a cache holds the earlier ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from ._compose import Operators, dtype_of, extents, microsoft
from ._registry import Node, Value, numpy_dtype
from .fused_attention import heads_of, merged_heads, split_heads

_NAMES = "do_rotary kv_num_heads local_window_size num_heads rotary_interleaved scale softcap"


@microsoft("GroupQueryAttention", f"{_NAMES} smooth_softmax", inputs=11, outputs=3, lacks={11: "head_sink"})
def group_query_attention(node: Node) -> Any:
    """Attention to all keys up to each query's own place; new keys and values go behind those of the cache."""
    if int(node.attribute("smooth_softmax", 0)) > 0:
        node.refuse("the attribute 'smooth_softmax' is not supported")
    op = Operators(node)
    query, key, value = _projections(node, op)
    batch, _, length, _ = extents(query)
    total = int(node.require_constant(6, "the total length").reshape(-1)[0])
    lengths = op.reshape(op.Cast(node.value(5), to=TensorProto.INT64), batch, 1)
    lengths = op.Add(lengths, np.ones((), np.int64))
    start = np.zeros((batch, 1), np.int64) if total == length else op.Sub(lengths, np.array(length))
    places = op.Add(start, np.arange(length).reshape(1, length))  # of the queries: [batch, length]
    if node.attribute("do_rotary", 0):
        turn = places
        if node.has(9):
            turn = node.value(9)
        elif total == length:
            turn = op.Where(op.Less(places, lengths), places, np.ones((), np.int64))
        interleaved = int(node.attribute("rotary_interleaved", 0))
        query, key = (
            op.RotaryEmbedding(x, node.value(7), node.value(8), turn, interleaved=interleaved)
            for x in (query, key)
        )
    key, value = (_cached(node, op, i, new, start, total) for i, new in ((3, key), (4, value)))
    mask = _mask(node, op, places, extents(key)[2], dtype_of(query))
    result = op.Attention(query, key, value, mask, **op.given("scale", "softcap"))
    return [merged_heads(op, result), key, value]


def _projections(node: Node, op: Operators) -> list[Value]:
    """Queries, keys and values [batch, heads, length, size], which may come side by side in one tensor."""
    heads = heads_of(node, "num_heads")
    groups = heads_of(node, "kv_num_heads")
    if node.has(1):
        parts = [node.value(i) for i in range(3)]
    else:
        size = node.shape(0)[2] // (heads + 2 * groups)
        parts = op.cut(node.value(0), [heads * size, groups * size, groups * size])
    return [split_heads(op, part, count) for part, count in zip(parts, (heads, groups, groups), strict=True)]


def _cached(node: Node, op: Operators, i: int, new: Value, start: Value, total: int) -> Value:
    """The cache at input `i`, at least `total` long, with what is new from `start` on."""
    batch, groups, _, size = extents(new)
    past = node.shape(i)[2] if node.has(i) else 0
    parts = [node.value(i)] if past > 0 else []
    if total > past:
        parts.append(np.zeros((batch, groups, total - past, size), numpy_dtype(dtype_of(new))))
    cache = parts[0] if len(parts) == 1 else op.Concat(*parts, axis=2)
    return Operators(node, 24).TensorScatter(cache, new, op.reshape(start, batch))


def _mask(node: Node, op: Operators, places: Value, keys: int, dtype: str) -> Value:
    """What is added to the scores: the bias of input 10 or 0, and -inf for keys that a query does not see."""
    batch, length = extents(places)
    last = op.reshape(places, batch, 1, length, 1)
    each = np.arange(keys, dtype=np.int64).reshape(1, 1, 1, keys)
    seen = op.LessOrEqual(each, last)
    window = int(node.attribute("local_window_size", -1))
    if window > 0:
        seen = op.And(seen, op.Greater(op.Add(each, np.array(window)), last))
    bias = node.value(10) if node.has(10) else np.zeros((), numpy_dtype(dtype))
    if node.has(10) and node.shape(10)[-1] != keys:
        node.refuse(f"an attention bias of shape {node.shape(10)} does not fit {keys} keys")
    return op.Where(seen, bias, np.array(-np.inf, numpy_dtype(dtype)))
