#!/usr/bin/env python3
"""Runs clang-tidy over the sources of cpp/ that a build directory compiles: `tidy.py BUILD_DIR`.

Sources that see a torch header, themselves or through our headers, take half a minute each and are left to the
compiler's warnings, as are the kernels of graph modules, which are compiled for three levels of processors and have
tests against the end of memory instead. The others are checked side by side; the exit code is 1 when one has a finding.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLANG_TIDY = Path(sys.executable).with_name("clang-tidy")
_INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
_TORCH = ("torch/", "ATen/", "c10/")


@cache
def sees_torch(file: Path) -> bool:
    """Whether a file of ours includes a torch header, directly or through another file of ours."""
    for name in _INCLUDE.findall(file.read_text()):
        own = ROOT / "cpp" / name.removeprefix("wasmgrad/")
        if name.startswith(_TORCH) or (name.startswith("wasmgrad/") and own.is_file() and sees_torch(own)):
            return True
    return False


def check(build: Path, file: Path) -> bool:
    """Check one file and print its findings; true when there are none."""
    done = subprocess.run(
        # The compiler of the build may be gcc, some of whose warnings clang does not know.
        [CLANG_TIDY, "--quiet", "--extra-arg=-Wno-unknown-warning-option", "-p", build, file],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        print(done.stdout, done.stderr, sep="")
    return done.returncode == 0


def main() -> int:
    """Check every source; print a closing line."""
    build = Path(sys.argv[1])
    entries = json.loads((build / "compile_commands.json").read_text())
    compiled = sorted({Path(entry["file"]).resolve() for entry in entries})
    ours = [
        file
        for file in compiled
        if file.is_relative_to(ROOT / "cpp")
        and not file.is_relative_to(ROOT / "cpp/graph_runtime")
        and not sees_torch(file)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        clean = list(pool.map(lambda file: check(build, file), ours))
    print(f"clang-tidy: {len(ours)} files, {clean.count(False)} with findings")
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
