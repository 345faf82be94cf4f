"""A text classifier: token embedding, a bidirectional LSTM of two layers, and a linear layer on its mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo import torch_model

if TYPE_CHECKING:
    from torch import nn

_VOCABULARY, _WIDTH, _LENGTH = 1000, 64, 48


def _make() -> nn.Module:
    import torch
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(_VOCABULARY, _WIDTH)
            self.lstm = nn.LSTM(_WIDTH, _WIDTH, 2, batch_first=True, bidirectional=True)
            self.head = nn.Linear(2 * _WIDTH, 5)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            states, _ = self.lstm(self.embedding(tokens))
            result: torch.Tensor = self.head(states.mean(1))
            return result

    return Classifier()


def onnx() -> bytes:
    """[1, 48] int64 tokens below 1000 to [1, 5]."""
    import torch

    return torch_model.onnx_bytes(torch_model.seeded(_make), torch.zeros(1, _LENGTH, dtype=torch.int64))
