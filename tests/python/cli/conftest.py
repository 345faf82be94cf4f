"""The graph modules of the tests in `graph`, for the commands that run and inspect them; commands in this process."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from wasmgrad._cli import app

from ..graph.conftest import arrays, bare_module, colors, make_module, metadata, module

__all__ = ["arrays", "bare_module", "colors", "in_process", "make_module", "metadata", "module"]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """The `wasmgrad` command in this process, which has the compiler loaded, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr("sys.argv", ["wasmgrad", *args])
        with pytest.raises(SystemExit) as end:
            app.main()
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(args, int(end.value.code or 0), out, err)

    return run
