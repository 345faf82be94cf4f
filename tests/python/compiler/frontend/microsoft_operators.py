"""Nodes of onnxruntime's own operators: a table of attributes, optional inputs and shapes for each.

A case is a node and its operands, constant or not. All values are drawn from a seed. Quantized operators are in
`microsoft_quantized`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
MICROSOFT = "com.microsoft"
random = np.random.default_rng()


@dataclass(frozen=True)
class Case:
    """An operator of `domain`, its operands in order, and its attributes.

    Operands at `constants` are weights of the model, `outputs` have names. `tolerance` is how much of its range a real
    result may differ by. `compared` leaves out of an output what onnxruntime does not define.
    """

    operator: str
    operands: tuple[Array | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    constants: tuple[int, ...] = ()
    outputs: tuple[int, ...] = (0,)
    domain: str = MICROSOFT
    tolerance: float = 1e-5
    compared: Callable[[int, Array], Array] = lambda place, array: array

    @property
    def label(self) -> str:
        """For messages."""
        shapes = ["-" if each is None else f"{each.dtype}{list(each.shape)}" for each in self.operands]
        return f"{self.operator}({', '.join(shapes)}, {self.attributes})"


def floats(*shape: int) -> Array:
    """Standard normal numbers."""
    return random.standard_normal(shape).astype(np.float32)


# -- what the optimizer fuses -----------------------------------------------------------------------------------------


def _fused() -> Iterator[Case]:
    activations: list[tuple[str, list[float]]] = [
        ("Relu", []), ("Sigmoid", []), ("Tanh", []), ("LeakyRelu", [0.3]), ("Clip", [-0.5, 0.75]),
        ("HardSigmoid", [0.3, 0.4]),
    ]  # fmt: skip
    for place, (name, parameters) in enumerate(activations):
        attributes: dict[str, Any] = {"activation": name, "pads": [1, 1, 1, 1]}
        if parameters:
            attributes["activation_params"] = parameters
        bias = floats(4) if place % 2 else None
        more = (floats(1, 4, 6, 5),) if place in {0, 3} else ()
        yield Case("FusedConv", (floats(1, 3, 6, 5), floats(4, 3, 3, 3), bias, *more), attributes, (1, 2))
    grouped = {"activation": "Relu", "group": 2, "strides": [2, 1], "auto_pad": "SAME_UPPER"}
    yield Case("FusedConv", (floats(2, 4, 7, 6), floats(6, 2, 2, 3)), grouped, (1,))
    for name in ("Relu", "LeakyRelu", "Tanh", "Elu"):
        attributes = {"activation": name, "transB": 1, "alpha": 0.5}
        if name in {"LeakyRelu", "Elu"}:
            attributes["activation_alpha"] = 0.25
        yield Case("FusedGemm", (floats(3, 4), floats(5, 4), floats(5)), attributes, (1, 2))
    for swap_a, swap_b in product((0, 1), repeat=2):
        a, b = floats(2, 4, 3) if swap_a else floats(2, 3, 4), floats(2, 5, 4) if swap_b else floats(2, 4, 5)
        yield Case(
            "FusedMatMul", (a, b), {"transA": swap_a, "transB": swap_b, "alpha": 0.5}, (1,) if swap_a else ()
        )
    yield Case("FusedMatMul", (floats(3, 2, 4), floats(2, 4, 5)), {"transBatchA": 1})
    yield Case(
        "FusedMatMul",
        (floats(4, 2, 3), floats(5, 2, 4)),
        {"transBatchA": 1, "transA": 1, "transBatchB": 1, "transB": 1},
    )
    yield Case("FusedMatMul", (floats(3, 4), floats(5, 4)), {"transB": 1}, (1,))
    yield Case("FusedMatMul", (floats(4), floats(4, 5)), {"transA": 1})


def _activations() -> Iterator[Case]:
    x = np.concatenate([floats(12) * 3, np.float32([0, -0.0, 20, -20])]).reshape(2, 8)
    yield Case("Gelu", (x,))
    yield Case("BiasGelu", (x, floats(8)), constants=(1,))
    yield Case("FastGelu", (x,))
    yield Case("FastGelu", (x, floats(8)))
    yield Case("QuickGelu", (x,))
    yield Case("QuickGelu", (x,), {"alpha": 1.0})


def _normalizations() -> Iterator[Case]:
    shape = (2, 3, 8)
    for skip, bias, epsilon in product((shape, shape[1:], (1, *shape[1:])), (True, False), (1e-12, 1e-3)):
        operands = (floats(*shape), floats(*skip), floats(8), floats(8) if bias else None)
        yield Case("SkipLayerNormalization", operands, {"epsilon": epsilon}, (2, 3))
        simple = (*operands[:3], floats(8) if bias else None)
        yield Case("SkipSimplifiedLayerNormalization", simple, {"epsilon": epsilon}, (2, 3), (0, 3))
    full = (floats(*shape), floats(*shape), floats(8), floats(8), floats(8))
    yield Case("SkipLayerNormalization", full, {}, (2, 3, 4), (0, 3))
    yield Case(
        "SimplifiedLayerNormalization",
        (floats(*shape), floats(8)),
        {"axis": -1, "epsilon": 1e-3},
        (1,),
        domain="",
    )
    words = random.integers(0, 10, (2, 5)).astype(np.int32)
    kinds, mask = (words % 2).astype(np.int32), (np.arange(10).reshape(2, 5) % 5 < 3).astype(np.int32)
    tables = (floats(10, 8), floats(7, 8), floats(2, 8), floats(8), floats(8))
    yield Case(
        "EmbedLayerNormalization", (words, kinds, *tables, mask), {"epsilon": 1e-5}, (2, 3, 4, 5, 6), (0, 1)
    )
    no_kinds = (words, None, *tables[:2], None, *tables[3:], None, words[:, ::-1].copy() % 7)
    yield Case("EmbedLayerNormalization", no_kinds, {}, (2, 3, 5, 6), (0, 1, 2))


# -- attention --------------------------------------------------------------------------------------------------------

BATCH, LENGTH, HEADS, SIZE, PAST = 2, 3, 2, 4, 2
WIDTH = HEADS * SIZE


def masks(keys: int) -> list[Array | None]:
    some = (np.arange(BATCH * keys).reshape(BATCH, keys) % 5 != 1).astype(np.int32)
    return [
        None,
        some,
        np.int32([keys, keys - 1]),
        np.int32([keys, keys - 1, 0, 1]),
        np.repeat(some[:, None], LENGTH, 1),
        np.zeros((BATCH, keys), np.int32),
    ]


def _attention() -> Iterator[Case]:
    x, matrix, bias = floats(BATCH, LENGTH, 6), floats(6, 3 * WIDTH), floats(3 * WIDTH)
    past = floats(2, BATCH, HEADS, PAST, SIZE)
    for place, (mask, causal, cached) in enumerate(product(range(6), (0, 1), (False, True))):
        keys = LENGTH + (PAST if cached else 0)
        operands: list[Array | None] = [x, matrix, bias if place % 3 else None, masks(keys)[mask]]
        operands += [past if cached else None, floats(1, HEADS, LENGTH, keys) if place % 4 == 0 else None]
        attributes: dict[str, Any] = {"num_heads": HEADS, "unidirectional": causal}
        if place % 5 == 0:
            attributes |= {"scale": 0.3, "mask_filter_value": -50.0}
        yield Case("Attention", tuple(operands), attributes, (1, 2), (0, 1) if cached else (0,))
    uneven = {"num_heads": HEADS, "qkv_hidden_sizes": [8, 8, 12]}
    yield Case("Attention", (x, floats(6, 28), floats(28)), uneven, (1, 2))


def _multi_head_attention() -> Iterator[Case]:
    keys, values = 5, 6
    query, key, value = floats(BATCH, LENGTH, WIDTH), floats(BATCH, keys, WIDTH), floats(BATCH, keys, values)
    every = {"num_heads": HEADS}
    yield Case("MultiHeadAttention", (query, key, value), every)
    yield Case("MultiHeadAttention", (query, key, value, floats(2 * WIDTH + values)), {**every, "scale": 0.2})
    for mask in [mask for mask in masks(keys)[1:] if mask is not None and mask.shape != (2 * BATCH,)]:
        yield Case("MultiHeadAttention", (query, key, value, None, mask), every)
    bias = floats(BATCH, 1, LENGTH, keys)
    yield Case(
        "MultiHeadAttention", (query, key, value, None, None, bias), {**every, "mask_filter_value": -5.0}
    )
    own = floats(BATCH, LENGTH, WIDTH), floats(BATCH, LENGTH, WIDTH)
    past = floats(BATCH, HEADS, PAST, SIZE), floats(BATCH, HEADS, PAST, SIZE)
    causal = {**every, "unidirectional": 1}
    yield Case("MultiHeadAttention", (query, *own, None, None, None, *past), causal, (), (0, 1, 2))
    yield Case("MultiHeadAttention", (query, *own, floats(3 * WIDTH), masks(LENGTH)[1]), causal, (3,))
    divided = floats(BATCH, HEADS, keys, SIZE), floats(BATCH, HEADS, keys, SIZE)
    yield Case("MultiHeadAttention", (query, *divided), every)


def _rotary() -> Iterator[Case]:
    cosine, sine = np.cos(floats(9, 2)), np.sin(floats(9, 2))
    places = np.int64([[0, 2, 4], [8, 1, 3]])
    for interleaved, positions in product((0, 1), (np.int64([2]), places)):
        attributes = {"interleaved": interleaved}
        yield Case(
            "RotaryEmbedding", (floats(BATCH, LENGTH, WIDTH), positions, cosine, sine), attributes, (2, 3)
        )
        yield Case(
            "RotaryEmbedding",
            (floats(BATCH, HEADS, LENGTH, SIZE), positions, cosine, sine),
            attributes,
            (2, 3),
        )
    part = {"num_heads": HEADS, "rotary_embedding_dim": 4}
    yield Case("RotaryEmbedding", (floats(BATCH, LENGTH, 2 * WIDTH), places, cosine, sine), part, (2, 3))


def _grouped(keys: Array) -> Callable[[int, Array], Array]:
    """Of the caches only what is filled."""

    def compared(place: int, array: Array) -> Array:
        if place == 0:
            return array
        return np.concatenate([row[:, :length].reshape(-1) for row, length in zip(array, keys, strict=True)])

    return compared


def _group_query_attention() -> Iterator[Case]:
    groups, heads, size = 2, 4, 16
    cosine, sine = np.cos(floats(16, size // 2)), np.sin(floats(16, size // 2))

    def case(length: int, past: int, buffer: int, packed: bool = False, **attributes: Any) -> Case:
        total, batch = past + length, 1 if past and length > 1 else BATCH
        parts = [floats(batch, length, count * size) for count in (heads, groups, groups)]
        if packed:
            parts = [np.concatenate(parts, -1)]
        inputs: list[Array | None] = [*parts, *([None] * (3 - len(parts)))]
        cache = [floats(batch, groups, buffer, size) if buffer else None for _ in range(2)]
        ends = np.int32([total - 1, total - 1 - (1 if past > 1 else 0)])
        operands = [*inputs, *cache, ends[:batch], np.int32(total)]
        if attributes.get("do_rotary"):
            operands += [cosine, sine]
        every = {"num_heads": heads, "kv_num_heads": groups, **attributes}
        held = (6, 7, 8) if attributes.get("do_rotary") else (6,)
        return Case(
            "GroupQueryAttention",
            tuple(operands),
            every,
            held,
            (0, 1, 2),
            compared=_grouped(ends[:batch] + 1),
        )

    yield case(3, 0, 0)
    yield case(3, 0, 0, packed=True, do_rotary=1)
    yield case(4, 0, 0, local_window_size=2)
    yield case(1, 4, 4, do_rotary=1)
    yield case(1, 4, 4, do_rotary=1, rotary_interleaved=1, scale=0.4)
    yield case(1, 6, 6, packed=True, local_window_size=3, softcap=0.5)
    yield case(2, 3, 3)


FAMILIES: dict[str, Callable[[], Iterator[Case]]] = {
    "fused": _fused,
    "activations": _activations,
    "normalizations": _normalizations,
    "attention": _attention,
    "multi-head attention": _multi_head_attention,
    "rotary": _rotary,
    "grouped attention": _group_query_attention,
}


def drawn(family: Callable[[], Iterator[Case]]) -> list[Case]:
    """The cases of a family, always with the same values."""
    random.bit_generator.state = np.random.default_rng(20).bit_generator.state
    return list(family())
