"""What a sample model is: how it is made, what it is fed, and what it is trained on.

It must not know any architecture, nor what is done with a sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["CLASSES", "Case", "Rows", "classifier", "floats", "integers", "seeded", "slowly"]

CLASSES = 10


@dataclass(frozen=True)
class Rows:
    """What one input or target is drawn from: integers from 0 to `below` - 1, or else normal numbers."""

    shape: tuple[int, ...]
    below: int | None = None

    def draw(self, generator: np.random.Generator, count: int) -> NDArray[Any]:
        """An array [count, *shape] of float32 or int64."""
        if self.below is None:
            return generator.standard_normal((count, *self.shape), np.float32)
        return generator.integers(0, self.below, (count, *self.shape))


def floats(*shape: int) -> Rows:
    """Normal numbers [N, *shape]."""
    return Rows(shape)


def integers(*shape: int, below: int) -> Rows:
    """Whole numbers [N, *shape]."""
    return Rows(shape, below)


@dataclass(frozen=True)
class Case:
    """One sample model. Its output is trained by cross-entropy where the target is whole numbers, else by MSE."""

    name: str
    make: Callable[[], nn.Module]
    inputs: tuple[Rows, ...]
    target: Rows
    batch: int = 4
    learning_rate: float = 0.01
    bias: float = 0.0
    """What batch norms begin with as their bias."""

    @property
    def loss(self) -> str:
        """What `wasmgrad.Trainer` calls it."""
        return "mse" if self.target.below is None else "cross_entropy"


def classifier(name: str, make: Callable[[], nn.Module], *inputs: Rows, **options: Any) -> Case:
    """A sample whose output is [N, CLASSES]."""
    return Case(name, make, inputs, integers(below=CLASSES), **options)


def slowly(case: Case, learning_rate: float, bias: float = 0.0) -> Case:
    """The same sample on larger batches at a lower rate.

    The first gradients of a net with many batch norms grow with its depth, and with few rows in a batch: at a usual
    rate two runs that differ in a last place part after some steps, and neither could be held against the other.
    Where batch norms begin with a `bias` of 2, few ReLUs are where they switch, and the gradients grow less.
    """
    return replace(case, batch=8, learning_rate=learning_rate, bias=bias)


def _without_chance(model: nn.Module) -> nn.Module:
    """The same model with every rate of dropout and stochastic depth 0, so that nothing it computes is drawn."""
    for module in model.modules():
        for name in (
            "p",
            "drop_prob",
            "dropout",
            "drop_rate",
            "attn_drop_rate",
            "drop_path_rate",
            "dropout_p",
        ):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model.train()


def seeded(case: Case) -> nn.Module:
    """The model in training mode, with weights drawn from a fixed seed."""
    torch.manual_seed(0)
    model = _without_chance(case.make())
    if case.bias:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.bias, case.bias)
    return model
