"""A small MLP-Mixer (Tolstikhin et al., 2021): no attention, matrices over tokens and over channels in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo import torch_model

if TYPE_CHECKING:
    from torch import nn

_WIDTH, _DEPTH, _PATCH, _IMAGE = 128, 8, 16, 224
_TOKENS = (_IMAGE // _PATCH) ** 2


def _make() -> nn.Module:
    import torch
    from torch import nn

    def mlp(size: int, hidden: int) -> nn.Module:
        return nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, size))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token_norm, self.tokens = nn.LayerNorm(_WIDTH), mlp(_TOKENS, _WIDTH // 2)
            self.channel_norm, self.channels = nn.LayerNorm(_WIDTH), mlp(_WIDTH, 4 * _WIDTH)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + self.tokens(self.token_norm(x).transpose(1, 2)).transpose(1, 2)
            result: torch.Tensor = x + self.channels(self.channel_norm(x))
            return result

    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, _WIDTH, _PATCH, _PATCH)
            self.blocks = nn.Sequential(*(Block() for _ in range(_DEPTH)), nn.LayerNorm(_WIDTH))
            self.head = nn.Linear(_WIDTH, 1000)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = self.blocks(self.patches(x).flatten(2).transpose(1, 2))
            result: torch.Tensor = self.head(tokens.mean(1))
            return result

    return Mixer()


def onnx() -> bytes:
    """[1, 3, 224, 224] to [1, 1000]."""
    import torch

    return torch_model.onnx_bytes(torch_model.seeded(_make), torch.zeros(1, 3, _IMAGE, _IMAGE))
