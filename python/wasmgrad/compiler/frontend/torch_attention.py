"""torch's fused attention by operators that have an ONNX form of the same values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from torch import Tensor

__all__ = ["DECOMPOSITIONS"]


def _multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    num_head: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    mask: Tensor | None = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    mask_type: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention of [batch, length, embed_dim] on [batch, source, embed_dim], and its weights.

    The weights are [batch, length, source], [batch, num_head, length, source] when they are not averaged, or nothing.
    """
    projected = [
        F.linear(each, weight, bias).reshape(*each.shape[:2], num_head, embed_dim // num_head).transpose(1, 2)
        for each, weight, bias in zip(
            (query, key, value), qkv_weight.chunk(3), qkv_bias.chunk(3), strict=True
        )
    ]
    scale = (embed_dim // num_head) ** -0.5
    scores = (projected[0] * scale) @ projected[1].transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(_masked(mask, mask_type), float("-inf"))
    weights = F.softmax(scores, -1)
    context = (weights @ projected[2]).transpose(1, 2).flatten(2)
    result = F.linear(context, proj_weight, proj_bias)
    if not need_weights:
        return result, query.new_zeros(0)
    return result, weights.mean(1) if average_attn_weights else weights


def _masked(mask: Tensor, mask_type: int | None) -> Tensor:
    """What is left out, to be broadcast over [batch, head, length, source]."""
    hidden = mask.to(torch.bool)
    if mask_type == 1:  # of the keys of each batch row
        return hidden[:, None, None, :]
    return hidden  # [length, source], or for every head


def _encoder_layer(
    src: Tensor,
    embed_dim: int,
    num_heads: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1: Tensor,
    norm_bias_1: Tensor,
    norm_weight_2: Tensor,
    norm_bias_2: Tensor,
    ffn_weight_1: Tensor,
    ffn_bias_1: Tensor,
    ffn_weight_2: Tensor,
    ffn_bias_2: Tensor,
    mask: Tensor | None = None,
    mask_type: int | None = None,
) -> Tensor:
    """src: [batch, length, embed_dim], as the result."""

    def attend(x: Tensor) -> Tensor:
        attention = (embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias, mask, False, True)
        return _multi_head_attention(x, x, x, *attention, mask_type)[0]

    def feed(x: Tensor) -> Tensor:
        hidden = F.linear(x, ffn_weight_1, ffn_bias_1)
        return F.linear(F.gelu(hidden) if use_gelu else F.relu(hidden), ffn_weight_2, ffn_bias_2)

    def first(x: Tensor) -> Tensor:
        return F.layer_norm(x, (embed_dim,), norm_weight_1, norm_bias_1, eps)

    def second(x: Tensor) -> Tensor:
        return F.layer_norm(x, (embed_dim,), norm_weight_2, norm_bias_2, eps)

    if norm_first:
        x = src + attend(first(src))
        return x + feed(second(x))
    x = first(src + attend(src))
    return second(x + feed(x))


def _scaled_dot_product(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """[..., length, width] on [..., source, width]; what a mask hides altogether gets zeros, as in torch."""
    if dropout_p != 0.0:
        return NotImplemented
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    if is_causal:
        attn_mask = query.new_ones(query.size(-2), key.size(-2), dtype=torch.bool).tril()
    factor = query.size(-1) ** -0.5 if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
    if attn_mask is None:
        return F.softmax(scores, -1) @ value
    hidden = float("-inf")
    if attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(attn_mask.logical_not(), hidden)
    else:
        scores = scores + attn_mask
    blind = (scores == hidden).all(-1, keepdim=True)
    return F.softmax(scores, -1).masked_fill(blind, 0.0) @ value


DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten._native_multi_head_attention.default: _multi_head_attention,
    torch.ops.aten._transformer_encoder_layer_fwd.default: _encoder_layer,
    torch.ops.aten.scaled_dot_product_attention.default: _scaled_dot_product,
}
