"""How many threads are of use to this process: never more than it may run at the same time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["usable_cpus"]

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus() -> int:
    """CPUs that the process is allowed, by its affinity and by the quotas of its control groups; at least 1."""
    count = len(os.sched_getaffinity(0))
    return max(1, min([count, *(math.ceil(quota) for quota in _quotas())]))


def _quotas() -> Iterator[float]:
    """The limits of the process's own control group and of those above it, in CPUs."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "cpu", "cpu,cpuacct"):  # "": of version 2
            continue
        root = _CGROUPS / controllers
        group = root / path.lstrip("/")
        while group.is_relative_to(root):
            yield from _quota(group)
            group = group.parent


def _quota(group: Path) -> Iterator[float]:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        if quota != "max" and int(quota) > 0:
            yield int(quota) / int(period)
    except (OSError, ValueError):  # no such limit
        return
