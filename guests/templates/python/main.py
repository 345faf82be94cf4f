"""A complete training guest: it reads points from a CSV file and learns their last column.

Replace `read_points` by your own data. The model it trains maps inputs [N, 8] to outputs [N, 1]:
`wasmgrad model linear-regression -o model.pt`. What stands outside of functions runs when the guest is built.
"""

import csv
import json
import math
import os
import sys

from wasmgrad import Dataset, Encoding, ExecutionTarget, Model, TensorType, Trainer, args, tensor

FEATURES = 8
MOST_EPOCHS = 100
PATIENCE = 5  # epochs without a better validation loss


def read_points(path: str) -> Dataset:
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]  # without the names of the columns
    inputs = [float(value) for row in rows for value in row[:FEATURES]]
    targets = [float(row[FEATURES]) for row in rows]
    points = Dataset.create()
    points.append(
        [tensor(TensorType.F32, [len(rows), FEATURES], inputs)],
        [tensor(TensorType.F32, [len(rows), 1], targets)],
    )
    return points


def save(path: str, data: bytes) -> None:
    try:
        with open(f"{path}.part", "wb") as file:
            file.write(data)
        os.rename(f"{path}.part", path)
        print(f"saved {path} ({len(data)} bytes)")
    except OSError as error:
        print(f"not saved here: {error}", file=sys.stderr)


def main() -> None:
    path = args()[0] if args() else "/data/points.csv"
    training, validation = read_points(path).split([0.8, 0.2], 1)
    model = Model.load_by_name("model.pt", ExecutionTarget.CPU)
    options = {"loss": "mse", "optimizer": {"name": "adamw", "learning_rate": 0.05}, "batch_size": 32}
    trainer = Trainer.create(model, json.dumps(options))

    # A checkpoint may have been resumed, and the owner may want another number of epochs.
    begin = trainer.progress()
    best_epoch, best_loss, best = begin.epoch, math.inf, trainer.checkpoint()
    for epoch in range(begin.epoch + 1, (begin.owner_epochs or MOST_EPOCHS) + 1):
        trained = trainer.epoch(training)
        loss = trainer.evaluate(validation).loss
        if epoch % 10 == 0:
            print(f"epoch {epoch}: training loss {trained.loss:.4f}, validation loss {loss:.4f}")
        if loss < best_loss:
            best_epoch, best_loss, best = epoch, loss, trainer.checkpoint()
        if epoch - best_epoch >= PATIENCE:
            break
    trainer.restore(best)
    print(f"best epoch {best_epoch}: validation loss {best_loss:.4f}")
    save("/out/checkpoint.safetensors", best)
    save("/out/trained_model.pt", model.export(Encoding.TORCHSCRIPT))
