"""MobileNetV2 (Sandler et al., 2018), width 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo import torch_model

if TYPE_CHECKING:
    import torch
    from torch import nn

_SHAPE = (1, 3, 224, 224)
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, output channels, blocks and stride of each stage."""


def _make() -> nn.Module:
    from torch import nn

    def normed(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        return [convolution, nn.BatchNorm2d(outputs)]

    class InvertedResidual(nn.Module):
        def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
            super().__init__()
            width = inputs * expansion
            self.residual = inputs == outputs and stride == 1
            self.body = nn.Sequential(
                *([] if expansion == 1 else [*normed(inputs, width, 1), nn.ReLU6()]),
                *normed(width, width, 3, stride, groups=width),
                nn.ReLU6(),
                *normed(width, outputs, 1),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.body(x)
            return x + y if self.residual else y

    layers = [*normed(3, 32, 3, 2), nn.ReLU6()]
    channels = 32
    for expansion, outputs, blocks, stride in _STAGES:
        for index in range(blocks):
            layers.append(InvertedResidual(channels, outputs, expansion, stride if index == 0 else 1))
            channels = outputs
    layers += [*normed(channels, 1280, 1), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000))


def model() -> nn.Module:
    """[N, 3, 224, 224] to [N, 1000], with the weights of all its files."""
    return torch_model.seeded_with_statistics(_make, _SHAPE)


def _example() -> torch.Tensor:
    import torch

    return torch.zeros(_SHAPE)


def onnx() -> bytes:
    """[1, 3, 224, 224] to [1, 1000]."""
    return torch_model.onnx_bytes(model(), _example())


def torchscript() -> bytes:
    """The same as TorchScript."""
    return torch_model.torchscript_bytes(model(), _example())


def exported() -> bytes:
    """The same as a `torch.export` program."""
    return torch_model.exported_bytes(model(), _example())
