"""Training speed against PyTorch, as ratios from one interleaved run.

    python -m benchmarks.interleaved [--models mnist-cnn ...] [--threads 1 2] [--rounds 12] [--json FILE]

Each contestant is a process of its own that has loaded and warmed everything; rounds of steps go to them in
turn, in an order that rotates, so that a noisy machine is noisy for all. The ratio of a round is the
contestant's time by wasmgrad's; the table shows the median over rounds, with the quartiles behind it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.contestant import BATCH, WAYS

MODELS = {"mnist-cnn": 20, "lenet-5": 60, "mlp": 300}
"""Model and steps a turn: long enough for a steady figure, short enough for many turns."""
_LABELS = {
    "dataloader": "eager + DataLoader",
    "preloaded": "eager, preloaded, fused Adam",
    "compiled": "torch.compile",
}


@dataclass(frozen=True)
class Ratio:
    """How many times as long `way` takes as wasmgrad, on one model and thread count."""

    model: str
    threads: int
    way: str
    median: float
    low: float
    high: float
    wasmgrad_step_ms: float


class Contestant:
    """A running contestant process."""

    def __init__(self, way: str, model: str, threads: int) -> None:
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contestant", way, model, str(threads)],
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
    ratios = []
    for way in WAYS[1:]:
        each = [other / ours for other, ours in zip(seconds[way], seconds["wasmgrad"], strict=True)]
        low, median, high = statistics.quantiles(each, n=4)
        step_ms = statistics.median(seconds["wasmgrad"]) / steps * 1e3
        ratios.append(Ratio(model, threads, way, median, low, high, step_ms))
    return ratios


def table(ratios: Sequence[Ratio]) -> Table:
    """The ratios, a row for each model and thread count."""
    result = Table(
        title=f"Training step, batch {BATCH}, f32: time of each way by wasmgrad's (median, quartiles)"
    )
    result.add_column("model")
    result.add_column("threads", justify="right")
    result.add_column("wasmgrad", justify="right")
    for way in WAYS[1:]:
        result.add_column(_LABELS[way], justify="right")
    for model, threads in dict.fromkeys((ratio.model, ratio.threads) for ratio in ratios):
        row = [ratio for ratio in ratios if (ratio.model, ratio.threads) == (model, threads)]
        cells = [f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})" for ratio in row]
        result.add_row(model, str(threads), f"{row[0].wasmgrad_step_ms:.2f} ms", *cells)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Training speed against PyTorch, as ratios from one interleaved run."
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, len(os.sched_getaffinity(0))}))
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    ratios = [
        ratio
        for model in options.models
        for threads in options.threads
        for ratio in compare(model, threads, options.rounds)
    ]
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(table(ratios))
    console.print(
        f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores", style="dim"
    )
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(ratio) for ratio in ratios], indent=2) + "\n")


if __name__ == "__main__":
    main()
