#!/usr/bin/env python3
"""Installs what the benchmarks compare with (tools/peers/package.json) and prints the folder to import it from.

npm checks every package against the hashes in package-lock.json. It must not know how a peer is used.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from deps import cache
from deps.report import FetchError, run, say

_PINS = [Path(__file__).parent / "peers" / name for name in ("package.json", "package-lock.json")]


def node_modules() -> Path:
    """The `node_modules` folder with all peers, made on the first call.

    Raises:
        FetchError: npm is not there or cannot install them.
    """
    key = hashlib.sha256(b"\0".join(pin.read_bytes() for pin in _PINS)).hexdigest()[:12]

    def build(target: Path) -> dict[str, str]:
        say("installing the benchmarks' peers with npm")
        for pin in _PINS:
            shutil.copy(pin, target)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=target)
        return {"version": "1", "source": "npm"}

    entry = cache.find("peers", key) or cache.publish("peers", key, build)
    return entry / "node_modules"


def main() -> int:
    """Print the folder on standard output; progress and errors go to standard error."""
    try:
        print(node_modules())
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
