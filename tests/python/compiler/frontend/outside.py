"""Nodes whose operands lie outside of what their operators know: indices beyond every end, NaN, divisors of 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

Array = NDArray[Any]

FAR = (1 << 28) + 7
"""An index whose address is beyond any of these modules' memory, and does not wrap around to one within."""
WILD = np.array([FAR, -FAR, np.iinfo(np.int64).max, np.iinfo(np.int64).min])
WILD32 = np.array([FAR, -FAR, np.iinfo(np.int32).max, np.iinfo(np.int32).min], np.int32)
WILD_FLOATS = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 2e9, -2e9, 9e18], np.float32)
DATA = np.arange(24, dtype=np.float32).reshape(4, 6)


def _image(*shape: int) -> Array:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


Case = tuple[str, list[Array | None], dict[str, Any], tuple[int, ...]]
DIVISORS = {
    np.int32: [0, -1, 0, -1],
    np.int64: [0, -1, 0, -1],
    np.int8: [0, -1, 0, -1],
    np.uint8: [0, 0, 0, 0],
}
DIVISIONS: dict[str, Case] = {
    f"{operator}-{np.dtype(dtype)}{'-fmod' if attributes else ''}": (
        operator,
        [np.array([5, np.iinfo(dtype).min, 0, np.iinfo(dtype).min], dtype), np.array(divisors, dtype)],
        attributes,
        (4,),
    )
    for dtype, divisors in DIVISORS.items()
    for operator, attributes in (("Div", {}), ("Mod", {}), ("Mod", {"fmod": 1}))
}  # fmt: skip
CASES: dict[str, Case] = {
    **DIVISIONS,
    "Gather": ("Gather", [DATA, WILD], {}, (4, 6)),
    "Gather int32": ("Gather", [DATA, WILD32], {"axis": 1}, (4, 4)),
    "GatherElements": ("GatherElements", [DATA, np.resize(WILD, (4, 6))], {}, (4, 6)),
    "GatherND": ("GatherND", [DATA, np.resize(WILD, (4, 2))], {}, (4,)),
    "ScatterElements": ("ScatterElements", [DATA, np.resize(WILD, (4, 6)), DATA], {"axis": 1}, (4, 6)),
    "ScatterElements add": ("ScatterElements", [DATA, np.resize(WILD, (4, 6)), DATA], {"reduction": "add"}, (4, 6)),
    "ScatterND": ("ScatterND", [DATA, np.resize(WILD, (3, 2)), DATA[0, :3]], {}, (4, 6)),
    "ScatterND rows": ("ScatterND", [DATA, np.resize(WILD, (3, 1)), DATA[:3]], {}, (4, 6)),
    "OneHot": ("OneHot", [WILD, np.array(5), np.array([0, 1], np.float32)], {}, (4, 5)),
    "BitShift": ("BitShift", [WILD.astype(np.uint64), WILD.astype(np.uint64)], {"direction": "LEFT"}, (4,)),
    "Pow": ("Pow", [np.array([0, 0, 2, -1], np.int32), np.array([-1, -9, 1 << 30, -3], np.int32)], {}, (4,)),
    "Cast": ("Cast", [WILD_FLOATS], {"to": TensorProto.INT32}, (8,)),
    "Cast int64": ("Cast", [WILD_FLOATS], {"to": TensorProto.INT64}, (8,)),
    "QuantizeLinear": ("QuantizeLinear", [WILD_FLOATS, np.float32(0)], {}, (8,)),
    "MaxUnpool": (
        "MaxUnpool",
        [_image(1, 1, 2, 2), WILD.reshape(1, 1, 2, 2)],
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        (1, 1, 4, 4),
    ),
    "ReverseSequence": ("ReverseSequence", [DATA, np.resize(WILD, 6)], {"time_axis": 0, "batch_axis": 1}, (4, 6)),
    "TensorScatter": ("TensorScatter", [_image(2, 3, 4), _image(2, 1, 4), WILD[:2]], {}, (2, 3, 4)),
    "TensorScatter circular": (
        "TensorScatter",
        [_image(2, 3, 4), _image(2, 1, 4), WILD[2:]],
        {"mode": "circular"},
        (2, 3, 4),
    ),
    "GridSample": ("GridSample", [_image(1, 1, 3, 3), WILD_FLOATS.reshape(1, 2, 2, 2)], {}, (1, 1, 2, 2)),
    "GridSample cubic": (
        "GridSample",
        [_image(1, 1, 3, 3), WILD_FLOATS.reshape(1, 2, 2, 2)],
        {"mode": "cubic", "padding_mode": "reflection"},
        (1, 1, 2, 2),
    ),
    "GridSample nearest": (
        "GridSample",
        [_image(1, 1, 3, 3), WILD_FLOATS.reshape(1, 2, 2, 2)],
        {"mode": "nearest", "padding_mode": "border"},
        (1, 1, 2, 2),
    ),
    "RoiAlign": (
        "RoiAlign",
        [_image(1, 1, 4, 4), WILD_FLOATS.reshape(2, 4), WILD[:2]],
        {"output_height": 2, "output_width": 2, "sampling_ratio": 2},
        (2, 1, 2, 2),
    ),
    "MaxRoiPool": (
        "MaxRoiPool",
        [_image(1, 1, 4, 4), np.resize(WILD_FLOATS, (2, 5))],
        {"pooled_shape": [2, 2]},
        (2, 1, 2, 2),
    ),
    "DeformConv": (
        "DeformConv",
        [_image(1, 1, 3, 3), _image(1, 1, 2, 2), np.resize(WILD_FLOATS, (1, 8, 2, 2))],
        {"kernel_shape": [2, 2]},
        (1, 1, 2, 2),
    ),
    "NegativeLogLikelihoodLoss": (
        "NegativeLogLikelihoodLoss",
        [DATA, WILD, np.ones(6, np.float32)],
        {"reduction": "none"},
        (4,),
    ),
    "TfIdfVectorizer": (
        "TfIdfVectorizer",
        [WILD],
        {
            "mode": "TF", "min_gram_length": 1, "max_gram_length": 1, "max_skip_count": 0,
            "ngram_counts": [0], "ngram_indexes": [0, 1], "pool_int64s": [2, 3],
        },
        (2,),
    ),
    "GRU": (
        "GRU",
        [_image(2, 1, 3), _image(1, 6, 3), _image(1, 6, 2), None, WILD32[:1]],
        {"hidden_size": 2, "direction": "reverse"},
        (2, 1, 1, 2),
    ),
    "RotaryEmbedding": (
        "RotaryEmbedding",
        [_image(1, 1, 2, 4), _image(5, 2), _image(5, 2), WILD[:2].reshape(1, 2)],
        {},
        (1, 1, 2, 4),
    ),
    "Attention": (
        "Attention",
        [_image(1, 1, 2, 4), _image(1, 1, 3, 4), _image(1, 1, 3, 4), None, None, None, WILD[:1]],
        {},
        (1, 1, 2, 4),
    ),
    "ms EmbedLayerNormalization": (
        "EmbedLayerNormalization",
        [WILD32.reshape(1, 4), WILD32.reshape(1, 4), DATA, DATA, DATA, DATA[0], DATA[1]],
        {},
        (1, 4, 6),
    ),
    "ms RotaryEmbedding": (
        "RotaryEmbedding",
        [_image(1, 1, 2, 4), WILD[:2].reshape(1, 2), _image(5, 2), _image(5, 2)],
        {},
        (1, 1, 2, 4),
    ),
    "ms GroupQueryAttention": (
        "GroupQueryAttention",
        [*[_image(1, 1, 8)] * 3, *[_image(1, 1, 2, 8)] * 2, WILD32[:1], np.array(3, np.int32)],
        {"num_heads": 1, "kv_num_heads": 1},
        (1, 1, 8),
    ),
}  # fmt: skip
