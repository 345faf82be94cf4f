"""What it costs a guest to drive its own training loop through wasmgrad:training@0.1."""

from __future__ import annotations

import io
import shutil
import statistics
from pathlib import Path

import pytest
import torch
import wasmgrad


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training_v1")
    shutil.copy(Path(__file__).parent / "training_v1.c", folder)
    return wasmgrad.build_guest(folder, folder / "training_v1.wasm")


@pytest.mark.parametrize("engine", ["wasmedge", "wasmtime"])
def test_a_call_costs_less_than_a_microsecond(guest: Path, engine: str) -> None:
    result = wasmgrad.Sandbox(guest, args=["call"], engine=engine).run()
    nanoseconds = [float(line) for line in result.stdout.split()]
    print(f"{engine}: {statistics.median(nanoseconds):.0f} ns a call")
    assert statistics.median(nanoseconds) < 1000, nanoseconds


def figures(guest: Path, mode: str, name: str, model: bytes) -> list[float]:
    """One for each round of the guest's."""
    file = guest.with_name(f"{name}.pt")
    file.write_bytes(model)
    result = wasmgrad.Sandbox(guest, args=[mode], models={name: file}).run()
    return [float(line) for line in result.stdout.split()]


def test_a_step_costs_under_5_microseconds_beyond_the_training(guest: Path) -> None:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(4, 2)), buffer)
    nanoseconds = figures(guest, "overhead", "tiny", buffer.getvalue())
    assert statistics.median(nanoseconds) < 5000, nanoseconds


def test_a_loop_of_steps_is_within_3_percent_of_fit(guest: Path) -> None:
    ratios = figures(guest, "loop", "digits", wasmgrad.models.build("mnist-cnn"))
    assert statistics.median(ratios) < 1.03, ratios
