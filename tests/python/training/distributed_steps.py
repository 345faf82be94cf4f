"""Run by torchrun: trains a model for some steps on random rows, and writes what came of it.

`distributed_steps.py MODEL SHAPE CLASSES BATCH STEPS OUT`: OUT-RANK.npz has the parameters and buffers.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import wasmgrad


def rows(shape: tuple[int, ...], classes: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(11)
    return random.random((count, *shape), np.float32), random.integers(0, classes, count)


def train(
    model: Path, shape: tuple[int, ...], classes: int, batch: int, steps: int, distributed: bool
) -> wasmgrad.Trainer:
    trainer = wasmgrad.Trainer(
        model, distributed=distributed, optimizer="sgd", learning_rate=0.05, momentum=0.9, threads=1
    )
    inputs, targets = rows(shape, classes, batch * steps)
    for step in range(steps):
        part = slice(step * batch, (step + 1) * batch)
        metrics = trainer.step(inputs[part], targets[part])
        assert metrics.samples == batch
    return trainer


if __name__ == "__main__":
    model, shape, classes, batch, steps, out = sys.argv[1:]
    size = tuple(int(number) for number in shape.split("x"))
    trainer = train(Path(model), size, int(classes), int(batch), int(steps), distributed=True)
    assert (trainer.rank, trainer.processes) == (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    np.savez(f"{out}-{trainer.rank}.npz", parameters=trainer.get_parameters(), buffers=trainer.get_buffers())
