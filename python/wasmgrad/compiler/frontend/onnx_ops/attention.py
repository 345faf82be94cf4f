"""Attention, RotaryEmbedding and TensorScatter.

Everything up to the scores' softmax is computed in float32; matrix products stay canonical Relax operators.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax, te, tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ._nn import cast, scalar, wide
from ._registry import Node, converter, dtype_name, literal
from .looped import looped


@dataclass(frozen=True)
class _Scores:
    """Sizes of the scores [batch, heads, queries, keys], and how many keys came before the queries."""

    batch: int
    heads: int
    queries: int
    keys: int
    past: int
    dtype: str


def _split_heads(node: Node, index: int, heads: int) -> Any:
    """Input `index` as [batch, heads, length, size] in the type to compute in."""
    value, shape = cast(node.input(index), node.dtype(index), wide(node.dtype(0))), node.shape(index)
    if len(shape) == 4:
        return value
    if heads < 1 or len(shape) != 3 or shape[2] % heads:
        node.refuse(f"input {index} of shape {shape} does not divide into {heads} heads")
    split = relax.op.reshape(value, [shape[0], shape[1], heads, shape[2] // heads])
    return relax.op.permute_dims(split, [0, 2, 1, 3])


def _heads(node: Node, index: int, name: str) -> int:
    shape = node.shape(index)
    return shape[1] if len(shape) == 4 else int(node.attribute(name, 0))


@converter("Attention", since=23)
def attention(node: Node) -> Any:
    """Scaled dot-product attention with masks, a cache of earlier keys and values, and grouped queries."""
    rank, dtype = node.rank(0), node.dtype(0)
    work = wide(dtype)
    heads, groups = _heads(node, 0, "q_num_heads"), _heads(node, 1, "kv_num_heads")
    if groups < 1 or heads % groups:
        node.refuse(f"{heads} query heads do not divide into {groups} key heads")
    query, key, value = (node.emit(_split_heads(node, i, heads if i == 0 else groups)) for i in range(3))
    past = 0
    if node.has(4):
        past = node.shape(4)[2]
        key = node.emit(relax.op.concat([cast(node.input(4), node.dtype(4), work), key], 2))
        value = node.emit(relax.op.concat([cast(node.input(5), node.dtype(5), work), value], 2))
    present = [cast(key, work, node.dtype(1)), cast(value, work, node.dtype(2))]
    (batch, _, queries, size), keys = _shape(query), _shape(key)[2]
    scores = _Scores(batch, heads, queries, keys, past, work)

    scale = float(node.attribute("scale", 0.0) or 1 / math.sqrt(size))
    scaled = node.emit(relax.op.multiply(query, scalar(scale, work)))
    transposed = node.emit(relax.op.permute_dims(key, [0, 1, 3, 2]))
    products = node.emit(_grouped_product(scaled, transposed, scores, groups))
    softcap = float(node.attribute("softcap", 0.0))
    capped = products
    if softcap > 0:
        inner = relax.op.tanh(relax.op.divide(products, scalar(softcap, work)))
        capped = node.emit(relax.op.multiply(inner, scalar(softcap, work)))
    bias, may_be_empty = _bias(node, scores)
    biased = capped if bias is None else node.emit(relax.op.add(capped, bias))
    weights = node.emit(_probabilities(node, biased, bias, scores, may_be_empty))
    result = _grouped_product(weights, value, scores, groups)
    if rank == 3:
        merged = relax.op.permute_dims(result, [0, 2, 1, 3])
        result = relax.op.reshape(merged, [batch, queries, heads * _shape(value)[3]])
    exposed = _exposed(node, [products, capped, biased, weights])
    return [cast(result, work, dtype), *present, cast(exposed, work, dtype)]


def _exposed(node: Node, stages: list[Any]) -> Any:
    """What output qk_matmul_output shows: the products as they are, capped, masked, or after the softmax."""
    mode = int(node.attribute("qk_matmul_output_mode", 0))
    if not 0 <= mode <= 3:
        node.refuse(f"qk_matmul_output_mode {mode} is unknown")
    return stages[mode]


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(int(extent) for extent in value.ty.shape)


def _grouped_product(left: Any, right: Any, scores: _Scores, groups: int) -> Any:
    """The product left · right where each head on the right serves heads / groups heads on the left.

    The queries of the heads that share a key are stacked to one larger matrix, so that nothing is repeated.
    """
    share = scores.heads // groups
    if share == 1:
        return relax.op.matmul(left, right)
    stacked = relax.op.reshape(left, [scores.batch, groups, share * scores.queries, _shape(left)[3]])
    size = _shape(right)[3]
    return relax.op.reshape(
        relax.op.matmul(stacked, right), [scores.batch, scores.heads, scores.queries, size]
    )


def _bias(node: Node, scores: _Scores) -> tuple[Any, bool]:
    """What is added to the scores, 0 or -inf or the mask's numbers, and whether it may exclude every key of a query."""
    terms: list[Any] = []
    left, right = int(node.attribute("left_window_size", -1)), int(node.attribute("right_window_size", -1))
    if node.attribute("is_causal", 0):
        right = 0 if right < 0 else min(right, 0)
    lengths = node.input(6)
    empty = node.has(3) or node.has(6)
    if left >= 0 or right >= 0:
        if lengths is None:
            allowed = _window(scores, left, right)
            terms.append(literal(np.where(allowed, 0.0, -np.inf), scores.dtype))
            empty = empty or not bool(allowed.any(-1).all())
        else:
            terms.append(
                _additive(node, _running_window(scores, lengths, node.dtype(6), left, right), scores)
            )
    if node.has(3):
        terms.append(_mask(node, scores))
    if lengths is not None:
        keys = literal(np.arange(scores.keys).reshape(1, 1, 1, -1), node.dtype(6))
        valid = relax.op.less(keys, relax.op.reshape(lengths, [-1, 1, 1, 1]))
        terms.append(_additive(node, valid, scores))
    if not terms:
        return None, False
    total = terms[0]
    for term in terms[1:]:
        total = relax.op.add(total, term)
    return node.emit(total), empty


