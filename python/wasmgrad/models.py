"""A registry of small model definitions, each saved in a format that the training host takes.

torch is imported when a model is built, not before. A definition is a function that returns an untrained
`torch.nn.Module`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ._errors import NotFound
from ._files import cache_dir, write_atomic
from ._version import __version__

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Definition", "build", "cached", "names", "registry"]


@dataclass(frozen=True)
class Definition:
    """A named model: input shape without the batch dimension, output, and how to make the module."""

    name: str
    summary: str
    input_shape: tuple[int, ...]
    outputs: int
    make: Callable[[], nn.Module]


def _mnist_cnn() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.BatchNorm2d(1),
        nn.Conv2d(1, 8, 5, padding=2),
        nn.Conv2d(8, 16, 5, padding=2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(12544, 100),
        nn.Linear(100, 10),
    )


def _lenet_5() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def _mlp() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def _linear_regression() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(8, 1))


registry: dict[str, Definition] = {
    definition.name: definition
    for definition in (
        Definition(
            "mnist-cnn",
            "two 5x5 convolutions, no activations: linear in its input",
            (1, 28, 28),
            10,
            _mnist_cnn,
        ),
        Definition("lenet-5", "LeNet-5 with ReLU and max pooling", (1, 28, 28), 10, _lenet_5),
        Definition("mlp", "three fully connected layers with ReLU", (1, 28, 28), 10, _mlp),
        Definition(
            "linear-regression", "one linear layer, 8 inputs to 1 output", (8,), 1, _linear_regression
        ),
    )
}


def names() -> tuple[str, ...]:
    """The names `build` takes."""
    return tuple(registry)


def _find(name: str) -> Definition:
    if name not in registry:
        raise NotFound(f"model {name!r} is not in the registry; it holds {', '.join(registry)}")
    return registry[name]


def build(name: str, seed: int = 0, *, exported: bool = False) -> bytes:
    """The model `name` with weights initialised from `seed`, as a `torch.jit.save` archive.

    With `exported`, as a `torch.export.save` archive whose batch size is open. The same name, seed and torch
    version give the same weights; torch's global random state is left as it was.
    Errors: `NotFound` with the list of names.
    """
    definition = _find(name)
    import torch

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r".*torch\.jit\.\w+. is deprecated", category=DeprecationWarning
        )
        torch.manual_seed(seed)
        module = definition.make()
        buffer = io.BytesIO()
        if exported:
            example = torch.zeros(2, *definition.input_shape)
            batch = ({0: torch.export.Dim("batch")},)
            torch.export.save(torch.export.export(module, (example,), dynamic_shapes=batch), buffer)
        else:
            torch.jit.save(torch.jit.script(module), buffer)
    return buffer.getvalue()


def cached(name: str, seed: int = 0) -> Path:
    """`build(name, seed)` as a file in the cache.

    It is built once for each version of wasmgrad; torch is imported only then.
    """
    _find(name)
    path = cache_dir() / "models" / __version__ / f"{name}-{seed}.pt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, build(name, seed))
    return path
