"""Writes the TorchScript models that the wasi-nn tests run.

Run by CTest as a fixture: `models.py DIRECTORY`. Their outputs are plain functions of their inputs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn


class Affine(nn.Module):
    """2x + 1, with the 2 and the 1 as parameters; dropout would show in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0]))
        self.offset = nn.Parameter(torch.tensor([1.0]))
        self.drop = nn.Dropout(0.9)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(x * self.scale + self.offset)


class Lookup(nn.Module):
    """Features [N, 2] and indices [N] to sums [N] plus a table's entry, and the indices times 3."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 1)
        self.table.weight = nn.Parameter(torch.tensor([[0.0], [10.0], [20.0], [30.0]]))

    def forward(self, features: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        return features.sum(1) + self.table(indices).squeeze(1), indices * 3


class Same(nn.Module):
    """What it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class InPlace(nn.Module):
    """Writes to its input."""

    def forward(self, x: Tensor) -> Tensor:
        return x.add_(1.0)


class Named(nn.Module):
    """A dictionary: the double, and where x is above 0."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"double": x * 2.0, "positive": x > 0}


class Several(nn.Module):
    """A list."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, x + 1.0]


class Masked(nn.Module):
    """An input that may be left out, after an argument that cannot be given."""

    def forward(self, x: Tensor, factor: float = 3.0, mask: Tensor | None = None) -> Tensor:
        y = x * factor
        return y if mask is None else y * mask


class Counted(nn.Module):
    """Needs an argument that is no tensor."""

    def forward(self, x: Tensor, times: int) -> Tensor:
        return x * times


class Nested(nn.Module):
    """Returns a tuple in a tuple."""

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return x, (x, x)


class Sized(nn.Module):
    """Returns a number beside its tensor."""

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return x, x.size(0)


class OwnLoss(nn.Module):
    """The double, and the loss of a target that nothing else needs; `shift` is needed."""

    def forward(self, x: Tensor, target: Tensor, shift: Tensor) -> dict[str, Tensor]:
        double = x * 2.0 + shift
        if target.size() != double.size():
            raise ValueError("sizes differ")
        return {"loss": nn.functional.mse_loss(double, target), "double": double}


class Huge(nn.Module):
    """Returns 4 TB without holding them."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(1, 1).expand(1000000, 1000000)


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for module in (
        Affine,
        Lookup,
        Same,
        InPlace,
        Named,
        Several,
        Masked,
        Counted,
        Nested,
        Sized,
        OwnLoss,
        Huge,
    ):
        torch.jit.script(module()).save(str(directory / f"{module.__name__.lower()}.pt"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
