"""The type stubs of the native modules are those that their bindings generate."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "python/wasmgrad"


@pytest.mark.parametrize("name", ["_core", "_graph_core", "_graph_format"])
def test_committed_stub_is_the_generated_one(name: str, tmp_path: Path) -> None:
    # To renew it: python -m nanobind.stubgen -m wasmgrad._core -o python/wasmgrad/_core.pyi
    generated = tmp_path / f"{name}.pyi"
    command = [sys.executable, "-m", "nanobind.stubgen", "-q", "-m", f"wasmgrad.{name}", "-o", str(generated)]
    subprocess.run(command, check=True, capture_output=True)
    assert generated.read_text() == (PACKAGE / f"{name}.pyi").read_text()


def test_native_core_leaks_nothing() -> None:
    code = (
        "import numpy as np, wasmgrad\n"
        "model = wasmgrad.models.build('linear-regression')\n"
        "t = wasmgrad.Trainer(model, loss='mse', epochs=1, threads=1, on_event=lambda event: t)\n"
        "t.fit(wasmgrad.Dataset(np.ones((4, 8), np.float32), np.ones((4, 1), np.float32)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=True
    )
    assert "leaked" not in done.stderr
