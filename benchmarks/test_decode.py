"""A language model whose module keeps its cache, beside the same without state and onnxruntime-web."""

from __future__ import annotations

from benchmarks.decode import MODELS, measure

_AT_LEAST = {"wasmgrad without state": 1.02, "onnxruntime-web": 1.1}
"""How many times as long each way has to take in either place."""


def test_a_state_that_stays_in_the_module_saves_time() -> None:
    found = measure(MODELS[0], rounds=8)
    slower = {
        f"{each.peer} in {each.setting}": each.median for each in found if each.median < _AT_LEAST[each.peer]
    }
    assert slower == {}