def _window(scores: _Scores, left: int, right: int) -> Any:
    """Which keys [queries, keys] lie no further than `left` before and `right` after each query; -1 is any distance."""
    distance = np.arange(scores.keys) - (np.arange(scores.queries).reshape(-1, 1) + scores.past)
    allowed = np.ones(distance.shape, bool)
    if left >= 0:
        allowed &= distance >= -left
    if right >= 0:
        allowed &= distance <= right
    return allowed


def _running_window(scores: _Scores, lengths: Any, dtype: str, left: int, right: int) -> Any:
    """As `_window`, where the last query of a sample stands at its last valid key: [batch, 1, queries, keys]."""
    first = np.arange(scores.keys) - (np.arange(scores.queries).reshape(-1, 1) - scores.queries)
    distance = relax.op.subtract(literal(first, dtype), relax.op.reshape(lengths, [-1, 1, 1, 1]))
    conditions = []
    if left >= 0:
        conditions.append(relax.op.greater_equal(distance, scalar(-left, dtype)))
    if right >= 0:
        conditions.append(relax.op.less_equal(distance, scalar(right, dtype)))
    return conditions[0] if len(conditions) == 1 else relax.op.logical_and(*conditions)


def _additive(node: Node, allowed: Any, scores: _Scores) -> Any:
    return relax.op.where(node.emit(allowed), scalar(0.0, scores.dtype), scalar(-math.inf, scores.dtype))


def _mask(node: Node, scores: _Scores) -> Any:
    """The mask as numbers to add; keys that it does not reach are excluded."""
    shape, dtype, mask = node.shape(3), node.dtype(3), node.input(3)
    missing = scores.keys - shape[-1]
    mask = _additive(node, mask, scores) if dtype == "bool" else cast(mask, dtype, scores.dtype)
    if missing > 0:
        filler = literal(np.full((*shape[:-1], missing), -np.inf), scores.dtype)
        mask = relax.op.concat([mask, filler], len(shape) - 1)
    return mask


def _probabilities(node: Node, logits: Any, bias: Any, scores: _Scores, may_be_empty: bool) -> Any:
    """Softmax over the keys; all zero for a query whose every key is excluded."""
    precision = int(node.attribute("softmax_precision", 0) or 0)
    target = wide(dtype_name(precision)) if precision else scores.dtype
    work = target if target == "float64" else scores.dtype
    weights = cast(relax.op.nn.softmax(cast(logits, scores.dtype, work), -1), work, scores.dtype)
    if not may_be_empty:
        return weights
    open_ = relax.op.not_equal(bias, scalar(-math.inf, scores.dtype))
    seen = relax.op.max(relax.op.astype(open_, scores.dtype), -1, keepdims=True)
    zero = scalar(0.0, scores.dtype)
    return relax.op.where(relax.op.equal(seen, zero), zero, weights)


