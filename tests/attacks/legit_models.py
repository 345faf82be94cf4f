"""Honest TorchScript models that vetting has to accept: one saved archive per kind of network.

It must not know how vetting works; it only writes what a user would save. TorchScript reads these annotations at run
time, so they may not be postponed.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from wasmgrad.models import registry


def activations() -> nn.Module:
    """Activations and normalisations between fully connected layers: 16 features to 4."""
    return nn.Sequential(
        nn.Linear(16, 32),
        nn.BatchNorm1d(32),
        nn.GELU(),
        nn.ReLU(inplace=True),
        nn.Tanh(),
        nn.LayerNorm(32),
        nn.SiLU(),
        nn.LeakyReLU(0.1),
        nn.ELU(),
        nn.Hardswish(),
        nn.Softplus(),
        nn.PReLU(),
        nn.Mish(),
        nn.Linear(32, 4),
        nn.LogSoftmax(dim=1),
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(2, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.shortcut: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm(self.first(x)))
        return functional.relu(self.second(y) + x)


class ResNet(nn.Module):
    """A stem, a list of residual blocks walked by a loop, upsampling, a pooled head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList([ResidualBlock(8), ResidualBlock(8)])
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = functional.interpolate(self.up(x), scale_factor=0.5, mode="bilinear", align_corners=False)
        x = torch.flatten(functional.adaptive_avg_pool2d(x, (1, 1)), 1)
        return self.head(x)


