"""A fixed tenth of ONNX's own operator tests, compiled and run in wasmtime: none may be wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[4] / "tools" / "onnx_coverage.py"


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_no_operator_test_is_wrong_and_most_pass(tmp_path: Path) -> None:
    table = tmp_path / "operators.md"
    done = subprocess.run(
        [sys.executable, TOOL, "--fraction", "10", "--jobs", "2", "--table", table],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.search(r"(\d+) tests, (\d+) passed", done.stdout)
    assert counts is not None, done.stdout
    tests, passed = map(int, counts.groups())
    assert passed >= 0.8 * tests, done.stdout
    page = table.read_text(encoding="utf-8")
    assert "| Add |" in page or "| Abs |" in page
    assert "| the shape of its output depends on data |" in page
