"""`wasmgrad compile --quantize`: what it prints and writes, and that bad options end in one sentence."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(in_process: Command) -> Command:
    return in_process


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A convolution and a dense layer on pictures of 12 times 12."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(800, 5)]
    path = tmp_path / "network.pt"
    torch.jit.script(torch.nn.Sequential(*layers).eval()).save(str(path))
    return path


def test_pictures_calibrate_and_a_report_is_printed_and_written(
    command: Command, network: Path, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for index in range(6):
        pixels = generator.integers(0, 256, (12, 12, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{index}.png")
    done = command(
        "compile", str(network), "--input", "input=1x3x12x12", "--preprocess", "raw", "--quantize", "int8",
        "--calibrate", "pictures", "--quantize-report", "report.json", "--verify", "-o", "small.wasm",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "largest difference from onnxruntime" in done.stdout
    assert "int8: " in done.stdout
    assert "layers; against float32 on 6 inputs" in done.stdout
    assert json.loads((tmp_path / "report.json").read_text())["samples"] == 6
    done = command("run", "small.wasm", "-i", "pictures/0.png")
    assert done.returncode == 0, done.stderr
    assert "input image belongs to the class" in done.stdout


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--quantize", "int8"), "quantize: int8 needs inputs to learn ranges of activations on"),
        (("--quantize", "int9"), "quantize: expected one of int8, dynamic, weights-int8"),
        (("--quantize", "int8", "--calibrate", "absent.png"), "absent.png: this picture does not exist"),
        (("--quantize", "int8", "--calibrate", "absent.npy"), "absent.npy: this file does not exist"),
        (("--calibrate", "x.npy"), "calibrate: means nothing without quantize"),
        (("--quantize-report", "r.json"), "--quantize-report: there is nothing to report without --quantize"),
        (("--quantize", "dynamic", "--keep-float", "Nothing"), "keep_float: 'Nothing' fits no node"),
    ],
)
def test_bad_options_are_one_sentence(
    command: Command, network: Path, args: tuple[str, ...], sentence: str
) -> None:
    done = command("compile", str(network), "--input", "input=1x3x12x12", *args)
    assert done.returncode == 3
    assert done.stderr.startswith("wasmgrad: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not network.with_suffix(".wasm").exists()
