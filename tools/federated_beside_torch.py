#!/usr/bin/env python3
"""Trains on MNIST over several owners through Flower, with guests and with plain PyTorch, and compares accuracies.

    python tools/federated_beside_torch.py [--seeds N] [--rounds N] [--samples N] [--owners N]

Four owners have 3,000 pictures each, dealt at random or by label; both sides train LeNet-5, or a net with batch norm,
by SGD over the same pictures in the same order, and Flower's FedAvg averages. The accuracies are those on the 10,000
test pictures. A mean over the seeds that is half a point apart makes this program exit with 1.
"""

from __future__ import annotations

import argparse
import io
import logging
import struct
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray
from torch import nn
from wasmgrad import Limits, models
from wasmgrad._files import find_part
from wasmgrad._training.default import prepare_mnist
from wasmgrad.federated import Federation, Policy, run_rounds
from wasmgrad.federated._grid import LocalGrid

RATE, MOMENTUM, BATCH = 0.05, 0.9, 64
State = Mapping[str, NDArray[Any]]
Pictures = tuple[NDArray[Any], NDArray[Any]]


def with_batch_norm() -> nn.Module:
    """A small net whose running statistics matter."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 36, 10),
    )  # fmt: skip


NETS: dict[str, Callable[[], nn.Module]] = {
    "lenet-5": models.registry["lenet-5"].make,
    "batch norm": with_batch_norm,
}


def scripted(net: str, seed: int) -> bytes:
    """The net with weights of that seed, as TorchScript."""
    torch.manual_seed(seed)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(NETS[net]()), buffer)
    return buffer.getvalue()


def read_mnist(part: str) -> Pictures:
    """Pictures [N, 28, 28] and labels [N], as bytes."""
    folder = prepare_mnist()
    pixels = np.frombuffer((folder / f"{part}-images-idx3-ubyte").read_bytes(), "u1", offset=16)
    labels = np.frombuffer((folder / f"{part}-labels-idx1-ubyte").read_bytes(), "u1", offset=8)
    return pixels.reshape(-1, 28, 28), labels


def deal(pictures: Pictures, owners: int, samples: int, skewed: bool, seed: int) -> list[Pictures]:
    """So many pictures for each owner: any, or, skewed, two shards of the pictures sorted by label."""
    order = np.random.default_rng(seed).permutation(len(pictures[1]))[: owners * samples]
    if skewed:
        order = order[np.argsort(pictures[1][order], kind="stable")]
        shards = np.random.default_rng(seed).permutation(2 * owners)
        size = samples // 2
        parts = [
            np.concatenate([order[s * size : (s + 1) * size] for s in shards[2 * i : 2 * i + 2]])
            for i in range(owners)
        ]
        mixed = np.random.default_rng(seed + 1)
        parts = [part[mixed.permutation(len(part))] for part in parts]
    else:
        parts = list(order.reshape(owners, samples))
    return [(pictures[0][part], pictures[1][part]) for part in parts]


def write_idx(folder: Path, pictures: Pictures) -> Path:
    """As the packaged guest reads them; a few of them are its test set."""
    folder.mkdir(parents=True)
    for part, count in {"train": len(pictures[1]), "t10k": 64}.items():
        head = struct.pack(">IIII", 2051, count, 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + pictures[0][:count].tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, count) + pictures[1][:count].tobytes()
        )
    return folder


def by_guests(model: bytes, parts: Sequence[Pictures], rounds: int) -> State:
    """The weights after so many rounds of the packaged guest on nodes with these pictures."""
    with tempfile.TemporaryDirectory() as folder:
        nodes = [
            Policy(
                guests=("*",),
                models=("*",),
                clip_norm=float("inf"),
                directories={"/data": write_idx(Path(folder, str(number)), part)},
                limits=Limits(wall_seconds=600),
            )
            for number, part in enumerate(parts)
        ]
        options = {"optimizer": "sgd", "learning_rate": RATE, "momentum": MOMENTUM, "batch_size": BATCH}
        federation = Federation(
            guest=find_part("guests/mnist_train.wasm").read_bytes(),
            model=model,
            args=("--model", "model"),
            options={**options, "epochs": 1, "shuffle": False, "threads": 1},
            rounds=rounds,
            nodes=len(parts),
        )
        return run_rounds(federation, LocalGrid(nodes))[0]


def by_torch(model: bytes, parts: Sequence[Pictures], rounds: int) -> State:
    """The same by PyTorch's own optimizer and Flower's own strategy, without a line of wasmgrad's training."""

    def node(message: Message, context: Context) -> Message:
        pixels, labels = parts[message.metadata.dst_node_id - 1]
        net = torch.jit.load(io.BytesIO(model))
        given = message.content.array_records["arrays"]
        net.load_state_dict({name: torch.from_numpy(array.numpy().copy()) for name, array in given.items()})
        net.train()
        optimizer = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM)
        for first in range(0, len(labels), BATCH):
            inputs = torch.from_numpy(pixels[first : first + BATCH].astype("f4") / 255).unsqueeze(1)
            targets = torch.from_numpy(labels[first : first + BATCH].astype("i8"))
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs), targets).backward()
            optimizer.step()
        arrays = ArrayRecord({name: Array(value.numpy()) for name, value in net.state_dict().items()})
        metrics = MetricRecord({"num-examples": len(labels)})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    grid = LocalGrid([node] * len(parts))
    start = torch.jit.load(io.BytesIO(model)).state_dict()
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=len(parts), min_available_nodes=len(parts))
    initial = ArrayRecord({name: Array(value.numpy()) for name, value in start.items()})
    result = strategy.start(grid, initial, num_rounds=rounds)
    return {name: array.numpy() for name, array in result.arrays.items()}


