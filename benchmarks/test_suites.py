"""The command that runs suites, with a real one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks import report

_ROOT = Path(__file__).resolve().parent.parent


def test_training_beside_torch_is_measured_and_stored(tmp_path: Path) -> None:
    file = tmp_path / "training.json"
    line = [sys.executable, "-m", "wasmgrad", "bench", "training", "--model", "mlp", "--rounds", "2"]
    subprocess.run([*line, "--json", str(file)], check=True, cwd=_ROOT)
    found = report.read(file)
    assert found.command == "wasmgrad bench training" and found.machine
    assert {each.model for each in found.ratios} == {"mlp"}
    assert all(0 < each.low <= each.median <= each.high for each in found.ratios)
