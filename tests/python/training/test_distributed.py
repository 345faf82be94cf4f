"""Several processes that torchrun starts train one model: the same as one process, with guests as they are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import wasmgrad
from torch import nn
from wasmgrad import models

from .distributed_steps import rows, train
from .torchrun import WASMGRAD, environment, torchrun

STEPS = Path(__file__).with_name("distributed_steps.py")
BATCH = 128
NUMBER = re.compile(r"loss ([0-9.e-]+) over (\d+) samples")


def trained_together(
    folder: Path, model: Path, shape: str, classes: int, processes: int = 2, steps: int = 40
) -> list[dict[str, np.ndarray]]:
    arguments = (str(STEPS), str(model), shape, str(classes), str(BATCH), str(steps), str(folder / "out"))
    done = torchrun(processes, *arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    return [dict(np.load(folder / f"out-{rank}.npz")) for rank in range(processes)]


def test_two_processes_train_lenet_as_one_does_and_the_same_bits_again(tmp_path: Path) -> None:
    model = models.cached("lenet-5")
    first, second = trained_together(tmp_path, model, "1x28x28", 10)
    assert np.array_equal(first["parameters"], second["parameters"])
    again, _ = trained_together(tmp_path, model, "1x28x28", 10)
    assert np.array_equal(first["parameters"], again["parameters"])
    alone = train(model, (1, 28, 28), 10, BATCH, 40, distributed=False)
    assert np.abs(alone.get_parameters() - first["parameters"]).max() <= 1e-6


class Normalized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.linear = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.norm(self.conv(x)).relu().mean((2, 3)))


def data_parallel(module: nn.Module, processes: int, steps: int) -> None:
    """PyTorch's own: each replica normalizes with its part's statistics; running statistics are the mean's."""
    inputs, targets = rows((2, 9, 9), 4, BATCH * steps)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    part = BATCH // processes
    for step in range(steps):
        optimizer.zero_grad()
        before = {name: value.clone() for name, value in module.named_buffers()}
        after = {name: torch.zeros_like(value, dtype=torch.double) for name, value in before.items()}
        for rank in range(processes):
            for name, value in module.named_buffers():
                value.copy_(before[name])
            own = slice(step * BATCH + rank * part, step * BATCH + (rank + 1) * part)
            output = module(torch.from_numpy(inputs[own]))
            loss = nn.functional.cross_entropy(output, torch.from_numpy(targets[own]))
            (loss / processes).backward()
            for name, value in module.named_buffers():
                after[name] += value.double() / processes
        for name, value in module.named_buffers():
            value.copy_(after[name])
        optimizer.step()


def test_batch_norm_of_two_processes_is_that_of_data_parallel_training(tmp_path: Path) -> None:
    torch.manual_seed(3)
    module = Normalized()
    torch.jit.script(module).save(tmp_path / "model.pt")
    first, second = trained_together(tmp_path, tmp_path / "model.pt", "2x9x9", 4, steps=20)
    assert np.array_equal(first["buffers"], second["buffers"])
    data_parallel(module, 2, 20)
    expected = torch.cat([value.detach().flatten() for value in module.parameters()]).numpy()
    assert np.abs(first["parameters"] - expected).max() <= 1e-5
    floats = [value.flatten() for value in module.buffers() if value.is_floating_point()]
    assert np.abs(first["buffers"] - torch.cat(floats).numpy()).max() <= 1e-5


@pytest.fixture(scope="module")
def guest(build_c_guest: Callable[[str], Path]) -> Path:
    return build_c_guest("group_loop")


@pytest.fixture
def folder(tmp_path: Path, guest: Path, linear_model: Path) -> Path:
    shutil.copy(guest, tmp_path / "mine.wasm")
    shutil.copy(linear_model, tmp_path / "model.pt")
    return tmp_path


def cli(*options: str, way: str = "step") -> tuple[str, ...]:
    files = ("--model", "model.pt=model.pt", "--checkpoint", "kept", "-o", "out.pt")
    return (str(WASMGRAD), "train", *files, "--threads", "1", *options, "mine.wasm", way)


def together(
    folder: Path, *options: str, way: str = "step", processes: int = 2
) -> subprocess.CompletedProcess[str]:
    return torchrun(
        processes, "--no-python", *cli("--distributed", "--json", *options, way=way), folder=folder
    )


