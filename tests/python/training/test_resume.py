"""A run that was stopped and resumed ends bit for bit where an uninterrupted one does."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import wasmgrad
from safetensors import safe_open

Train = Callable[..., wasmgrad.TrainingResult]
OPTIONS: dict[str, Any] = {"seed": 4, "threads": 1, "epochs": 4}
ARGS = ["--samples", "2048"]


def same_weights(first: bytes, second: bytes) -> bool:
    a, b = (torch.jit.load(io.BytesIO(archive)).state_dict() for archive in (first, second))
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def run(regression_guest: Path, linear_model: Path) -> Train:
    def train(**options: object) -> wasmgrad.TrainingResult:
        chosen: dict[str, Any] = {**OPTIONS, **options}
        return wasmgrad.train(regression_guest, args=ARGS, models={"linear.pt": linear_model}, **chosen)

    return train


class InterruptAt:
    """Sends this process SIGINT, once, when the events say that enough was done."""

    def __init__(self, epoch: int, batch: int) -> None:
        self._at = (epoch, batch)
        self._sent = False

    def __call__(self, event: wasmgrad.Event) -> None:
        if event["event"] == "progress" and not self._sent and (event["epoch"], event["batch"]) >= self._at:
            self._sent = True
            os.kill(os.getpid(), signal.SIGINT)


def test_resume_after_whole_epochs_is_bit_identical(run: Train, tmp_path: Path) -> None:
    kept = tmp_path / "kept.safetensors"
    run(epochs=2, checkpoint=kept)
    resumed = run(resume=kept)
    assert [epoch.epoch for epoch in resumed.epochs] == [3, 4]
    assert same_weights(resumed.model, run().model)


@pytest.mark.parametrize("isolate", [True, False])
def test_resume_after_an_interrupt_within_an_epoch_is_bit_identical(
    few_digits: Path, tmp_path: Path, isolate: bool
) -> None:
    options: dict[str, Any] = {
        "data": few_digits,
        "seed": 2,
        "threads": 1,
        "epochs": 2,
        "batches_per_epoch": 60,
        "isolate": isolate,
    }
    kept = tmp_path / "kept.safetensors"
    stopped = wasmgrad.train(**options, checkpoint=kept, on_event=InterruptAt(1, 1))
    assert stopped.interrupted
    assert stopped.checkpoint == kept
    assert len(stopped.epochs) < 2
    resumed = wasmgrad.train(**options, resume=kept)
    assert same_weights(resumed.model, wasmgrad.train(**options).model)


def test_checkpoint_is_read_by_safetensors(run: Train, tmp_path: Path) -> None:
    kept = tmp_path / "kept.safetensors"
    result = run(epochs=1, checkpoint=kept)
    state = torch.jit.load(io.BytesIO(result.model)).state_dict()
    with safe_open(kept, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, value in state.items():
        assert any(key.endswith(name) and torch.equal(tensor, value) for key, tensor in tensors.items()), name


def test_checkpoint_of_another_seed_is_refused(run: Train, tmp_path: Path) -> None:
    kept = tmp_path / "kept.safetensors"
    run(epochs=1, checkpoint=kept)
    with pytest.raises(wasmgrad.InvalidArgument, match="seed"):
        run(seed=5, resume=kept)


def test_truncated_checkpoint_is_refused(run: Train, tmp_path: Path) -> None:
    kept = tmp_path / "kept.safetensors"
    run(epochs=1, checkpoint=kept)
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(wasmgrad.InvalidEncoding):
        run(resume=kept)


def test_missing_checkpoint_is_named(run: Train, tmp_path: Path) -> None:
    with pytest.raises(wasmgrad.NotFound, match=r"absent\.safetensors"):
        run(resume=tmp_path / "absent.safetensors")


KILLED_WHILE_WRITING = """
import os, signal, sys, wasmgrad
guest, model, kept = sys.argv[1:]
def on_event(event):
    if event["event"] == "checkpoint" and event["epoch"] >= 2:
        print("checkpoint", flush=True)
wasmgrad.train(guest, models={"linear.pt": model}, args=["--samples", "64"], epochs=1000000, threads=1,
               checkpoint=kept, on_event=on_event, isolate=False)
"""


def test_sigkill_while_checkpoints_are_written_leaves_a_whole_one(
    regression_guest: Path, linear_model: Path, tmp_path: Path
) -> None:
    # Epochs take microseconds and checkpoints milliseconds, so most kills fall into the writing of one.
    kept = tmp_path / "kept.safetensors"
    for _ in range(5):
        command = [
            sys.executable,
            "-c",
            KILLED_WHILE_WRITING,
            str(regression_guest),
            str(linear_model),
            str(kept),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert "checkpoint\n" in process.stdout  # reads up to that line; the guest's own come before it
            process.kill()
        with safe_open(kept, framework="pt") as file:
            assert list(file.keys())
