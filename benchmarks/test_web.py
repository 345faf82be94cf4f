"""Compiled models against onnxruntime-web and LiteRT.js, in Chromium and in Node."""

from __future__ import annotations

import pytest

from benchmarks.report import Ratio
from benchmarks.web import MODELS, measure

_AT_LEAST = {
    ("resnet50", "f32"): {"onnxruntime-web": 1.5, "LiteRT.js": 1.15},
    ("resnet50", "int8"): {"onnxruntime-web": 2.5, "LiteRT.js": 0.95},
    ("efficientnet-lite0", "f32"): {"onnxruntime-web": 1.7, "LiteRT.js": 1.1},
    ("efficientnet-lite0", "int8"): {"onnxruntime-web": 4.0, "LiteRT.js": 0.9},
    ("mobilenetv2", "f32"): {"onnxruntime-web": 1.5, "LiteRT.js": 1.0},
    ("mobilenetv2", "int8"): {"onnxruntime-web": 5.0, "LiteRT.js": 0.9},
    ("vit-tiny", "f32"): {"onnxruntime-web": 1.2, "LiteRT.js": 0.85},
    ("vit-tiny", "int8"): {"onnxruntime-web": 1.5, "LiteRT.js": 0.8},
}
"""How many times as long each peer has to take in either place."""


@pytest.fixture(scope="module", params=MODELS)
def ratios(request: pytest.FixtureRequest) -> list[Ratio]:
    return measure(request.param, rounds=8)


@pytest.mark.parametrize("precision", ["f32", "int8"])
def test_beside_its_peers(ratios: list[Ratio], precision: str) -> None:
    least = _AT_LEAST[ratios[0].model, precision]
    slower = {
        f"{each.peer}, {each.setting}": each.median
        for each in ratios
        if each.setting.endswith(precision) and each.median < least[each.peer]
    }
    assert slower == {}
