"""Python environments with packages that do not go with ours, in the cache. It must not know what they are for."""

from __future__ import annotations

import hashlib
import os
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from . import cache
from .report import run, say


def python(name: str, requirements: Sequence[str]) -> Path:
    """The Python of an environment that holds `requirements`, installed on the first call.

    TORCH_INDEX in the environment is one more package index, as for our own.

    Raises:
        FetchError: pip cannot install them.
    """
    key = hashlib.sha256(repr((sys.version, *requirements)).encode()).hexdigest()[:12]

    def build(target: Path) -> dict[str, str]:
        say(f"installing {name} with pip")
        venv.create(target, symlinks=True)
        index = os.environ.get("TORCH_INDEX")
        extra = ["--extra-index-url", index] if index else []
        pip = [sys.executable, "-m", "pip", "--python", str(target / "bin/python"), "install", "--quiet"]
        run([*pip, *extra, *requirements])
        return {"version": "1", "source": "pip"}

    return (cache.find(name, key) or cache.publish(name, key, build)) / "bin/python"
