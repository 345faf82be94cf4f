"""How training scales over processes: measured with two on this machine, and computed for more on other networks.

    python -m benchmarks.scale [--models mnist-cnn ...] [--rounds 12]

Measured, in rounds that go to all contestants in turn: one process, the same with --distributed, and two processes
with half the threads each, at one batch size. The computed step is that of one process on half the batch, plus one
sum over a ring, 2 (N - 1) / N bytes / bandwidth + 2 (N - 1) latency, whose two numbers come from sums of several
sizes between two processes. The table has weak scaling: N processes, N times the batch.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

BATCH = 256
STEPS = {"mnist-cnn": 6, "lenet-5": 20, "mlp": 40}
SIZES = [1 << power for power in range(12, 25, 2)]  # bytes
NODES = [1, 2, 4, 8, 16, 32, 64]


@dataclass(frozen=True)
class Network:
    """What a sum costs: bytes a second, and seconds a message."""

    bandwidth: float
    latency: float

    def sum_seconds(self, size: int, nodes: int) -> float:
        return 2 * (nodes - 1) / nodes * size / self.bandwidth + 2 * (nodes - 1) * self.latency


def fitted(seconds: dict[int, float]) -> Network:
    """From sums between two processes: seconds = bytes / bandwidth + 2 latency, by relative least squares."""
    sizes = np.array(list(seconds), float)
    measured = np.array(list(seconds.values()))
    system = np.stack([sizes / measured, 1 / measured], 1)
    slope, constant = np.linalg.lstsq(system, np.ones_like(measured), rcond=None)[0]
    return Network(1 / max(slope, 1e-15), max(constant, 0.0) / 2)


# ---- Contestants: processes that do a number of steps when told to ----


def contest(model: str, batch: int, threads: int, distributed: bool) -> None:
    """Reads numbers of steps, writes seconds."""
    import wasmgrad

    trainer = wasmgrad.Trainer(wasmgrad.models.build(model), threads=threads, distributed=distributed)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch, 1, 28, 28), np.uint8)
    labels = random.integers(0, 10, batch)
    for _ in range(3):
        trainer.step(images, labels)
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            trainer.step(images, labels)
        print(time.perf_counter() - start, flush=True)


def contest_sums(rounds: int) -> None:
    """Sums of all sizes between the processes, by the same Gloo; the first one writes their medians."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for size in SIZES:
        values = torch.ones(size // 4)
        taken = []
        for _ in range(rounds):
            dist.barrier()
            start = time.perf_counter()
            dist.all_reduce(values)
            taken.append(time.perf_counter() - start)
            values.fill_(1)
        if dist.get_rank() == 0:
            print(size, statistics.median(taken), flush=True)


class Contestant:
    """One way to train, in one process or several."""

    def __init__(self, processes: int, arguments: Sequence[str], distributed: bool) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        self.processes = []
        for rank in range(processes):
            place = {
                "RANK": str(rank),
                "WORLD_SIZE": str(processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            }
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.scale", *arguments],
                    cwd=Path(__file__).resolve().parent.parent,
                    env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **(place if distributed else {})},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )

    def lines(self) -> list[str]:
        return [process.stdout.readline() for process in self.processes]  # type: ignore[union-attr]

    def seconds_a_step(self, steps: int) -> float:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{steps}\n")
            process.stdin.flush()
        return max(float(line) for line in self.lines()) / steps

    def end(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self.processes:
            process.wait()


def measured_sums(rounds: int) -> dict[int, float]:
    pair = Contestant(2, ["--sums", str(rounds)], distributed=True)
    text = pair.processes[0].communicate()[0]
    pair.processes[1].communicate()
    return {int(size): float(seconds) for size, seconds in (line.split() for line in text.splitlines())}


def measured_steps(model: str, threads: int, rounds: int) -> dict[str, float]:
    """Seconds a step, the median over rounds."""

    def way(processes: int, batch: int, count: int, distributed: bool) -> Contestant:
        arguments = ["--contest", model, str(batch), str(count), str(int(distributed))]
        return Contestant(processes, arguments, distributed)

    half = max(1, threads // 2)
    ways = {
        "one": way(1, BATCH, threads, False),
        "group of one": way(1, BATCH, threads, True),
        "half": way(1, BATCH // 2, half, False),
        "two": way(2, BATCH, half, True),
    }
    for each in ways.values():
        assert set(each.lines()) == {"ready\n"}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        order = list(ways)
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            taken[name].append(ways[name].seconds_a_step(STEPS[model]))
    for each in ways.values():
        each.end()
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def gradient_bytes(model: str) -> int:
    import wasmgrad

    return 4 * wasmgrad.Trainer(wasmgrad.models.build(model)).parameters


def predicted(half: float, size: int, here: Network) -> float:
    """The step of two processes: half the batch each, then one sum."""
    return half + here.sum_seconds(size, 2)


def scaling_table(model: str, step: float, size: int, here: Network, sync_every: int) -> Table:
    networks = {
        "this machine": here,
        "10 GbE": Network(min(here.bandwidth, 1.17e9), 60e-6),
        "1 GbE": Network(0.117e9, 100e-6),
        "WAN, 20 Mbit/s, 20 ms": Network(2.5e6, 20e-3),
    }
    title = f"{model}: ms a step, and efficiency; a sum every step, or every {sync_every}"
    table = Table("network", *(str(nodes) for nodes in NODES), title=title)
    for name, network in networks.items():
        for every in (1, sync_every):
            cells = []
            for nodes in NODES:
                whole = step + network.sum_seconds(size, nodes) / every
                cells.append(f"{whole * 1e3:.1f} ({step / whole:.0%})")
            table.add_row(name if every == 1 else f"  --sync-every {every}", *cells)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=STEPS, default=["mnist-cnn"])
    parser.add_argument(
        "--threads", type=int, default=2, help="of one process; two processes have half of them each"
    )
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--sync-every", type=int, default=50)
    parser.add_argument("--contest", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--sums", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.contest:
        model, batch, threads, distributed = chosen.contest
        contest(model, int(batch), int(threads), distributed == "1")
    elif chosen.sums:
        contest_sums(chosen.sums)
    else:
        compare(chosen.models, chosen.threads, chosen.rounds, chosen.sync_every)


def compare(models: Sequence[str], threads: int, rounds: int, sync_every: int) -> None:
    console = Console()
    here = fitted(measured_sums(rounds * 2))
    console.print(f"sums between two processes: {here.bandwidth / 1e6:.0f} MB/s, {here.latency * 1e6:.0f} us")
    for model in models:
        size = gradient_bytes(model)
        steps = measured_steps(model, threads, rounds)
        computed = predicted(steps["half"], size, here)
        console.print(
            f"{model}, batch {BATCH}: one process {steps['one'] * 1e3:.2f} ms; with --distributed"
            f" {steps['group of one'] / steps['one'] - 1:+.1%}; two with half the threads"
            f" {steps['two'] * 1e3:.2f} ms, {steps['one'] / steps['two']:.2f} times the throughput;"
            f" computed {computed * 1e3:.2f} ms, {computed / steps['two'] - 1:+.0%}"
        )
        console.print(scaling_table(model, steps["half"], size, here, sync_every))


if __name__ == "__main__":
    main()
