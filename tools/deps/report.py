"""How the fetching tools talk: progress lines on standard error, one error type, and checked commands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class FetchError(Exception):
    """A dependency cannot be had this way; the message is one sentence for the user."""


def say(text: str) -> None:
    """Print one progress line."""
    print(f"[deps] {text}", file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run a command and return its standard output.

    Raises:
        FetchError: it does not exist or fails; the message carries its last line of output.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    except OSError as error:
        raise FetchError(f"cannot run {words[0]}: {error.strerror}") from error
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        reason = lines[-1] if lines else "no message"
        raise FetchError(f"{words[0]} failed with exit code {done.returncode}: {reason}")
    return done.stdout
