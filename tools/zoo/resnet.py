"""ResNet-50 (He et al., 2015), with the stride on the 3x3 convolution as is usual today."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo import torch_model

if TYPE_CHECKING:
    from torch import nn

_SHAPE = (1, 3, 224, 224)
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Width, blocks and stride of each stage; a block's output is four times as wide."""


def _make() -> nn.Module:
    import torch
    from torch import nn

    def normed(inputs: int, outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        return [convolution, nn.BatchNorm2d(outputs)]

    class Bottleneck(nn.Module):
        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            outputs = 4 * width
            self.body = nn.Sequential(
                *normed(inputs, width, 1),
                nn.ReLU(),
                *normed(width, width, 3, stride),
                nn.ReLU(),
                *normed(width, outputs, 1),
            )
            same = inputs == outputs and stride == 1
            self.shortcut = nn.Sequential(*([] if same else normed(inputs, outputs, 1, stride)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.body(x) + self.shortcut(x))

    layers = [*normed(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for width, blocks, stride in _STAGES:
        for index in range(blocks):
            layers.append(Bottleneck(channels, width, stride if index == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


def model() -> nn.Module:
    """[N, 3, 224, 224] to [N, 1000], with the weights of its file."""
    return torch_model.seeded_with_statistics(_make, _SHAPE)


def onnx() -> bytes:
    """[1, 3, 224, 224] to [1, 1000]."""
    import torch

    return torch_model.onnx_bytes(model(), torch.zeros(_SHAPE))
