"""What the training suite trains: models, their data and batch sizes.

The models of the registry train on real MNIST; the others, which are about speed alone, on random data of their shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import wasmgrad
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks import mnist

Data = tuple[NDArray[Any], NDArray[Any]]
"""Inputs and targets, a row a sample."""


@dataclass(frozen=True)
class Task:
    """One model to train."""

    make: Callable[[], nn.Module]
    data: Callable[[], Data]
    batch: int = 128
    inputs: Literal["pictures", "indices"] = "pictures"
    """Pictures are u8 [N, C, H, W], which a step normalises; indices i64 [N, T]."""
    own_loss: bool = False
    """forward(inputs, targets) gives the loss; otherwise it is the cross entropy of forward(inputs)."""

    def archive(self) -> bytes:
        """The untrained model as TorchScript."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return bytes(torch.jit.script(self.make()).save_to_buffer())


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size but for its stride, and batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_norm(inputs, outputs, 3, stride), nn.ReLU(), *conv_norm(outputs, outputs, 3)
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv_norm(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def resnet18() -> nn.Module:
    """ResNet-18 in its form for 32x32 pictures: a 3x3 stem without pooling."""
    layers: list[nn.Module] = [*conv_norm(3, 64, 3), nn.ReLU()]
    width = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Residual(width, outputs, stride), Residual(outputs, outputs, 1)]
        width = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


class Inverted(nn.Module):
    """Expand, convolve depthwise, project; beside a shortcut where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        wider = [*conv_norm(inputs, hidden, 1), nn.ReLU6()] if expand != 1 else []
        self.body = nn.Sequential(
            *wider,
            *conv_norm(hidden, hidden, 3, stride, groups=hidden),
            nn.ReLU6(),
            *conv_norm(hidden, outputs, 1),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


def mobilenetv2() -> nn.Module:
    """MobileNetV2 for 32x32 pictures: strides of 1 in its first layers."""
    layers: list[nn.Module] = [*conv_norm(3, 32, 3), nn.ReLU6()]
    width = 32
    table = (
        (1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    )  # fmt: skip
    for expand, outputs, count, stride in table:
        for index in range(count):
            layers.append(Inverted(width, outputs, stride if index == 0 else 1, expand))
            width = outputs
    head = [*conv_norm(320, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 10)]
    return nn.Sequential(*layers, *head)


class UNet(nn.Module):
    """Three levels of 16, 32 and 64 channels, two classes a pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.bottom = self._level(3, 16), self._level(16, 32), self._level(32, 64)
        self.up2, self.merge2 = nn.ConvTranspose2d(64, 32, 2, 2), self._level(64, 32)
        self.up1, self.merge1 = nn.ConvTranspose2d(32, 16, 2, 2), self._level(32, 16)
        self.head = nn.Conv2d(16, 2, 1)

    @staticmethod
    def _level(inputs: int, outputs: int) -> nn.Module:
        first, second = conv_norm(inputs, outputs, 3), conv_norm(outputs, outputs, 3)
        return nn.Sequential(*first, nn.ReLU(), *second, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        three = self.bottom(F.max_pool2d(two, 2))
        two = self.merge2(torch.cat([two, self.up2(three)], 1))
        return self.head(self.merge1(torch.cat([one, self.up1(two)], 1)))


class Attention(nn.Module):
    """A transformer layer with its norms in front: attention, then two linear layers around GELU."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads, self.causal = heads, causal

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        qkv = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=self.causal)
        x = x + self.out(seen.transpose(1, 2).reshape(n, t, d))
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


class Encoder(nn.Module):
    """Two layers of 128 over 64 tokens, one of ten classes for all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(1000, 128), nn.Parameter(torch.randn(64, 128) * 0.02)
        self.layers = nn.Sequential(*(Attention(128, 4, causal=False) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(128), nn.Linear(128, 10)

    def forward(self, indices: Tensor) -> Tensor:
        return self.head(self.norm(self.layers(self.tokens(indices) + self.places)).mean(1))


class GPT(nn.Module):
    """Four causal layers of 192 over 128 bytes of text, which it predicts the next of; computes its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(256, 192), nn.Parameter(torch.randn(128, 192) * 0.02)
        self.layers = nn.Sequential(*(Attention(192, 6, causal=True) for _ in range(4)))
        self.norm, self.head = nn.LayerNorm(192), nn.Linear(192, 256, bias=False)

    def forward(self, indices: Tensor, targets: Tensor) -> Tensor:
        logits = self.head(self.norm(self.layers(self.tokens(indices) + self.places)))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class LSTM(nn.Module):
    """One layer of 128 cells over 64 tokens, one of four classes after the last."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.cells = nn.Embedding(1000, 64), nn.LSTM(64, 128, batch_first=True)
        self.head = nn.Linear(128, 4)

    def forward(self, indices: Tensor) -> Tensor:
        return self.head(self.cells(self.tokens(indices))[0][:, -1])


def pictures(count: int, size: int, per_pixel: bool = False) -> Data:
    """u8 [count, 3, size, size], and one of ten classes each or one of two a pixel."""
    draw = np.random.default_rng(0)
    shape = (count, size, size) if per_pixel else (count,)
    return draw.integers(0, 256, (count, 3, size, size), np.uint8), draw.integers(
        0, 2 if per_pixel else 10, shape
    )


def tokens(count: int, length: int, vocabulary: int, classes: int) -> Data:
    """i64 [count, length], and a class each."""
    draw = np.random.default_rng(0)
    return draw.integers(0, vocabulary, (count, length)), draw.integers(0, classes, count)


def text(count: int, length: int) -> Data:
    """Bytes as i64 [count, length], and the bytes one further."""
    rows = np.random.default_rng(0).integers(0, 256, (count, length + 1))
    return np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, 1:])


def _registered(name: str) -> Task:
    return Task(wasmgrad.models.registry[name].make, lambda: (mnist.images(), mnist.labels()))


TASKS: dict[str, Task] = {
    **{name: _registered(name) for name in ("mnist-cnn", "lenet-5", "mlp")},
    "resnet-18": Task(resnet18, lambda: pictures(1024, 32)),
    "mobilenet-v2": Task(mobilenetv2, lambda: pictures(1024, 32)),
    "u-net": Task(UNet, lambda: pictures(256, 64, per_pixel=True), batch=16),
    "encoder": Task(Encoder, lambda: tokens(2048, 64, 1000, 10), batch=64, inputs="indices"),
    "gpt": Task(GPT, lambda: text(512, 128), batch=16, inputs="indices", own_loss=True),
    "lstm": Task(LSTM, lambda: tokens(2048, 64, 1000, 4), batch=64, inputs="indices"),
}
