"""A contestant of the graph benchmarks, seen from the coordinator: a child process that runs a model when told to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import graph_modules
from benchmarks.graph_modules import Build

Inputs: TypeAlias = Sequence[Mapping[str, Any]]
"""Name, dtype and shape of each."""

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Way:
    """A way of running a model: on which engine, and for ours, how it was compiled."""

    engine: str
    build: Build | None = None

    @property
    def label(self) -> str:
        """For tables."""
        return self.engine if self.build in (None, "native") else f"{self.engine} {self.build}"

    def command(self, file: Path, inputs: Inputs) -> list[str]:
        """The command line of the contestant."""
        if self.engine in ("node", "onnxruntime-web"):
            return in_node("wasmgrad" if self.engine == "node" else self.engine, file, inputs)
        arguments = [str(file), json.dumps(list(inputs))]
        return [sys.executable, "-m", "benchmarks.graph_contestant", self.engine, *arguments]


def in_node(runtime: str, file: Path, inputs: Inputs) -> list[str]:
    """The command line of a contestant in Node."""
    return [
        graph_modules.node(),
        str(_ROOT / "benchmarks/graph_contestant.mjs"),
        *_arguments(runtime, file, inputs),
    ]


def in_chromium(runtime: str, file: Path, inputs: Inputs) -> list[str]:
    """The command line of a contestant in a page of headless Chromium."""
    return [sys.executable, "-m", "benchmarks.graph_page", *_arguments(runtime, file, inputs)]


def _arguments(runtime: str, file: Path, inputs: Inputs) -> list[str]:
    return [runtime, str(file), json.dumps(list(inputs)), str(graph_modules.peers())]


PEER = Way("onnxruntime-web")
NATIVE = Way("onnxruntime")
OURS = (
    Way("node", "relaxed"),
    Way("node", "128"),
    Way("wasmtime", "relaxed"),
    Way("wasmtime", "128"),
    Way("wasmedge", "128"),
    Way("native", "native"),
)


class Contestant:
    """A running contestant. Errors of all methods: RuntimeError when the process has died."""

    def __init__(self, command: Sequence[str], cache: Path) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env={**os.environ, "WASMGRAD_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.load: float = self._answer()["load"]
        """Seconds from the file to an instance that is ready to run."""

    def run(self, times: int) -> float:
        """Median seconds of `times` runs."""
        seconds: float = self._ask(f"run {times}")
        return seconds

    def calls(self, times: int) -> list[list[float]]:
        """The plan `times` times: seconds of each call."""
        seconds: list[list[float]] = self._ask(f"calls {times}")
        return seconds

    def peak_memory(self) -> int:
        """The most bytes that were resident so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found.group(1)) * 1024

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, request: str) -> Any:
        assert self._process.stdin is not None
        print(request, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._process.args!r} ended with exit status {self._process.wait()}")
        return json.loads(answer)
