"""Compiled models against onnxruntime-web and LiteRT.js, in Chromium and in Node."""

from __future__ import annotations

import pytest

from benchmarks.web import WEB_MODELS, Figures, compare

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


@pytest.fixture(scope="module", params=WEB_MODELS)
def figures(request: pytest.FixtureRequest) -> list[Figures]:
    return compare(request.param, rounds=8)


@pytest.mark.parametrize("precision", ["f32", "int8"])
def test_beside_its_peers(figures: list[Figures], precision: str) -> None:
    least = _AT_LEAST[figures[0].model, precision]
    slower = {
        f"{each.runtime} in {each.place}": each.ratio[1]
        for each in figures
        if each.precision == precision and each.ratio[1] < least.get(each.runtime, 0)
    }
    assert slower == {}
