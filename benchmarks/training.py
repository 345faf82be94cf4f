"""Training speed against PyTorch, as ratios from one interleaved run.

Each contestant is a process of its own that has loaded and warmed everything; rounds of steps go to them in
turn, in an order that rotates, so that a noisy machine is noisy for all. The ratio of a round is the
contestant's time by wasmgrad's; the table shows the median over rounds, with the quartiles behind it.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Ratio, ratio
from benchmarks.training_contestant import WAYS

TITLE = "Training step: time of each way of PyTorch by wasmgrad's in the same precision"

ROUNDS = 12
THREADS = sorted({1, len(os.sched_getaffinity(0))})
MODELS = {
    "mnist-cnn": 20,
    "lenet-5": 60,
    "mlp": 300,
    "resnet-18": 1,
    "mobilenet-v2": 1,
    "u-net": 8,
    "encoder": 6,
    "gpt": 3,
    "lstm": 12,
}
"""Model of benchmarks.training_nets and steps a turn: long enough for a steady figure, short enough for many turns."""
WITHOUT_PICTURES = {"mlp", "encoder", "gpt", "lstm"}
"""Models that have no memory order of channels."""
LABELS = {
    "dataloader": "eager + DataLoader",
    "preloaded": "eager, preloaded, fused Adam",
    "channels-last": "the same, channels_last",
    "compiled": "torch.compile",
}


class Contestant:
    """A running contestant process."""

    def __init__(self, way: str, model: str, threads: int, precision: str) -> None:
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.training_contestant", way, model, str(threads), precision],
            cwd=Path(__file__).resolve().parent.parent,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, steps: int) -> float:
        """Seconds of `steps` steps. Errors: RuntimeError when the process has died."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(steps, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._process.args!r} ended with exit status {self._process.wait()}")
        return float(answer)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def measure(model: str, rounds: int) -> list[Ratio]:
    """Interleaved runs of all contestants on one thread and on as many as there are, in each precision."""
    return [
        each
        for precision in precisions()
        for threads in THREADS
        for each in compare(model, threads, rounds, precision)
    ]


def precisions() -> list[str]:
    """Those that this CPU multiplies in."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return ["f32", "bf16"] if re.search(r"\b(avx512_bf16|amx_bf16)\b", flags) else ["f32"]


def compare(
    model: str, threads: int, rounds: int, precision: str = "f32", ways: Sequence[str] = WAYS
) -> list[Ratio]:
    """One interleaved run of contestants, wasmgrad the first of them, on one model."""
    steps = MODELS[model]
    if model in WITHOUT_PICTURES:
        ways = [way for way in ways if way != "channels-last"]
    contestants = {way: Contestant(way, model, threads, precision) for way in ways}
    try:
        for contestant in contestants.values():
            contestant.run(steps)  # warm-up, compilation included
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds):
            for way in (*ways[turn % len(ways) :], *ways[: turn % len(ways)]):
                seconds[way].append(contestants[way].run(steps))
    finally:
        for contestant in contestants.values():
            contestant.close()
    setting = f"{threads} thread{'s' * (threads > 1)}" + (f", {precision}" if precision != "f32" else "")
    ours = [turn / steps for turn in seconds["wasmgrad"]]
    peers = [(LABELS[way], [turn / steps for turn in seconds[way]]) for way in ways[1:]]
    return [ratio(model, setting, peer, ours) for peer in peers]


def versions() -> list[str]:
    """Of torch."""
    return [f"torch {importlib.metadata.version('torch')}"]
