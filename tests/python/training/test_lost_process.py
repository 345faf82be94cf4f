"""A process of a distributed training is killed: how the others end, and that all go on from the last checkpoint.

`WASMGRAD_SWEEP=1` kills at 20 moments in place of 1.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import wasmgrad

from ..sweep import WHOLE
from .torchrun import WASMGRAD, environment, torchrun_command

KILLS = 20 if WHOLE else 1
EPOCHS, STEPS = 4, 128  # steps an epoch
OPTIONS = ("--threads", "1", "--batch-size", "64", "--batches-per-epoch", str(STEPS))
TOGETHER = ("--distributed", "--peer-timeout", "120")


@pytest.fixture(scope="module")
def guest(build_c_guest: Callable[[str], Path]) -> Path:
    return build_c_guest("train_loop")


@pytest.fixture
def folder(tmp_path: Path, guest: Path, linear_model: Path) -> Path:
    shutil.copy(guest, tmp_path / "mine.wasm")
    shutil.copy(linear_model, tmp_path / "model.pt")
    return tmp_path


def command(way: str, *options: str) -> tuple[str, ...]:
    files = ("--model", "model.pt=model.pt", "--checkpoint", "kept", "-o", "out.pt")
    return (str(WASMGRAD), "train", "--json", *files, *OPTIONS, *options, "mine.wasm", way)


def parameters(model: Path) -> np.ndarray:
    loaded = torch.jit.load(str(model))
    return torch.cat([value.detach().flatten() for value in loaded.parameters()]).numpy()


@pytest.fixture(scope="module")
def expected(guest: Path, linear_model: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The weights of a process alone, that nobody stops."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copy(guest, folder / "mine.wasm")
    shutil.copy(linear_model, folder / "model.pt")
    subprocess.run(command("fit"), cwd=folder, env=environment(), check=True, capture_output=True)
    return parameters(folder / "out.pt")


def workers(run: str, rank: int) -> Iterator[int]:
    """The processes that run the guest."""
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or not (entry / "exe").readlink().name.startswith("wasmgrad-worker"):
                continue
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if {f"TEST_RUN={run}".encode(), f"RANK={rank}".encode()} <= set(variables):
            yield int(entry.name)


class Run:
    """A training of two processes, and its events."""

    def __init__(self, folder: Path, way: str, *options: str) -> None:
        self.id = uuid.uuid4().hex
        self.process = subprocess.Popen(
            torchrun_command(2, "--no-python", *command(way, *TOGETHER), options=options),
            cwd=folder,
            env=environment(TEST_RUN=self.id),
            stdout=subprocess.PIPE,
            stderr=(folder / "stderr").open("w"),
            text=True,
        )

    def events(self) -> Iterator[wasmgrad.Event]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                yield json.loads(line)

    def kill(self, rank: int) -> None:
        for pid in workers(self.id, rank):
            os.kill(pid, signal.SIGKILL)


def steps_of(event: wasmgrad.Event) -> int:
    """Steps done when the event was told, at least."""
    if event["event"] == "progress":
        return int((event["epoch"] - 1) * STEPS + event["batch"])
    return int(event["epoch"] * STEPS) if event["event"] == "epoch" else 0


@pytest.mark.long
@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_process_costs_no_more_than_the_steps_since_the_checkpoint(
    folder: Path, expected: np.ndarray, seed: int
) -> None:
    choose = random.Random(seed)
    rank, way = choose.randrange(2), choose.choice(("fit", "epochs"))
    wait = choose.uniform(0, 2)
    run = Run(folder, way, "--max-restarts", "1")
    before: list[wasmgrad.Event] = []
    after: list[wasmgrad.Event] = []
    killed_at = None
    for event in run.events():
        (after if (killed_at is not None and event["event"] == "fit") or after else before).append(event)
        if killed_at is None and event["event"] in ("progress", "fit", "epoch"):
            time.sleep(wait)
            run.kill(rank)
            killed_at = steps_of(event)
    assert run.process.wait() == 0, (folder / "stderr").read_text()
    assert killed_at is not None
    assert np.abs(parameters(folder / "out.pt") - expected).max() <= 1e-5
    epochs = sum(event["event"] == "epoch" for event in before)
    begins = [event["start_epoch"] for event in after if event["event"] == "fit"]
    assert all(begin >= epochs for begin in begins), "whole epochs were done again"


@pytest.mark.long
def test_processes_that_are_left_end_too(folder: Path) -> None:
    run = Run(folder, "fit")
    for event in run.events():
        if event["event"] == "progress":
            run.kill(1)
    assert run.process.wait() != 0
    stderr = (folder / "stderr").read_text()
    # torchrun ends process 0 as soon as it sees that 1 is gone, which may be before process 0 does.
    assert "process 0 lost another of the 2 at a step after step" in stderr or "(SIGKILL)" in stderr
    assert not (folder / "out.pt").exists()
