#!/usr/bin/env python3
"""Fetches one thing that the build needs and prints where it is: `fetch.py DEPENDENCY`.

Standard library only, so that it runs before anything is installed. It must not know what the build does with it.
"""

from __future__ import annotations

import argparse
import sys

from deps import headers, npm, wasmedge
from deps.report import FetchError

PREFIXES = {
    "wasmedge": wasmedge.prefix,
    "headers": headers.cxx_prefix,
    "picture-decoders": headers.decoder_prefix,
    "python-headers": headers.python_prefix,
    "assemblyscript": npm.assemblyscript_prefix,
    "javascript": npm.javascript_prefix,
}


def main() -> int:
    """Print the prefix of one dependency on standard output; progress and errors go to standard error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dependency", choices=PREFIXES)
    try:
        print(PREFIXES[parser.parse_args().dependency]())
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