def accuracy(model: bytes, state: State, test: Pictures) -> float:
    """Share of the test pictures that a net with these weights gets right, by PyTorch."""
    net = torch.jit.load(io.BytesIO(model)).eval()
    net.load_state_dict({name: torch.from_numpy(np.asarray(value).copy()) for name, value in state.items()})
    with torch.no_grad():
        inputs = torch.from_numpy(test[0].astype("f4") / 255).unsqueeze(1)
        right = net(inputs).argmax(1).numpy() == test[1]
    return float(right.mean())


def main() -> int:
    """Compare every net and split; 1 when one is apart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, usual in {"seeds": 3, "rounds": 5, "samples": 3000, "owners": 4}.items():
        parser.add_argument(f"--{name}", type=int, default=usual)
    chosen = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    pictures, test = read_mnist("train"), read_mnist("t10k")
    apart = 0
    for net in NETS:
        for skewed in (False, True):
            found = []
            for seed in range(chosen.seeds):
                model = scripted(net, seed)
                parts = deal(pictures, chosen.owners, chosen.samples, skewed, seed)
                ours, theirs = by_guests(model, parts, chosen.rounds), by_torch(model, parts, chosen.rounds)
                found.append((accuracy(model, ours, test), accuracy(model, theirs, test)))
                furthest = max(
                    float(np.abs(ours[n] - theirs[n]).max()) for n in ours if ours[n].dtype.kind == "f"
                )
                where = f"{net}, {'by label' if skewed else 'at random'}, seed {seed}"
                here, there = found[-1]
                print(
                    f"{where}: guests {here:.4f}, PyTorch {there:.4f}, weights {furthest:.1e} apart",
                    flush=True,
                )
            means = np.mean(found, axis=0)
            print(
                f"{net}, {'by label' if skewed else 'at random'}: guests {means[0]:.4f}, PyTorch {means[1]:.4f}"
            )
            apart += abs(means[0] - means[1]) > 0.005
    return int(apart > 0)


if __name__ == "__main__":
    sys.exit(main())