@converter("RotaryEmbedding", since=23)
def rotary_embedding(node: Node) -> Any:
    """Rotates pairs of features by angles that grow with the position."""
    shape, dtype = node.shape(0), node.dtype(0)
    heads = int(node.attribute("num_heads", 0))
    flat = len(shape) == 3
    if flat and (heads < 1 or shape[2] % heads):
        node.refuse(f"an input of shape {shape} does not divide into {heads} heads")
    head = shape[2] // heads if flat else shape[3]
    rotated = int(node.attribute("rotary_embedding_dim", 0) or head)
    half, interleaved = rotated // 2, bool(node.attribute("interleaved", 0))
    if rotated > head or rotated % 2 or node.shape(1)[-1] != half or node.shape(2) != node.shape(1):
        node.refuse(f"caches of shape {node.shape(1)} do not fit {rotated} rotated features of {head}")
    positions = node.has(3)
    rows = node.shape(1)[0]

    def compute(data: Any, cosine: Any, sine: Any, *ids: Any) -> Any:
        def read(batch: Any, head_index: Any, step: Any, feature: Any) -> Any:
            if flat:
                return data[batch, step, head_index * head + feature]
            return data[batch, head_index, step, feature]

        def angle(cache: Any, batch: Any, step: Any, pair: Any) -> Any:
            if not positions:
                return cache[batch, step, pair]
            row = tirx.max(tirx.min(ids[0][batch, step], tirx.const(rows - 1, ids[0].dtype)), 0)
            return cache[row, pair]

        def element(*place: Any) -> Any:
            if flat:
                batch, step, head_index = place[0], place[1], place[2] // head
                feature = place[2] % head
            else:
                batch, head_index, step, feature = place
            inside = feature < rotated
            index = tirx.min(feature, rotated - 1)
            pair = index // 2 if interleaved else index % half
            first, second = (2 * pair, 2 * pair + 1) if interleaved else (pair, pair + half)
            real, imaginary = read(batch, head_index, step, first), read(batch, head_index, step, second)
            c, s = angle(cosine, batch, step, pair), angle(sine, batch, step, pair)
            turned = tirx.Select(index == first, c * real - s * imaginary, s * real + c * imaginary)
            return tirx.Select(inside, turned, read(batch, head_index, step, feature))

        return te.compute(shape, element, name="rotary_embedding")

    work = wide(dtype)
    arguments = [node.emit(cast(node.input(i), node.dtype(i), work)) for i in range(3)]
    result = node.emit_te(compute, *arguments, *([node.input(3)] if positions else []))
    return cast(result, work, dtype)


@converter("TensorScatter", since=24)
def tensor_scatter(node: Node) -> Any:
    """Writes an update into a cache, per sample from its own index on; a circular cache wraps around."""
    shape = node.shape(0)
    axis, mode = node.axis(-2, len(shape)), node.attribute("mode", "linear")
    length = node.shape(1)[axis]
    if mode not in {"linear", "circular"} or axis == 0:
        node.refuse(f"mode '{mode}' along axis {axis} is not supported")

    updates = node.shape(1)
    inner, samples = math.prod(shape[axis + 1 :]), math.prod(shape[1:axis])

    def body(cache: Any, update: Any, *rest: Any) -> None:
        *starts, out = rest
        with T.serial(0, math.prod(shape)) as i:
            out[i] = cache[i]
        with T.serial(0, math.prod(updates)) as u:
            row = u // (length * inner)
            target = (u // inner % length).astype("int64")
            if starts:
                target += starts[0][row // samples].astype("int64")
            if mode == "circular":
                target = tirx.floormod(target, tirx.const(shape[axis], "int64"))
            with T.If(tirx.all(target >= 0, target < shape[axis])), T.Then():
                out[(row * shape[axis] + target) * inner + u % inner] = update[u]

    if not math.prod(shape) or not math.prod(updates):
        return node.input(0)
    return looped(node, [node.input(i) for i in range(3) if node.has(i)], [(shape, node.dtype(0))], body)
