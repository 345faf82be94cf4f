"""The builds of the kernels for `--target native`, and which of them this computer runs."""

from __future__ import annotations

import functools
import platform
import re
from pathlib import Path

__all__ = ["LEVELS", "best_level", "missing"]

# As the x86-64 psABI defines its levels, in the words of /proc/cpuinfo.
_V3 = frozenset(["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"])
_V4 = _V3 | frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"])

LEVELS: dict[str, tuple[int, frozenset[str]]] = {
    "x86-64-v4-vnni": (16, _V4 | {"avx512_vnni"}),
    "x86-64-v4": (16, _V4),
    "x86-64-v3": (8, _V3),
    "baseline": (4, frozenset()),
}
"""Name, the fastest first -> floats of a vector, and the features of the CPU that it takes."""


def best_level() -> str:
    """The fastest build that this computer runs."""
    return next(level for level in LEVELS if not missing(level))


def missing(level: str) -> set[str]:
    """The features that a level takes and this computer's CPU lacks."""
    return set(LEVELS[level][1] - _features())


@functools.cache
def _features() -> frozenset[str]:
    if platform.machine() != "x86_64":
        return frozenset()
    found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()
