#!/usr/bin/env python3
"""Searches schedules for the generated kernels of models, and adds what it finds to those that the package ships.

    tune_models.py lstm light_inception_v1 [--candidates 64]

A search is measured on this machine, one kernel after the other, so leave it alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from wasmgrad.compiler import CompileOptions, Found, compile_model
from zoo import MODELS, build

_SHIPPED = Path(__file__).resolve().parents[1] / "python/wasmgrad/compiler/backend/schedules.json"
_SHAPES = {"opennsfw": {"input:0": (1, 224, 224, 3)}}


def main() -> None:
    """Print a line for each kernel, and rewrite the package's schedules after each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=list(MODELS), metavar="NAME", help="of make_models.py")
    parser.add_argument("--candidates", type=int, default=64, help="random schedules of a kernel")
    options = parser.parse_args()
    shipped = json.loads(_SHIPPED.read_bytes())

    def take(found: Found) -> None:
        print(
            f"{found.position}/{found.total} {found.schedule.kernel}: {found.schedule.speedup:.2f}x",
            flush=True,
        )
        if found.schedule.trace is not None:
            shipped[found.key] = asdict(found.schedule)

    for name in options.names:
        print(name, flush=True)
        chosen = CompileOptions(shapes=_SHAPES.get(name, {}), tune=options.candidates)
        compile_model(build(name), chosen, on_kernel=take)
        lines = [
            f"{json.dumps(key)}: {json.dumps(entry, separators=(',', ':'))}"
            for key, entry in sorted(shipped.items())
        ]
        _SHIPPED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
