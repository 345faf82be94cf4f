"""Writes the models that the conformance suite trains: `make_models.py DIRECTORY`.

Each file is also what the owner grants by its name without `.pt`. Weights are fixed, so that the suite can say what a
model computes. TorchScript reads the types from `typing`.
"""

from __future__ import annotations

import json
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Dict, Optional  # noqa: UP035

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """[N, 4] to 3 logits: weight[i] = i / 100, bias 0.1, 0.2, 0.3."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


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


class TwoInputs(nn.Module):
    """left [N, 4] - 2 * right [N, 4], then linear to 3 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.fc(left - 2 * right)


class TwoOutputs(nn.Module):
    """[N, 4] to {"class": 3 logits, "value": 1 number}."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(4, 3)
        self.regressor = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        return {"class": self.classifier(x), "value": self.regressor(x)}


class OwnLoss(nn.Module):
    """Returns what it predicts, and with a target its own loss: the mean absolute difference."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 1)

    def forward(self, x: Tensor, target: Optional[Tensor] = None) -> Dict[str, Tensor]:  # noqa: UP006, UP045
        prediction = self.fc(x)
        result = {"prediction": prediction}
        if target is not None:
            result["loss"] = (prediction - target).abs().mean()
        return result


class Tokens(nn.Module):
    """Token numbers [N, 5] below 10 to 3 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.fc = nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc(self.embedding(tokens).mean(1))


class Counting(nn.Module):
    """[N, 4] to 3 logits less their mean over the batch; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y = self.fc(x)
        return y - y.mean(0, keepdim=True)


class Hostile(nn.Module):
    """Reads a file of its host."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_file("/etc/hostname", shared=False, size=1, dtype=torch.uint8)


MODELS = {
    "linear": Linear,
    "convolution": Convolution,
    "two-inputs": TwoInputs,
    "two-outputs": TwoOutputs,
    "own-loss": OwnLoss,
    "tokens": Tokens,
    "counting": Counting,
    "hostile": Hostile,
}


def with_fixed_weights(module: nn.Module) -> nn.Module:
    """Weights that count up in hundredths around their middle when there are many; biases 0.1, 0.2, ..."""
    with torch.no_grad():
        for parameter in module.parameters():
            count = torch.arange(parameter.numel(), dtype=torch.float32)
            if parameter.dim() > 1:
                parameter.copy_((count % 37 / 100).reshape(parameter.shape))
            else:
                parameter.copy_((count + 1) / 10)
    return module


def write_later_format(program: Path, later: Path) -> None:
    """A copy of a torch.export program that says that a later PyTorch wrote it."""
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(later, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("/models/model.json"):
                content = json.loads(data)
                content["schema_version"]["major"] += 1000
                data = json.dumps(content).encode()
            target.writestr(name, data)


def main(directory: Path) -> None:
    """Write every model as TorchScript, and the first as a torch.export program too."""
    directory.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
    for name, make in MODELS.items():
        torch.jit.script(with_fixed_weights(make())).save(str(directory / f"{name}.pt"))
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(
        with_fixed_weights(Linear()), (torch.zeros(8, 4),), dynamic_shapes={"x": {0: batch}}
    )
    torch.export.save(program, directory / "linear.pt2")
    write_later_format(directory / "linear.pt2", directory / "later-format.pt2")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
