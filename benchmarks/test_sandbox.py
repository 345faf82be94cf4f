"""What the sandbox costs: training through a guest, getting data in, memory, and start-up."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

import wasmgrad

_STEPS = 40


def _epoch_seconds(train: str) -> float:
    """Seconds of the second of two short epochs, trained in a fresh process by the statement `train`."""
    options = f"options = dict(epochs=2, batches_per_epoch={_STEPS})"
    program = f"import wasmgrad\nfrom benchmarks import mnist\n{options}\n{train}"
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return float(run.stdout)


def test_training_through_a_guest_costs_under_two_percent() -> None:
    """The same steps, driven by the packaged guest in its child process and by the trainer alone, in turn."""
    guest = "print(wasmgrad.train(**options).epochs[-1].seconds)"
    native = (
        "trainer = wasmgrad.Trainer(wasmgrad.models.build('mnist-cnn'), **options)\n"
        "data = wasmgrad.Dataset(mnist.images(), mnist.labels())\n"
        "print(trainer.fit(data).epochs[-1].seconds)"
    )
    ratios = [_epoch_seconds(guest) / _epoch_seconds(native) for _ in range(9)]
    assert statistics.median(ratios) <= 1.02, ratios


def test_mnist_is_copied_in_within_50_ms() -> None:
    """60,000 u8 images out of guest memory."""
    seconds: list[float] = []

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "tensor" and event["role"] == "train images":
            assert event["dtype"] == "u8"
            seconds.append(event["seconds"])

    for _ in range(3):
        wasmgrad.train(epochs=1, batches_per_epoch=1, on_event=on_event)
    assert min(seconds) < 0.050, seconds


def test_peak_memory_of_a_default_run_is_under_1200_mb() -> None:
    peak = wasmgrad.train(epochs=1).peak_memory_bytes
    assert peak is not None
    assert peak < 1200e6


def test_importing_the_package_takes_under_300_ms() -> None:
    def seconds(statement: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        return time.perf_counter() - begin

    seconds("import wasmgrad")
    differences = [seconds("import wasmgrad") - seconds("pass") for _ in range(5)]
    assert statistics.median(differences) < 0.3, differences
