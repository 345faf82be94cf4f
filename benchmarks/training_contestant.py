"""One way of training a model, as a long-lived process that runs steps when told to.

    python -m benchmarks.training_contestant WAY MODEL THREADS

reads a number of steps a line from standard input and answers with the seconds they took, until end of
file. The first answer includes warm-up. The coordinator (benchmarks.training) starts several and gives
them turns, so that all see the same machine.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

BATCH = 128
LEARNING_RATE = 1e-4
WAYS = ("wasmgrad", "dataloader", "preloaded", "compiled")

Run = Callable[[int], float]
"""Runs so many steps and returns the seconds they took."""


def _requests() -> Iterator[int]:
    for line in sys.stdin:
        yield int(line)


def _answer(seconds: float) -> None:
    print(seconds, flush=True)


def _serve_wasmgrad(model: str, threads: int) -> None:
    """Steps through `Trainer.fit`: an epoch of the requested length between two answers."""
    import wasmgrad

    from benchmarks import mnist

    class Done(Exception):
        pass

    requests = _requests()
    steps = next(requests)

    def on_event(event: dict[str, object]) -> None:
        if event["event"] != "epoch":
            return
        seconds = event["seconds"]
        assert isinstance(seconds, float)
        _answer(seconds)
        if next(requests, None) is None:
            raise Done

    trainer = wasmgrad.Trainer(
        wasmgrad.models.build(model),
        on_event=on_event,
        epochs=1_000_000,
        batches_per_epoch=steps,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        threads=threads,
    )
    with contextlib.suppress(Done):
        trainer.fit(wasmgrad.Dataset(mnist.images(), mnist.labels()))


def _torch_run(way: str, model: str, threads: int) -> Run:
    import torch
    import wasmgrad

    from benchmarks import mnist

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = wasmgrad.models.registry[model].make()
    optimizer = torch.optim.Adam(
        net.parameters(), lr=LEARNING_RATE, fused=True if way != "dataloader" else None
    )
    criterion = torch.nn.CrossEntropyLoss()
    bytes_, targets = torch.from_numpy(mnist.images()), torch.from_numpy(mnist.labels())

    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    train = torch.compile(step) if way == "compiled" else step

    class Samples(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
        def __len__(self) -> int:
            return len(bytes_)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return bytes_[index].to(torch.float32).div(255), int(targets[index])

    def loaded() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from torch.utils.data.DataLoader(Samples(), BATCH, shuffle=True, drop_last=True)

    def preloaded() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        pixels = bytes_.to(torch.float32).div_(255)
        while True:
            for index in torch.randperm(len(pixels)).split(BATCH):
                if len(index) == BATCH:
                    yield pixels.index_select(0, index), targets.index_select(0, index)

    batches = loaded() if way == "dataloader" else preloaded()

    def run(steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            train(*next(batches))
        return time.perf_counter() - begin

    return run


def main() -> None:
    way, model, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if way == "wasmgrad":
        _serve_wasmgrad(model, threads)
        return
    run = _torch_run(way, model, threads)
    for steps in _requests():
        _answer(run(steps))


if __name__ == "__main__":
    main()
