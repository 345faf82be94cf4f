"""Small models of sequences in plain torch: sound, series of numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .case import CLASSES, Case, classifier, floats

__all__ = ["CASES"]


class Sound(nn.Sequential):
    """Strided convolutions over a wave."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(1, 8, 16, 4), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(4),
            nn.Conv1d(8, 16, 3), nn.BatchNorm1d(16), nn.ReLU(),
            nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, CLASSES),
        )  # fmt: skip


class Recurrent(nn.Module):
    """Convolutions make frames of a wave, which a recurrent layer reads in both directions."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.frames = nn.Sequential(nn.Conv1d(1, 12, 16, 8), nn.ReLU())
        self.recurrent = kind(12, 16, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, wave: Tensor) -> Tensor:
        """[N, 1, samples] to [N, CLASSES]."""
        states, _ = self.recurrent(self.frames(wave).transpose(1, 2))
        return self.head(states.mean(1))


class CausalBlock(nn.Module):
    """A dilated convolution that sees no later sample, with weight normalisation."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.before = 2 * dilation
        self.convolution = nn.utils.parametrizations.weight_norm(
            nn.Conv1d(channels, channels, 3, dilation=dilation)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, T] to the same."""
        return x + F.relu(self.convolution(F.pad(x, [self.before, 0])))


class TCN(nn.Module):
    """A temporal convolutional network that predicts the next value of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Conv1d(2, 16, 1)
        self.blocks = nn.Sequential(*(CausalBlock(16, 2**i) for i in range(3)))
        self.head = nn.Conv1d(16, 2, 1)

    def forward(self, series: Tensor) -> Tensor:
        """[N, 2, T] to the same."""
        return self.head(self.blocks(self.widen(series)))


class Encoder(nn.Module):
    """torch's own transformer encoder over frames of numbers."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True, activation="gelu")
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.places = nn.Parameter(torch.zeros(1, 12, 16))
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 12, 16] to [N, CLASSES]."""
        return self.head(self.layers(x + self.places).mean(1))


CASES = [
    classifier("Conv1d audio network", Sound, floats(1, 512)),
    classifier("GRU audio network", lambda: Recurrent(nn.GRU), floats(1, 128)),
    classifier("LSTM audio network", lambda: Recurrent(nn.LSTM), floats(1, 128)),
    Case("TCN", TCN, (floats(2, 24),), floats(2, 24)),
    classifier("transformer encoder of torch", Encoder, floats(12, 16)),
]
