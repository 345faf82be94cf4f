"""A model given as a torch.export program trains as it does from TorchScript."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import wasmgrad
from numpy.typing import NDArray
from wasmgrad import Dataset, Trainer, models

Command = Callable[..., subprocess.CompletedProcess[str]]


def digits(folder: Path, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = np.fromfile(folder / "train-images-idx3-ubyte", np.uint8, rows * 784, offset=16)
    labels = np.fromfile(folder / "train-labels-idx1-ubyte", np.uint8, rows, offset=8)
    return images.reshape(rows, 1, 28, 28), labels.astype(np.int64)


def trained(archive: bytes, data: Dataset) -> tuple[float, dict[str, torch.Tensor]]:
    """The last epoch's loss, and parameters and buffers."""
    trainer = Trainer(archive, learning_rate=1e-3, epochs=2, batch_size=64, seed=1, threads=1)
    loss = trainer.fit(data).epochs[-1].train.loss
    return loss, torch.jit.load(io.BytesIO(trainer.model())).state_dict()


@pytest.mark.parametrize("name", ["mnist-cnn", "lenet-5", "mlp"])
def test_program_trains_on_mnist_to_the_same_weights_as_torchscript(name: str, mnist: Path) -> None:
    data = Dataset(*digits(mnist, 600))
    loss, weights = trained(models.build(name, exported=True), data)
    expected_loss, expected = trained(models.build(name), data)
    assert loss == expected_loss
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[key], expected[key]) for key in expected)


def test_program_is_a_torch_export_archive_with_an_open_batch_size() -> None:
    program = torch.export.load(io.BytesIO(models.build("linear-regression", exported=True)))
    assert program.module()(torch.zeros(7, 8)).shape == (7, 1)


def test_program_with_a_fixed_batch_size_is_refused_with_what_to_do() -> None:
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(torch.nn.Linear(4, 3), (torch.zeros(2, 4),)), buffer)
    with pytest.raises(wasmgrad.InvalidArgument, match="fixed batch size 2; export it with dynamic_shapes"):
        Trainer(buffer.getvalue())


def test_command_line_writes_a_program_and_trains_it(
    command: Command, tmp_path: Path, regression_guest: Path
) -> None:
    written = command("model", "linear-regression", "-o", "linear.pt2")
    assert written.returncode == 0, written.stderr
    done = command("train", "--model", "linear.pt2=linear.pt2", "--json", str(regression_guest), "linear.pt2")
    assert done.returncode == 0, done.stderr
    assert [torch.jit.load(path) for path in tmp_path.glob("trained_*")]


class Teacher(torch.nn.Module):
    """A target that gradients do not reach, a buffer that follows the weights, and a scale that only passes through."""

    def __init__(self) -> None:
        super().__init__()
        self.student = torch.nn.Linear(4, 3)
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.register_buffer("average", torch.zeros(3, 4))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.average.mul_(0.9).add_(self.student.weight * 0.1)
            target = x @ self.average.t() + self.student(x).tanh()
            scale = self.scale
        out = self.student(x) * scale
        return ((out - target) ** 2).mean() + ((out - y) ** 2).mean()


def test_blocks_without_gradients_train_as_eager() -> None:
    torch.manual_seed(0)
    model, x, y = Teacher(), torch.randn(8, 4), torch.randn(8, 3)
    batch = torch.export.Dim("batch")
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(model, (x, y), dynamic_shapes=({0: batch}, {0: batch})), buffer)
    trainer = Trainer(
        buffer.getvalue(), losses="model", optimizer="sgd", learning_rate=0.1, threads=1, batch_size=8
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(5):
        optimizer.zero_grad()
        loss = model(x, y)
        loss.backward()
        optimizer.step()
        assert trainer.step(x.numpy(), y.numpy()).loss == pytest.approx(loss.item(), rel=1e-5)
    state = trainer.state_dict()
    for name, tensor in model.state_dict().items():
        np.testing.assert_allclose(state[name], tensor.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