def parameters(model: Path) -> np.ndarray:
    loaded = torch.jit.load(str(model))
    return torch.cat([value.detach().flatten() for value in loaded.parameters()]).numpy()


@pytest.mark.parametrize("way", ["step", "backward"])
def test_guest_with_a_loop_of_its_own_runs_in_each_process(folder: Path, way: str) -> None:
    alone = subprocess.run(
        cli("--json", way=way), cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert alone.returncode == 0, alone.stderr
    expected = parameters(folder / "out.pt")
    (folder / "out.pt").unlink()

    done = together(folder, way=way, processes=3)
    assert done.returncode == 0, done.stderr
    assert {f"process {rank} of 3" for rank in range(3)} <= set(re.findall(r"process \d of \d", done.stdout))
    assert np.abs(parameters(folder / "out.pt") - expected).max() <= 1e-6
    losses = NUMBER.findall(done.stdout)
    assert len(losses) == 3
    assert len(set(losses)) == 1
    assert losses[0][1] == "70"
    (loss,) = NUMBER.findall(alone.stdout)
    assert float(losses[0][0]) == pytest.approx(float(loss[0]), rel=1e-4)


def test_packaged_guest_trains_in_two_processes(tmp_path: Path, few_digits: Path, mnist_guest: Path) -> None:
    shutil.copy(models.cached("lenet-5"), tmp_path / "lenet.pt")
    common = (
        str(WASMGRAD),
        "train",
        "--model",
        "lenet.pt=lenet.pt",
        "--data",
        str(few_digits),
        "--threads",
        "1",
    )
    options = ("--epochs", "1", "--json", "-o", "out.pt")
    alone = subprocess.run(
        [*common, *options], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert alone.returncode == 0, alone.stderr
    expected = parameters(tmp_path / "out.pt")
    done = torchrun(2, "--no-python", *common, "--distributed", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert np.abs(parameters(tmp_path / "out.pt") - expected).max() <= 1e-5

    def epoch(text: str) -> dict[str, float]:
        (found,) = [json.loads(line) for line in text.splitlines() if '"event":"epoch"' in line]
        return found

    assert epoch(done.stdout)["train"]["samples"] == epoch(alone.stdout)["train"]["samples"]
    assert epoch(done.stdout)["test"]["loss"] == pytest.approx(epoch(alone.stdout)["test"]["loss"], rel=1e-4)


def test_guests_that_take_different_ways_get_an_error(folder: Path) -> None:
    done = together(folder, way="differ")
    assert done.returncode != 0
    assert "the processes took different ways" in done.stderr
    assert "process 0 is at a step after step 20" in done.stderr
    assert "at an evaluation after step 20" in done.stderr


def test_process_that_ends_early_ends_the_others_with_a_sentence_and_a_checkpoint(folder: Path) -> None:
    done = together(folder, way="leave")
    assert done.returncode != 0
    assert "the processes took different ways: process 0 is at a step after step 20" in done.stderr
    assert "at its end" in done.stderr
    assert (folder / "kept").exists()


def test_without_torchrun_it_says_what_is_missing(folder: Path) -> None:
    done = subprocess.run(
        cli("--distributed"), cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "WORLD_SIZE is not set; start the processes with torchrun --no-python" in done.stderr
    with pytest.raises(wasmgrad.InvalidArgument, match="expected True or a Distributed"):
        wasmgrad.train(folder / "mine.wasm", distributed="yes")  # type: ignore[arg-type]


def test_options_of_several_processes_need_them(folder: Path) -> None:
    done = subprocess.run(cli("--shard"), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "go with --distributed" in done.stderr


def test_python_function_runs_in_each_process(folder: Path) -> None:
    (folder / "run.py").write_text(
        "import os, wasmgrad\n"
        "result = wasmgrad.train('mine.wasm', models={'model.pt': 'model.pt'}, distributed=True, threads=1)\n"
        "assert bool(result.model) == (os.environ['RANK'] == '0')\n"
        "print(result.stdout)\n"
    )
    done = torchrun(2, "run.py", folder=folder)
    assert done.returncode == 0, done.stderr
    assert {"process 0 of 2", "process 1 of 2"} <= set(done.stdout.splitlines())
