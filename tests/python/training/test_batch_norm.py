"""Batch norm of images trains as exactly as torch's row-major one, whatever the layout of its memory."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad import Trainer


class Net(nn.Module):
    """Images that convolutions make channels-last, normalised three times."""

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, channels, 3), nn.Conv2d(channels, channels, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels, **options) for _ in range(3))
        self.head = nn.Linear(channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.norms[0](self.first(x)))
        x = F.silu(self.norms[1](self.second(x) + 30))  # a mean far from 0 takes places away
        x = self.norms[2](x + x.mean((2, 3), keepdim=True))
        return self.head(x.mean((2, 3)))


def scripted(model: nn.Module, x: Tensor) -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(model.train()), file)  # type: ignore[no-untyped-call]
    return file.getvalue()


def exported(model: nn.Module, x: Tensor) -> bytes:
    file = io.BytesIO()
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(model.train(), (x,), dynamic_shapes=batch), file)
    return file.getvalue()


def step(model: nn.Module, x: Tensor, y: Tensor, dtype: torch.dtype) -> dict[str, Any]:
    """Gradients by name, and buffers afterwards."""
    model = copy.deepcopy(model).to(dtype).train()
    F.cross_entropy(model(x.to(dtype)), y).backward()  # type: ignore[no-untyped-call]
    found = {
        name: each.grad.double().numpy() for name, each in model.named_parameters() if each.grad is not None
    }
    return found | {name: each.double().numpy() for name, each in model.named_buffers()}


CASES: list[tuple[int, tuple[int, int, int], dict[str, Any]]] = [
    (2, (2, 3, 3), {}),
    (3, (5, 7, 4), {"affine": False}),
    (8, (16, 16, 16), {"momentum": 1.0}),
    (17, (3, 11, 9), {"track_running_stats": False}),
    (40, (32, 18, 18), {"momentum": 0.37, "eps": 1e-3}),
    (64, (128, 10, 10), {}),
]


@pytest.mark.parametrize("save", [scripted, exported])
@pytest.mark.parametrize(("channels", "shape", "options"), CASES, ids=str)
def test_gradients_and_statistics_are_as_close_to_the_truth_as_torch_s(
    channels: int,
    shape: tuple[int, int, int],
    options: dict[str, Any],
    save: Callable[[nn.Module, Tensor], bytes],
) -> None:
    torch.manual_seed(channels)
    model, (batch, height, width) = Net(channels, **options), shape
    x, y = torch.randn(batch, 3, height, width) * 3 + 1, torch.arange(batch) % 5
    truth, plain = (step(model, x, y, dtype) for dtype in (torch.float64, torch.float32))
    trainer = Trainer(save(model, x), threads=1)
    trainer.backward(x.numpy(), y.numpy())
    flat, start, ours = trainer.get_gradients(), 0, trainer.state_dict()
    for name, parameter in model.named_parameters():
        ours[name] = flat[start : start + parameter.numel()].reshape(parameter.shape)
        start += parameter.numel()
    widest = max(float(np.abs(truth[name]).max()) for name, _ in model.named_parameters())
    for name, right in truth.items():
        scale = widest if name in dict(model.named_parameters()) else float(np.abs(right).max())
        error = float(np.abs(ours[name] - right).max())
        assert error <= 4 * float(np.abs(plain[name] - right).max()) + 3e-7 * scale, name


def test_a_run_of_many_rows_does_not_lose_places() -> None:
    """Sums in float over 100,000 rows would be wrong in the fourth place."""
    torch.manual_seed(0)
    model, x = Net(4), torch.randn(64, 3, 42, 42) + 2
    y = torch.arange(64) % 5
    trainer = Trainer(scripted(model, x), threads=1)
    trainer.backward(x.numpy(), y.numpy())
    truth = step(model, x, y, torch.float64)
    for name in ("norms.0.running_mean", "norms.0.running_var"):
        np.testing.assert_allclose(
            trainer.state_dict()[name], truth[name], rtol=1e-6, atol=1e-7, err_msg=name
        )


def test_two_threads_give_what_each_run_of_two_gives() -> None:
    torch.manual_seed(1)
    model, x, y = Net(24), torch.randn(32, 3, 20, 20), torch.arange(32) % 5
    first, second = (Trainer(scripted(model, x), threads=2) for _ in range(2))
    for trainer in (first, second):
        for _ in range(3):
            trainer.step(x.numpy(), y.numpy())
    np.testing.assert_array_equal(first.get_parameters(), second.get_parameters())
    np.testing.assert_array_equal(first.get_buffers(), second.get_buffers())
