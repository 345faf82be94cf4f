"""The training step and epoch, alone and against PyTorch."""

from __future__ import annotations

import pytest
import wasmgrad
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import mnist
from benchmarks.training import LABELS, MODELS, compare
from benchmarks.training_nets import TASKS

REGISTERED = ("mnist-cnn", "lenet-5", "mlp")


@pytest.mark.parametrize("model", REGISTERED)
def test_step(benchmark: BenchmarkFixture, model: str, threads: int) -> None:
    """One optimizer step on a batch that the caller holds."""
    trainer = wasmgrad.Trainer(wasmgrad.models.build(model), threads=threads)
    batch = TASKS[model].batch
    images, labels = mnist.images("t10k")[:batch], mnist.labels("t10k")[:batch]
    benchmark.pedantic(trainer.step, (images, labels), rounds=30, iterations=5, warmup_rounds=2)


@pytest.mark.parametrize("model", REGISTERED)
def test_epoch(benchmark: BenchmarkFixture, model: str, threads: int, train_set: wasmgrad.Dataset) -> None:
    """One pass over the 60,000 training images."""

    def setup() -> tuple[tuple[wasmgrad.Trainer], dict[str, object]]:
        return (wasmgrad.Trainer(wasmgrad.models.build(model), epochs=1, threads=threads),), {}

    benchmark.pedantic(lambda trainer: trainer.fit(train_set), setup=setup, rounds=2)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("model", MODELS)
def test_never_slower_than_pytorch(model: str, threads: int) -> None:
    """Each way of PyTorch's takes at least as long; the one with a DataLoader twice as long on mnist-cnn."""
    ratios = {ratio.peer: ratio.median for ratio in compare(model, threads, rounds=8)}
    assert ratios[LABELS["dataloader"]] >= (2.0 if model == "mnist-cnn" else 1.0)
    assert min(ratios.values()) >= 1.0, ratios
