"""Training speed against PyTorch, as ratios from one interleaved run.

Each contestant is a process of its own that has loaded and warmed everything; rounds of steps go to them in
turn, in an order that rotates, so that a noisy machine is noisy for all. The ratio of a round is the
contestant's time by wasmgrad's; the table shows the median over rounds, with the quartiles behind it.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.report import Ratio, ratio
from benchmarks.training_contestant import BATCH, WAYS

TITLE = f"Training step, batch {BATCH}, f32: time of each way by wasmgrad's"

ROUNDS = 12
THREADS = sorted({1, len(os.sched_getaffinity(0))})
MODELS = {"mnist-cnn": 20, "lenet-5": 60, "mlp": 300}
"""Model and steps a turn: long enough for a steady figure, short enough for many turns."""
LABELS = {
    "dataloader": "eager + DataLoader",
    "preloaded": "eager, preloaded, fused Adam",
    "compiled": "torch.compile",
}


class Contestant:
    """A running contestant process."""

    def __init__(self, way: str, model: str, threads: int) -> None:
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.training_contestant", way, model, str(threads)],
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
    """One interleaved run of all contestants on one thread, and one on as many as there are."""
    return [each for threads in THREADS for each in compare(model, threads, rounds)]


def compare(model: str, threads: int, rounds: int) -> list[Ratio]:
    """One interleaved run of all contestants on one model."""
    steps = MODELS[model]
    contestants = {way: Contestant(way, model, threads) for way in WAYS}
    try:
        for contestant in contestants.values():
            contestant.run(steps)  # warm-up, compilation included
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for turn in range(rounds):
            for way in (*WAYS[turn % len(WAYS) :], *WAYS[: turn % len(WAYS)]):
                seconds[way].append(contestants[way].run(steps))
    finally:
        for contestant in contestants.values():
            contestant.close()
    setting = "1 thread" if threads == 1 else f"{threads} threads"
    ours = [turn / steps for turn in seconds["wasmgrad"]]
    peers = [(LABELS[way], [turn / steps for turn in seconds[way]]) for way in WAYS[1:]]
    return [ratio(model, setting, peer, ours) for peer in peers]


def versions() -> list[str]:
    """Of torch."""
    return [f"torch {importlib.metadata.version('torch')}"]
