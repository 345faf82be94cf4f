"""Nodes of a federation with few rows each, a small model, and the guest that trains it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wasmgrad
from wasmgrad import Limits
from wasmgrad._training.weight_files import write_tensors
from wasmgrad.federated import Policy

__all__ = ["Small", "any_policy", "initial", "rows_of", "scripted", "write_rows"]

ROWS = 64


class Small(torch.nn.Module):
    """With batch norm: parameters, running statistics and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(4, 8)
        self.norm = torch.nn.BatchNorm1d(8)
        self.out = torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.norm(self.hidden(x))))


def scripted(module: torch.nn.Module) -> bytes:
    from wasmgrad._training.model_bytes import model_bytes

    return model_bytes(module)[0]


def initial(model: bytes) -> dict[str, np.ndarray]:
    return wasmgrad.Trainer(model, threads=1).state_dict()


def rows_of(seed: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Four features, and one of three classes that they tell."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 4)).astype("f4")
    return features, np.argmax(features[:, :3] + 0.1, axis=1).astype("i8")


def write_rows(folder: Path, seed: int, rows: int = ROWS) -> Path:
    """As tests/guests/task.c reads them."""
    features, classes = rows_of(seed, rows)
    folder.mkdir(parents=True, exist_ok=True)
    table = np.concatenate([features, classes[:, None].astype("f4")], axis=1)
    (folder / "rows").write_bytes(np.uint32(rows).tobytes() + table.astype("f4").tobytes())
    return folder


def any_policy(data: Path, **changes: Any) -> Policy:
    chosen: dict[str, Any] = {"guests": ["*"], "models": ["*"], "clip_norm": float("inf"), "threads": 1}
    chosen |= {"directories": {"/data": data}, "limits": Limits(wall_seconds=60)}
    return Policy(**{**chosen, **changes})


def as_file(tensors: Mapping[str, np.ndarray]) -> bytes:
    return write_tensors(tensors)
