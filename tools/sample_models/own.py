"""Small models in plain torch: pictures, rows of features, and pairs. Those of sequences are in `own_sequences`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .case import CLASSES, Case, classifier, floats, integers

__all__ = ["CASES"]


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class UNet(nn.Module):
    """Two levels; a class for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = _convolution(3, 8)
        self.middle = _convolution(8, 16)
        self.deep = _convolution(16, 32)
        self.up_middle = nn.ConvTranspose2d(32, 16, 2, 2)
        self.up_wide = nn.ConvTranspose2d(16, 8, 2, 2)
        self.merge_middle = _convolution(32, 16)
        self.merge_wide = _convolution(16, 8)
        self.out = nn.Conv2d(8, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, CLASSES, H, W]."""
        wide = self.wide(x)
        middle = self.middle(F.max_pool2d(wide, 2))
        deep = self.deep(F.max_pool2d(middle, 2))
        middle = self.merge_middle(torch.cat([middle, self.up_middle(deep)], 1))
        return self.out(self.merge_wide(torch.cat([wide, self.up_wide(middle)], 1)))


class VAE(nn.Module):
    """A variational autoencoder whose noise is an input, so that nothing is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ELU())
        self.mean = nn.Linear(32, 8)
        self.log_variance = nn.Linear(32, 8)
        self.decoder = nn.Sequential(nn.Linear(8, 32), nn.ELU(), nn.Linear(32, 64))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """[N, 64] and [N, 8] to [N, 64]."""
        inner = self.encoder(x)
        code = self.mean(inner) + noise * torch.exp(0.5 * self.log_variance(inner))
        return self.decoder(code)


class Autoencoder(nn.Module):
    """Strided convolutions down, transposed ones up."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.LeakyReLU(0.1), nn.Conv2d(8, 16, 3, 2, 1), nn.LeakyReLU(0.1)
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(16, 8, 4, 2, 1),
            nn.InstanceNorm2d(8, affine=True),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 3, 4, 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, 16, 16] to the same."""
        return torch.tanh(self.decoder(self.encoder(x)))


class GCN(nn.Module):
    """Two graph convolutions over a dense adjacency matrix, then the mean of the nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 16)
        self.second = nn.Linear(16, 16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        """[N, nodes, 12] and [N, nodes, nodes] to [N, CLASSES]."""
        linked = torch.sigmoid(adjacency)
        linked = linked / linked.sum(-1, keepdim=True)
        nodes = F.relu(torch.bmm(linked, self.first(nodes)))
        nodes = F.relu(torch.bmm(linked, self.second(nodes)))
        return self.head(nodes.mean(1))


class Recommender(nn.Module):
    """A user and a bag of things, with a rating."""

    def __init__(self) -> None:
        super().__init__()
        self.users = nn.Embedding(50, 16)
        self.things = nn.EmbeddingBag(80, 16, mode="mean")
        self.head = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, user: Tensor, things: Tensor) -> Tensor:
        """[N] and [N, things] to [N, 1]."""
        return self.head(torch.cat([self.users(user), self.things(things)], 1))


class DLRM(nn.Module):
    """Dense features and categories, whose products of pairs reach the top layers."""

    def __init__(self) -> None:
        super().__init__()
        self.bottom = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 8), nn.ReLU())
        self.tables = nn.ModuleList(nn.EmbeddingBag(40, 8, mode="sum") for _ in range(3))
        self.top = nn.Sequential(nn.Linear(8 + 6, 16), nn.ReLU(), nn.Linear(16, 1))
        self.register_buffer("pairs", torch.tril_indices(4, 4, -1))

    def forward(self, dense: Tensor, categories: Tensor) -> Tensor:
        """[N, 13] and [N, 3, words] to [N, 1]."""
        bottom = self.bottom(dense)
        vectors = [bottom]
        for i, table in enumerate(self.tables):
            vectors.append(table(categories[:, i]))
        stacked = torch.stack(vectors, 1)
        products = torch.bmm(stacked, stacked.transpose(1, 2))[:, self.pairs[0], self.pairs[1]]
        return self.top(torch.cat([bottom, products], 1))


class MixerBlock(nn.Module):
    """Mixes positions, then channels."""

    def __init__(self, positions: int, channels: int) -> None:
        super().__init__()
        self.norm_positions = nn.LayerNorm(channels)
        self.positions = nn.Sequential(nn.Linear(positions, 32), nn.GELU(), nn.Linear(32, positions))
        self.norm_channels = nn.LayerNorm(channels)
        self.channels = nn.Sequential(nn.Linear(channels, 32), nn.GELU(), nn.Linear(32, channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N, positions, channels] to the same."""
        x = x + self.positions(self.norm_positions(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm_channels(x))


class Mixer(nn.Module):
    """An MLP-Mixer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 4, 4)
        self.blocks = nn.Sequential(MixerBlock(16, 24), MixerBlock(16, 24))
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, 16, 16] to [N, CLASSES]."""
        return self.head(self.blocks(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


class Siamese(nn.Module):
    """One encoder for two pictures, and how alike they are."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            _convolution(3, 8), nn.MaxPool2d(2), _convolution(8, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.scale = nn.Parameter(torch.tensor([2.0]))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """[N, 3, 16, 16] twice to [N, 1]."""
        alike = F.cosine_similarity(self.encoder(left), self.encoder(right))
        return (self.scale * alike).unsqueeze(1)


CASES = [
    Case("U-Net", UNet, (floats(3, 16, 16),), integers(16, 16, below=CLASSES)),
    Case("VAE", VAE, (floats(64), floats(8)), floats(64)),
    Case("convolutional autoencoder", Autoencoder, (floats(3, 16, 16),), floats(3, 16, 16)),
    classifier("GCN over dense adjacency", GCN, floats(9, 12), floats(9, 9)),
    Case(
        "recommender with an embedding bag",
        Recommender,
        (integers(below=50), integers(5, below=80)),
        floats(1),
    ),
    Case("DLRM", DLRM, (floats(13), integers(3, 4, below=40)), floats(1), learning_rate=0.001),
    classifier("MLP-Mixer", Mixer, floats(3, 16, 16)),
    Case("siamese network", Siamese, (floats(3, 16, 16), floats(3, 16, 16)), floats(1)),
]
