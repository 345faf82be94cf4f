"""Train and run neural networks from inside a WebAssembly sandbox.

`train` runs a guest in a child process and returns what it trained; `Sandbox` runs any guest; `Trainer` and
`Dataset` use the training host from NumPy arrays, without WebAssembly. `compile` makes one WebAssembly module of a
model, and `load` runs such a module. `add_to_linker` gives a guest in wasmtime the same imports. Every failure is an
`Error`.

Importing the package is cheap: the native core, NumPy, torch and TVM are loaded when first needed.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# libtorch's OpenMP runtime spins between parallel regions unless told not to before it loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from ._errors import (
    Error,
    GuestExit,
    Interrupted,
    InvalidArgument,
    InvalidEncoding,
    ModelWarning,
    NotFound,
    PeerLost,
    RuntimeFailure,
    SecurityError,
    TimeLimit,
    TooLarge,
    Unknown,
    Unsupported,
)
from ._metrics import Metrics
from ._training.distributed import Distributed
from ._training.options import Limits, TrainingOptions
from ._training.result import EpochMetrics, Event, GuestResult, TrainingResult, Usage
from ._training.run import Sandbox, train
from ._version import __version__

if TYPE_CHECKING:
    from . import models
    from ._graph.load import load
    from ._graph.module import GraphModule
    from ._graph.training import TrainingModule
    from ._guests.toolchain import build_guest, new_guest
    from ._training.tensorboard import TensorBoardLog
    from ._training.trainer import Dataset, FitResult, Trainer
    from ._training.wasmtime_linker import add_to_linker
    from .compiler import compile  # noqa: A004

__all__ = [
    "Dataset",
    "Distributed",
    "EpochMetrics",
    "Error",
    "Event",
    "FitResult",
    "GraphModule",
    "GuestExit",
    "GuestResult",
    "Interrupted",
    "InvalidArgument",
    "InvalidEncoding",
    "Limits",
    "Metrics",
    "ModelWarning",
    "NotFound",
    "PeerLost",
    "RuntimeFailure",
    "Sandbox",
    "SecurityError",
    "TensorBoardLog",
    "TimeLimit",
    "TooLarge",
    "Trainer",
    "TrainingModule",
    "TrainingOptions",
    "TrainingResult",
    "Unknown",
    "Unsupported",
    "Usage",
    "__version__",
    "add_to_linker",
    "build_guest",
    "compile",
    "load",
    "models",
    "new_guest",
    "train",
]

_LAZY = {
    "Dataset": "._training.trainer",
    "FitResult": "._training.trainer",
    "GraphModule": "._graph.module",
    "TensorBoardLog": "._training.tensorboard",
    "Trainer": "._training.trainer",
    "TrainingModule": "._graph.training",
    "add_to_linker": "._training.wasmtime_linker",
    "build_guest": "._guests.toolchain",
    "compile": ".compiler",
    "load": "._graph.load",
    "new_guest": "._guests.toolchain",
}


def __getattr__(name: str) -> Any:
    if name == "models":
        return importlib.import_module(".models", __name__)
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name], __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
