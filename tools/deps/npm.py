"""Packages from npm at pinned versions, in the cache. It must not know what they are for."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from . import cache
from .report import run, say

_ROOT = Path(__file__).resolve().parents[2]


def prefix(name: str, pins: Path) -> Path:
    """A folder whose `node_modules` holds what `pins`/package.json lists, installed on the first call.

    npm checks every package against the hashes in `pins`/package-lock.json.

    Raises:
        FetchError: npm is not there or cannot install them.
    """
    files = [pins / "package.json", pins / "package-lock.json"]
    key = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]

    def build(target: Path) -> dict[str, str]:
        say(f"installing {name} with npm")
        for file in files:
            shutil.copy(file, target)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=target)
        return {"version": "1", "source": "npm"}

    return cache.find(name, key) or cache.publish(name, key, build)


def assemblyscript_prefix() -> Path:
    """The AssemblyScript compiler: `node_modules/.bin/asc` below the folder."""
    return prefix("assemblyscript", _ROOT / "guests/sdk/assemblyscript")


def javascript_prefix() -> Path:
    """The compiler of JavaScript guests: `node_modules/.bin/componentize-qjs` below the folder."""
    return prefix("javascript", _ROOT / "guests/sdk/javascript")
