"""The version stands in three files and is the same in each."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import wasmgrad

ROOT = Path(__file__).resolve().parents[2]


def test_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert wasmgrad.__version__ == project


def test_version_is_that_of_cmake() -> None:
    found = re.search(r"^\s*VERSION ([\d.]+)$", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)
    assert found is not None
    assert wasmgrad.__version__ == found[1]