class LstmClassifier(nn.Module):
    """Embedding, bidirectional LSTM, GRU, linear head: token numbers to 3 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, 12, num_layers=2, batch_first=True, bidirectional=True, dropout=0.1)
        self.gru = nn.GRU(24, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        states, _ = self.lstm(self.embedding(tokens))
        states, _ = self.gru(states)
        return self.head(states[:, -1, :])


class Attention(nn.Module):
    """Hand-written multi-head self-attention with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 2
        self.project = nn.Linear(16, 48)
        self.register_buffer("mask", torch.ones(32, 32).tril().bool(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.project(x).chunk(3, dim=-1)
        q = q.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
        k = k.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
        v = v.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / (width // self.heads) ** 0.5
        scores = scores.masked_fill(~self.mask[:length, :length], float("-inf"))
        mixed = torch.softmax(scores, dim=-1) @ v
        fused = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return (mixed + fused).transpose(1, 2).contiguous().view(batch, length, width)


class Pair(NamedTuple):
    """Two tensors with names."""

    left: Tensor
    right: Tensor


class Containers(nn.Module):
    """Attributes of every plain kind, control flow, tuples in and out, a constant tensor in the code."""

    scales: list[float]
    sizes: dict[str, int]
    maybe: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.scales = [0.5, 2.0]
        self.sizes = {"a": 1, "b": 70000, "c": 1 << 40}
        self.flags = (True, 3, 1.5, "näme")
        self.words = ["one", "two"]
        self.shifts = [torch.ones(2), torch.zeros(2)]
        self.table = {"x": torch.arange(3.0), "y": torch.zeros(2, 3)}
        self.nested = {"a": [1, 2], "b": [3]}
        self.maybe = None
        shared = torch.arange(12.0).reshape(3, 4)
        self.register_buffer("whole", shared)
        self.register_buffer("column", shared[:, 1])
        self.register_buffer("scalar", torch.tensor(3))
        self.register_buffer("none_at_all", torch.empty(0, 4))
        self.tied = nn.Linear(2, 2)
        self.tied_again = self.tied

    def pair(self, x: Tensor) -> Pair:
        return Pair(x, x * 2)

    def forward(self, x: Tensor, times: int = 2) -> tuple[Tensor, dict[str, Tensor]]:
        total = torch.zeros_like(x)
        for scale in self.scales:
            if scale > 1.0:
                total = total + x * scale
            elif times > 1 and len(self.words) == 2:
                total = total - x
        count = 0
        while count < times:
            count += self.sizes["a"]
        offset = self.maybe
        if offset is not None:
            total += offset
        pieces: list[Tensor] = []
        for index in range(count):
            pieces.append(self.tied(total) + self.tied_again(self.shifts[index % 2] + total))  # noqa: PERF401 - the append is under test
        both = self.pair(torch.stack(pieces).mean(0))
        if both.left.dim() != 2:
            raise ValueError(f"expected 2 dimensions, got {both.left.dim()}")
        assert both.left.dtype == torch.float32, "wrong type"
        constant = torch.tensor([1.0, 2.0])
        return both.left + constant, {
            "right": both.right[..., :1].to(torch.float64),
            "whole": self.whole[1:, None],
        }


class Tokens(nn.Module):
    """Standard transformer encoder layers."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


class Volumes(nn.Module):
    """One- and three-dimensional layers, and the rest of the pooling and normalisation family."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Sequential(
            nn.Conv1d(2, 4, 3, padding="same"),
            nn.InstanceNorm1d(4, affine=True),
            nn.AvgPool1d(2),
            nn.ConvTranspose1d(4, 4, 2, stride=2),
            nn.Dropout1d(),
        )
        self.cube = nn.Sequential(
            nn.Conv3d(1, 2, 3, padding=1),
            nn.BatchNorm3d(2),
            nn.MaxPool3d(2),
            nn.AdaptiveMaxPool3d(2),
            nn.Upsample(scale_factor=2.0, mode="nearest"),
        )
        self.image = nn.Sequential(
            nn.ZeroPad2d(1),
            nn.ReflectionPad2d(1),
            nn.Conv2d(1, 4, 3, groups=1, dilation=2),
            nn.PixelShuffle(2),
            nn.LocalResponseNorm(2),
            nn.Hardtanh(),
            nn.ReLU6(),
            nn.Softmax(dim=1),
            nn.AvgPool2d(3),
            nn.AlphaDropout(),
            nn.Dropout2d(),
        )

    def forward(self, line: Tensor, cube: Tensor, image: Tensor) -> Tensor:
        return self.line(line).sum() + self.cube(cube).sum() + self.image(image).pow(2).mean()


class Losses(nn.Module):
    """A model that computes its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)
        self.cross = nn.CrossEntropyLoss(label_smoothing=0.1)
        self.smooth = nn.SmoothL1Loss()
        self.binary = nn.BCEWithLogitsLoss()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        logits = self.net(x)
        hot = functional.one_hot(y, 3).float()
        loss = self.cross(logits, y) + self.smooth(logits, hot) + self.binary(logits, hot)
        loss = (
            loss
            + functional.mse_loss(logits, hot)
            + functional.nll_loss(functional.log_softmax(logits, 1), y)
        )
        best = torch.where(logits > 0, logits, -logits).clamp(0.0, 1.0).max(dim=1)[0]
        return loss + best.mean() + functional.kl_div(logits.log_softmax(1), hot, reduction="batchmean")


def write(folder: Path) -> list[str]:
    """Saves every model into `folder` and returns the file names."""
    torch.manual_seed(1)
    scripted = {
        **{name: definition.make() for name, definition in registry.items()},
        "activations": activations(),
        "resnet": ResNet(),
        "lstm": LstmClassifier(),
        "attention": Attention(),
        "transformer": Tokens(),
        "containers": Containers(),
        "volumes": Volumes(),
        "losses": Losses(),
    }
    names = []
    for name, module in scripted.items():
        torch.jit.script(module).save(str(folder / f"{name}.pt"))
        names.append(f"{name}.pt")

    frozen = torch.jit.freeze(torch.jit.script(registry["lenet-5"].make().eval()))
    frozen.save(str(folder / "frozen.pt"))
    traced = torch.jit.trace(ResNet().eval(), torch.rand(2, 3, 16, 16))
    traced.save(str(folder / "traced.pt"))
    twice = torch.jit.load(str(folder / "containers.pt"))
    twice.save(str(folder / "saved-twice.pt"))
    extra = torch.jit.script(activations())
    torch.jit.save(extra, str(folder / "extra-files.pt"), _extra_files={"note.txt": b"hello"})
    return [*names, "frozen.pt", "traced.pt", "saved-twice.pt", "extra-files.pt"]
