#!/usr/bin/env python3
"""Writes one file of each format into a folder called like the version, for `tests/python/test_artefacts.py`.

    python tests/artefacts/make.py      once for a release, from its installed wheel; the files are committed

Nothing is made anew afterwards: that later versions read what this one wrote is what the test shows.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import torch
import wasmgrad
from torch import nn
from wasmgrad._files import find_part

GUESTS = {"earlier_interface.wasm": "guests/regression.wasm", "training_v1.wasm": "guests/mnist_loop_c.wasm"}


def trainer(archive: bytes) -> wasmgrad.Trainer:
    """As the checkpoint's was: its options are part of what a checkpoint must fit."""
    return wasmgrad.Trainer(
        archive, loss="mse", optimizer="adam", learning_rate=0.01, batch_size=8, seed=3, threads=1
    )


def data(rows: int = 32) -> wasmgrad.Dataset:
    """A fixed regression."""
    x = np.sin(np.arange(rows * 4, dtype=np.float32).reshape(rows, 4) * 1.7)
    return wasmgrad.Dataset(x, x.sum(1, keepdims=True) + 0.25)


def main() -> None:
    """Into tests/artefacts/VERSION."""
    folder = Path(__file__).parent / ".".join(wasmgrad.__version__.split(".")[:2])
    folder.mkdir()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 1))
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(model), buffer)
    (folder / "model.pt").write_bytes(buffer.getvalue())
    rows = torch.export.Dim("rows")
    program = torch.export.export(model.train(), (torch.zeros(2, 4),), dynamic_shapes=({0: rows},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # with paths of this computer
    torch.export.save(program, folder / "model.pt2")

    first = trainer(buffer.getvalue())
    first.train_epoch(data())
    (folder / "state.safetensors").write_bytes(first.checkpoint())
    (folder / "trained.pt").write_bytes(first.model())
    first.train_epoch(data())

    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    compiled = wasmgrad.compile(folder / "trained.pt", shapes={"input": (3, 4)})
    compiled.save(folder / "model.wasm")
    for name, part in GUESTS.items():
        shutil.copy(find_part(part), folder / name)
    expected = {
        "loss_after_restore": first.evaluate(data()).loss,
        "input": x.tolist(),
        "output": compiled(x).tolist(),
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
