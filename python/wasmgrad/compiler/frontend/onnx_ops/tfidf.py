"""TfIdfVectorizer: how often each n-gram of a list occurs in sequences of integers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te, tirx

from ._registry import Node, converter, literal


def _grams(node: Node, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The n-gram of every output, [outputs, longest], and its length; 0 for an output that has none."""
    if node.attribute("pool_int64s", None) is None:
        node.refuse("n-grams of strings are not supported")
    pool = [int(token) for token in node.attribute("pool_int64s")]
    starts = [*(int(start) for start in node.attribute("ngram_counts")), len(pool)]
    shortest, longest = int(node.attribute("min_gram_length")), int(node.attribute("max_gram_length"))
    indexes = [int(index) for index in node.attribute("ngram_indexes")]
    grams = np.zeros((count, longest), np.int64)
    lengths = np.zeros(count, np.int64)
    number = 0
    for length, (start, end) in enumerate(pairwise(starts), 1):
        for place in range(start, end, length):
            if shortest <= length <= longest:
                grams[indexes[number], :length] = pool[place : place + length]
                lengths[indexes[number]] = length
            number += 1
    return grams, lengths


@converter("TfIdfVectorizer", since=9)
def tfidf_vectorizer(node: Node) -> Any:
    """Counts n-grams whose elements are 1 to max_skip_count + 1 apart, and weights the counts."""
    shape, mode = node.shape(0), node.attribute("mode")
    indexes = [int(index) for index in node.attribute("ngram_indexes")]
    outputs, skips = max(indexes) + 1, int(node.attribute("max_skip_count")) + 1
    grams, lengths = _grams(node, outputs)
    weights = np.ones(outputs, np.float32)
    for index, weight in zip(indexes, node.attribute("weights", None) or (), strict=False):
        weights[index] = weight
    if len(shape) not in {1, 2} or mode not in {"TF", "IDF", "TFIDF"}:
        node.refuse(f"mode '{mode}' over an input of shape {shape} is not supported")
    steps = shape[-1]

    def compute(data: Any, grams: Any, lengths: Any, weights: Any) -> Any:
        start, skip = te.reduce_axis((0, steps), "start"), te.reduce_axis((0, skips), "skip")

        def count(*place: Any) -> Any:
            lead, gram = place[:-1], place[-1]
            # A single element has no distance: it counts once.
            conditions = [lengths[gram] > 0, tirx.any(lengths[gram] > 1, skip == 0)]
            for k in range(int(grams.shape[1])):
                position = start + (skip + 1) * k
                token = data[(*lead, tirx.min(position, steps - 1))].astype("int64")
                same = tirx.all(position < steps, token == grams[gram, k])
                conditions.append(tirx.any(lengths[gram] <= k, same))
            found = tirx.Select(tirx.all(*conditions), tirx.const(1, "float32"), tirx.const(0, "float32"))
            return te.sum(found, axis=[start, skip])

        counts = te.compute((*shape[:-1], outputs), count, name="ngram_counts")

        def weighted(*place: Any) -> Any:
            value = counts[place]
            if mode == "IDF":
                value = tirx.min(value, tirx.const(1, "float32"))
            return value if mode == "TF" else value * weights[place[-1]]

        return te.compute(counts.shape, weighted, name="tfidf")

    if steps == 0:
        return np.zeros((*shape[:-1], outputs), np.float32)
    return node.emit_te(compute, node.input(0), literal(grams), literal(lengths), literal(weights))
