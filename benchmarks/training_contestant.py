"""One way of training a model, as a long-lived process that runs steps when told to.

    python -m benchmarks.training_contestant WAY MODEL THREADS PRECISION

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
from typing import Literal

LEARNING_RATE = 1e-4
WAYS = ("wasmgrad", "dataloader", "preloaded", "channels-last", "compiled")

Run = Callable[[int], float]
"""Runs so many steps and returns the seconds they took."""


def _requests() -> Iterator[int]:
    for line in sys.stdin:
        yield int(line)


def _answer(seconds: float) -> None:
    print(seconds, flush=True)


def _serve_wasmgrad(model: str, threads: int, precision: Literal["f32", "bf16"]) -> None:
    """Steps through `Trainer.fit`: an epoch of the requested length between two answers."""
    import wasmgrad

    from benchmarks.training_nets import TASKS

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

    task = TASKS[model]
    trainer = wasmgrad.Trainer(
        task.archive(),
        on_event=on_event,
        epochs=1_000_000,
        batches_per_epoch=steps,
        batch_size=task.batch,
        learning_rate=LEARNING_RATE,
        threads=threads,
        keep_integers=task.inputs == "indices",
        losses="model" if task.own_loss else None,
        precision=precision,
    )
    with contextlib.suppress(Done):
        trainer.fit(wasmgrad.Dataset(*task.data()))


def _torch_run(way: str, model: str, threads: int, precision: str) -> Run:
    import torch

    from benchmarks.training_nets import TASKS

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    task = TASKS[model]
    pictures = task.inputs == "pictures"
    order = torch.channels_last if way == "channels-last" else torch.contiguous_format
    net = task.make().to(memory_format=order) if pictures else task.make()
    optimizer = torch.optim.Adam(
        net.parameters(), lr=LEARNING_RATE, fused=True if way != "dataloader" else None
    )
    criterion = torch.nn.CrossEntropyLoss()
    inputs, targets = (torch.from_numpy(array) for array in task.data())

    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss: torch.Tensor = net(x, y) if task.own_loss else criterion(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    train = torch.compile(step) if way == "compiled" else step

    class Samples(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
        def __len__(self) -> int:
            return len(inputs)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            x = inputs[index]
            return x.to(torch.float32).div(255) if pictures else x, targets[index]

    def loaded() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from torch.utils.data.DataLoader(Samples(), task.batch, shuffle=True, drop_last=True)

    def preloaded() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rows = inputs.to(torch.float32).div_(255).contiguous(memory_format=order) if pictures else inputs
        while True:
            for index in torch.randperm(len(rows)).split(task.batch):
                if len(index) == task.batch:
                    yield rows[index], targets.index_select(0, index)

    batches = loaded() if way == "dataloader" else preloaded()

    def run(steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            train(*next(batches))
        return time.perf_counter() - begin

    return run


def main() -> None:
    way, model, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    precision: Literal["f32", "bf16"] = "bf16" if sys.argv[4] == "bf16" else "f32"
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if way == "wasmgrad":
        _serve_wasmgrad(model, threads, precision)
        return
    run = _torch_run(way, model, threads, precision)
    for steps in _requests():
        _answer(run(steps))


if __name__ == "__main__":
    main()
