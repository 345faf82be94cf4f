"""Starts the processes of a distributed training with torchrun, on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["environment", "free_port", "torchrun", "torchrun_command"]

TORCHRUN = Path(sys.executable).parent / "torchrun"
WASMGRAD = Path(sys.executable).parent / "wasmgrad"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**variables: str) -> dict[str, str]:
    """Of a process that torchrun has not started."""
    set_by_torchrun = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK")
    kept = {key: value for key, value in os.environ.items() if key not in set_by_torchrun}
    return {**kept, "OMP_NUM_THREADS": "1", **variables}


def torchrun_command(processes: int, *command: str, options: Sequence[str] = ()) -> list[str]:
    where = ("--master-addr", "127.0.0.1", "--master-port", str(free_port()))
    place = () if "--nnodes" in options else where
    return [str(TORCHRUN), "--nproc-per-node", str(processes), *place, *options, *command]


def torchrun(
    processes: int,
    *command: str,
    folder: Path,
    options: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """`command` begins with a Python script, or after --no-python with a program."""
    return subprocess.run(
        torchrun_command(processes, *command, options=options),
        cwd=folder,
        env=environment(**(variables or {})),
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
