"""How much accuracy `precision="bf16"` costs: MNIST, each seed trained in both precisions.

    python tools/bf16_accuracy.py [--epochs 2] [--seeds 5] [--models lenet-5 ...]

Prints the test accuracies of each pair, and the mean of their differences in points with its 95 % interval.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from pathlib import Path
from typing import Literal

import torch
import wasmgrad
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import mnist  # noqa: E402

T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 8: 2.365, 10: 2.262}
"""Student's t for a two-sided interval, by the number of pairs."""


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut of the same width, or a 1x1 one of another."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W]."""
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def small_resnet(seed: int) -> bytes:
    """Three residual blocks of 16 to 64 channels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, 16, 3, 1, 1), Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)]
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return bytes(torch.jit.script(net).save_to_buffer())


def accuracy(model: str, seed: int, epochs: int, precision: Literal["f32", "bf16"]) -> float:
    """Of 10,000 test pictures, in percent."""
    archive = small_resnet(seed) if model == "small-resnet" else wasmgrad.models.build(model, seed)
    trainer = wasmgrad.Trainer(archive, epochs=epochs, learning_rate=1e-3, seed=seed, precision=precision)
    trainer.fit(wasmgrad.Dataset(mnist.images(), mnist.labels()))
    found = trainer.evaluate(wasmgrad.Dataset(mnist.images("t10k"), mnist.labels("t10k"))).accuracy
    assert found is not None
    return 100 * found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5, choices=sorted(T_95))
    parser.add_argument("--models", nargs="+", default=["mnist-cnn", "lenet-5", "small-resnet"])
    arguments = parser.parse_args()
    table = Table("model", "f32", "bf16", "bf16 - f32, points")
    for model in arguments.models:
        pairs = [
            (
                accuracy(model, seed, arguments.epochs, "f32"),
                accuracy(model, seed, arguments.epochs, "bf16"),
            )
            for seed in range(arguments.seeds)
        ]
        gaps = [narrow - wide for wide, narrow in pairs]
        half = T_95[len(gaps)] * statistics.stdev(gaps) / math.sqrt(len(gaps))
        means = [f"{statistics.mean(column):.2f}" for column in zip(*pairs, strict=True)]
        table.add_row(model, *means, f"{statistics.mean(gaps):+.2f} ± {half:.2f}")
        for wide, narrow in pairs:
            table.add_row("", f"{wide:.2f}", f"{narrow:.2f}", f"{narrow - wide:+.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
