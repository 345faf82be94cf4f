"""The stock `wasmedge` program trains with the packaged plugin."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import torch
import wasmgrad
from wasmgrad._files import find_part


def test_stock_program_trains_with_the_plugin(
    stock_wasmedge: Path, mnist: Path, mnist_guest: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.pt").write_bytes(wasmgrad.models.build("mlp"))
    environment = {**os.environ, "WASMEDGE_PLUGIN_PATH": str(find_part("lib/wasmedge"))}
    command = [stock_wasmedge, "--dir", f".:{tmp_path}", "--dir", f"/data:{mnist}", mnist_guest]
    options = ["--limit", "256", "--epochs", "1", "model.pt"]
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "epoch: 1 test acc:" in done.stdout
    assert torch.jit.load(tmp_path / "trained_model.pt")(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
