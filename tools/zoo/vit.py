"""ViT-Tiny/16 (Touvron et al., 2021): patch embedding, attention, LayerNorm, GELU, softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo import torch_model

if TYPE_CHECKING:
    from torch import nn

_WIDTH, _HEADS, _DEPTH, _PATCH, _IMAGE = 192, 3, 12, 16, 224


def _make() -> nn.Module:
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(_WIDTH, 3 * _WIDTH)
            self.out = nn.Linear(_WIDTH, _WIDTH)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            batch, tokens, _ = x.shape
            parts = self.qkv(x).reshape(batch, tokens, 3, _HEADS, _WIDTH // _HEADS)
            q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
            scores = q @ k.transpose(-2, -1) * (_WIDTH // _HEADS) ** -0.5
            mixed = scores.softmax(-1) @ v
            result: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(batch, tokens, _WIDTH))
            return result

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.Sequential(nn.LayerNorm(_WIDTH, 1e-6), Attention())
            self.mlp = nn.Sequential(
                nn.LayerNorm(_WIDTH, 1e-6),
                nn.Linear(_WIDTH, 4 * _WIDTH),
                nn.GELU(),
                nn.Linear(4 * _WIDTH, _WIDTH),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + self.attention(x)
            result: torch.Tensor = x + self.mlp(x)
            return result

    class VisionTransformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, _WIDTH, _PATCH, _PATCH)
            self.token = nn.Parameter(torch.randn(1, 1, _WIDTH) * 0.02)
            self.position = nn.Parameter(torch.randn(1, (_IMAGE // _PATCH) ** 2 + 1, _WIDTH) * 0.02)
            self.blocks = nn.Sequential(*(Block() for _ in range(_DEPTH)))
            self.head = nn.Sequential(nn.LayerNorm(_WIDTH, 1e-6), nn.Linear(_WIDTH, 1000))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            patches = self.patches(x).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.token.expand(patches.shape[0], -1, -1), patches], 1)
            result: torch.Tensor = self.head(self.blocks(tokens + self.position)[:, 0])
            return result

    return VisionTransformer()


def model() -> nn.Module:
    """[N, 3, 224, 224] to [N, 1000], with the weights of its file."""
    return torch_model.seeded(_make)


def onnx() -> bytes:
    """[1, 3, 224, 224] to [1, 1000]."""
    import torch

    return torch_model.onnx_bytes(model(), torch.zeros(1, 3, _IMAGE, _IMAGE))
