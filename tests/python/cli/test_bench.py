"""The `bench` command: suites by name, reports, pictures, and what counts as slower."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TREE = Path(__file__).resolve().parents[3]


def bench(*arguments: object, exit_code: int = 0, cwd: Path = TREE) -> subprocess.CompletedProcess[str]:
    """Run the command in a checkout, or elsewhere."""
    line = [sys.executable, "-m", "wasmgrad", "bench", *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=cwd, timeout=600, check=False)
    assert done.returncode == exit_code, done.stderr
    return done


def report(**medians: float) -> dict[str, Any]:
    """A report of one model beside peers of these medians."""
    ratios = [
        {
            "model": "mlp", "setting": "1 thread", "peer": peer, "median": median, "low": 0.9 * median,
            "high": 1.1 * median, "milliseconds": 2.5, "details": {"load, s": 0.25},
        }
        for peer, median in medians.items()
    ]  # fmt: skip
    return {
        "suite": "training", "title": "A step", "command": "wasmgrad bench training", "machine": "a machine",
        "versions": ["torch 2"], "ratios": ratios,
    }  # fmt: skip


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A stored report."""
    file = tmp_path / "stored.json"
    file.write_text(json.dumps(report(eager=2.0, compiled=1.5)))
    return file


def test_suites_are_listed_with_their_models() -> None:
    listed = bench().stdout
    assert {line.split()[0] for line in listed.splitlines()} == {"training", "engines", "web"}
    assert "lenet-5" in listed and "resnet50" in listed


def test_a_report_is_shown_and_drawn(stored: Path, tmp_path: Path) -> None:
    picture = tmp_path / "ratios.svg"
    shown = bench("--show", stored, "--picture", picture).stdout
    assert "2.00x (1.80-2.20)" in shown and "2.5 ms" in shown and "0.25" in shown and "a machine" in shown
    drawn = picture.read_bytes()
    assert b"<svg" in drawn
    bench("--show", stored, "--picture", picture)
    assert picture.read_bytes() == drawn


@pytest.mark.parametrize(
    ("medians", "lost"),
    [
        ({"eager": 1.85, "compiled": 1.4}, []),
        ({"eager": 1.7, "compiled": 1.6}, ["mlp, 1 thread, beside eager: 1.70, stored 2.00"]),
        ({"eager": 2.0, "another": 0.1}, []),
    ],
)
def test_a_drop_of_a_tenth_fails(
    stored: Path, tmp_path: Path, medians: dict[str, float], lost: list[str]
) -> None:
    found = tmp_path / "found.json"
    found.write_text(json.dumps(report(**medians)))
    done = bench("--show", found, "--against", stored, exit_code=1 if lost else 0)
    assert [line.removeprefix("wasmgrad: ") for line in done.stderr.splitlines()] == lost


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["speed"], "bench: there is no suite 'speed'; there are training, engines, web"),
        (
            ["training", "--model", "vgg"],
            "bench: training has no model 'vgg'; it has mnist-cnn, lenet-5, mlp",
        ),
        (["--show", "absent.json"], "bench: absent.json: No such file or directory"),
        (["--show", "README.md"], "bench: README.md is not a report of wasmgrad bench"),
    ],
)
def test_refusals_are_one_sentence(arguments: list[str], sentence: str) -> None:
    assert sentence in bench(*arguments, exit_code=3).stderr


def test_outside_of_a_checkout_it_says_where_the_suites_are(tmp_path: Path) -> None:
    assert "run it at the top of a checkout" in bench(exit_code=3, cwd=tmp_path).stderr
