"""Writes the TorchScript models, reference values and files that the C++ training tests read.

Run by CTest as a fixture: `models.py DIRECTORY`. Everything is small and seeded.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Convolution(nn.Module):
    """BatchNorm, convolution, dropout, linear: [N, 1, 6, 6] to 3 classes; every kind of state a trainer keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(144, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(torch.flatten(self.conv(self.norm(x)), 1)))


class Noise(nn.Module):
    """Draws from PyTorch's default generator while training."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x + torch.rand_like(x)
        return self.fc(x)


class Probabilities(nn.Module):
    """Softmax output."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.fc(x), 1)


class Pair(nn.Module):
    """Returns two tensors; classes are the first."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.fc(x), x


class Images(nn.Module):
    """Returns [N, 3, 1, 1] where classes were expected."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).unsqueeze(2).unsqueeze(3)


class Unused(nn.Module):
    """A parameter that takes no part in the output gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.ones(2))
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class TwoInputs(nn.Module):
    """Two tensors in, one out."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(4, 3)
        self.right = nn.Linear(2, 3)

    def forward(self, wide: Tensor, narrow: Tensor) -> Tensor:
        return self.left(wide) + self.right(narrow)


class Heads(nn.Module):
    """A dict of outputs: logits and a value."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.label = nn.Linear(4, 3)
        self.value = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = torch.tanh(self.body(x))
        return {"label": self.label(hidden), "value": self.value(hidden)}


class OwnLoss(nn.Module):
    """Computes cross-entropy itself when it gets the targets, which a prediction leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.fc(x)
        result = {"logits": logits}
        if labels is not None:
            result["loss"] = nn.functional.cross_entropy(logits, labels)
        return result


class ScalarLoss(nn.Module):
    """Returns nothing but its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return ((self.fc(x) - y) ** 2).mean()


class Words(nn.Module):
    """Takes indices, which must stay whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.embedding(x).mean(1)


class Types(nn.Module):
    """Outputs of several element types."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.fc(x)
        return logits.double(), logits.argmax(1), logits > 0


class Fixed(nn.Module):
    """No parameter at all."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def seeded(module: nn.Module) -> nn.Module:
    """The module with weights that depend on its structure alone."""
    torch.manual_seed(7)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
        else:
            nn.init.constant_(parameter, 0.25)
    return module


def linear_data(rows: int) -> tuple[Tensor, Tensor]:
    """Inputs [rows, 4] and class indices [rows]; the C++ tests compute the same numbers."""
    i = torch.arange(rows * 4, dtype=torch.float64)
    x = ((i * 7 % 13) / 13 - 0.5).to(torch.float32).reshape(rows, 4)
    return x, torch.arange(rows) % 3


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, parameters: Any, lr: float, weight_decay: float, betas: tuple[float, float]) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "betas": betas})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            first, second = group["betas"]
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                direction = (first * mean + (1 - first) * p.grad).sign()
                p.sub_(group["lr"] * (direction + group["weight_decay"] * p))
                mean.copy_(second * mean + (1 - second) * p.grad)


class LAMB(torch.optim.Optimizer):
    """You et al. 2020, algorithm 2, with bias correction."""

    def __init__(self, parameters: Any, lr: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                count = state["count"] = state.get("count", 0) + 1
                mean = state["mean"] = 0.9 * state.get("mean", 0) + 0.1 * p.grad
                square = state["square"] = 0.999 * state.get("square", 0) + 0.001 * p.grad**2
                update = mean / (1 - 0.9**count) / ((square / (1 - 0.999**count)).sqrt() + 1e-8)
                update += group["weight_decay"] * p
                p.sub_(group["lr"] * p.norm() / update.norm() * update)


def optimizer_reference() -> dict[str, list[float]]:
    """Parameters after five full-batch steps of each optimizer on the `linear` model."""
    makers = {
        "adam": lambda p: torch.optim.Adam(p, lr=0.05, weight_decay=0.01),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
        "sgd_momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, weight_decay=0.01),
        "rmsprop_momentum": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, alpha=0.9),
        "sgd_dampening": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.01),
        "adam_amsgrad": lambda p: torch.optim.Adam(p, lr=0.05, amsgrad=True, betas=(0.9, 0.5)),
        "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1, weight_decay=0.01, eps=1e-8),
        "nadam": lambda p: torch.optim.NAdam(p, lr=0.05, weight_decay=0.01),
        "radam": lambda p: torch.optim.RAdam(p, lr=0.05, weight_decay=0.01, betas=(0.9, 0.7)),
        "radam_long": lambda p: torch.optim.RAdam(p, lr=0.05),
        "lion": lambda p: Lion(p, lr=0.01, weight_decay=0.1, betas=(0.9, 0.99)),
        "lamb": lambda p: LAMB(p, lr=0.05, weight_decay=0.1),
        "clip_norm": lambda p: torch.optim.SGD(p, lr=0.1),
        "clip_value": lambda p: torch.optim.SGD(p, lr=0.1),
    }
    x, y = linear_data(12)
    result = {}
    for name, maker in makers.items():
        model = seeded(nn.Sequential(nn.Linear(4, 3)))
        optimizer = maker(model.parameters())
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            if name == "clip_norm":
                nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            if name == "clip_value":
                nn.utils.clip_grad_value_(model.parameters(), 0.02)
            optimizer.step()
        result[name] = torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()
    return result


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, module in {
        "linear": nn.Sequential(nn.Linear(4, 3)),
        "regression": nn.Sequential(nn.Linear(4, 1)),
        "convolution": Convolution(),
        "noise": Noise(),
        "probabilities": Probabilities(),
        "pair": Pair(),
        "images": Images(),
        "unused": Unused(),
        "two_inputs": TwoInputs(),
        "heads": Heads(),
        "own_loss": OwnLoss(),
        "scalar_loss": ScalarLoss(),
        "words": Words(),
        "types": Types(),
        "deep": nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)),
        "fixed": Fixed(),
    }.items():
        torch.jit.script(seeded(module)).save(str(directory / f"{name}.pt"))
    (directory / "optimizers.json").write_text(json.dumps(optimizer_reference()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
