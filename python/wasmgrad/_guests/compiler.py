"""Runs a compiler of guests. It must not know a language."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .._errors import RuntimeFailure

__all__ = ["run_compiler"]


def run_compiler(
    name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Runs `command` in `folder`. Errors: `RuntimeFailure` with the compiler's own words when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    if done.returncode != 0:
        words = done.stderr.strip() or done.stdout.strip()
        raise RuntimeFailure(f"{folder}: the compiler ({name}) failed:\n{words}")
