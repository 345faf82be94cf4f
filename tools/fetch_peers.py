#!/usr/bin/env python3
"""Installs what the benchmarks compare with (tools/peers/package.json) and prints the folder to import it from.

It must not know how a peer is used.
"""

from __future__ import annotations

import sys
from pathlib import Path

from deps import npm
from deps.report import FetchError


def node_modules() -> Path:
    """The `node_modules` folder with all peers, made on the first call.

    Raises:
        FetchError: npm is not there or cannot install them.
    """
    return npm.prefix("peers", Path(__file__).parent / "peers") / "node_modules"


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
