"""What models exchange besides parameters: buffers, and every tensor by name; averaging as plain torch does it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from torch import Tensor, nn
from wasmgrad import Dataset, Trainer

RNG = np.random.default_rng(1)
X = RNG.normal(3, 2, (96, 3, 8, 8)).astype(np.float32)
Y = RNG.integers(0, 4, 96)


class Net(nn.Module):
    """Batch norm in two places, and buffers of every other kind.

    Without `momentum` the last one averages all batches alike, which torch.export refuses.
    """

    def __init__(self, momentum: float | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 4)
        self.last = nn.BatchNorm1d(4, momentum=momentum)
        self.register_buffer("table", torch.rand(2, 3, dtype=torch.float64))
        self.register_buffer("narrow", torch.rand(3).half())
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        self.register_buffer("flags", torch.tensor([True, False]))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv(x))).mean([2, 3])
        return (
            self.last(self.fc(x)) + self.mask[0] + self.narrow.float().sum() + self.table.sum().float() * 1e-3
        )


def archive(exported: bool) -> bytes:
    torch.manual_seed(0)
    net, buffer = Net(momentum=0.3 if exported else None), io.BytesIO()
    if exported:
        shapes = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(net, (torch.from_numpy(X[:4]),), dynamic_shapes=shapes), buffer)
    else:
        torch.jit.save(torch.jit.script(net), buffer)
    return buffer.getvalue()


@pytest.fixture(params=[False, True], ids=["scripted", "exported"])
def model(request: pytest.FixtureRequest) -> bytes:
    return archive(request.param)


def trained(model: bytes, rows: slice, steps: int = 3) -> Trainer:
    trainer = Trainer(model, optimizer="sgd", learning_rate=0.05, threads=1)
    for _ in range(steps):
        trainer.step(X[rows], Y[rows])
    return trainer


def by_torch(state: dict[str, Any]) -> np.ndarray[Any, Any]:
    net = Net().eval()
    net.load_state_dict({name: torch.as_tensor(value) for name, value in state.items()})
    with torch.no_grad():
        return net(torch.from_numpy(X)).numpy()


def test_state_is_pytorch_s(model: bytes) -> None:
    trainer = trained(model, slice(0, 48))
    state = trainer.state_dict()
    assert set(state) == set(Net().state_dict())
    np.testing.assert_allclose(by_torch(state), trainer.predict(X), rtol=1e-5, atol=1e-5)
    assert state["table"].dtype == np.float64
    assert state["last.num_batches_tracked"] == 3


def test_buffers_are_the_floating_ones_in_the_model_s_order(model: bytes) -> None:
    trainer = trained(model, slice(0, 48))
    state = trainer.state_dict()
    names = [name for name, _ in Net().named_buffers() if state[name].dtype.kind == "f"]
    assert len(names) == 7
    expected = {name: state[name].astype(np.float32).ravel() for name in names}
    flat = trainer.get_buffers()
    assert flat.dtype == np.float32
    order = [
        name for name, _ in torch.jit.load(io.BytesIO(trainer.model())).named_buffers() if name in expected
    ]
    np.testing.assert_array_equal(flat, np.concatenate([expected[name] for name in order]))


@pytest.mark.parametrize("how", ["buffers", "state_dict"])
def test_what_is_read_and_set_again_changes_no_bit(model: bytes, how: str) -> None:
    trainer = trained(model, slice(0, 48))
    before, expected = trainer.state_dict(), trainer.predict(X)
    if how == "buffers":
        trainer.set_parameters(trainer.get_parameters())
        trainer.set_buffers(trainer.get_buffers())
    else:
        trainer.load_state_dict(trainer.state_dict())
    np.testing.assert_array_equal(trainer.predict(X), expected)
    for name, values in trainer.state_dict().items():
        np.testing.assert_array_equal(values, before[name])


@pytest.mark.parametrize("how", ["buffers", "state_dict"])
def test_average_of_two_models_is_torch_s(model: bytes, how: str) -> None:
    sites = [trained(model, slice(0, 48)), trained(model, slice(48, 96))]
    states = [site.state_dict() for site in sites]
    mean: dict[str, Any] = {}
    for name, first in states[0].items():
        pair = torch.stack([torch.from_numpy(np.asarray(state[name])) for state in states])
        mean[name] = pair.mean(0) if pair.is_floating_point() else torch.from_numpy(np.asarray(first))
    expected = by_torch(mean)
    result = Trainer(model, threads=1)
    if how == "buffers":
        result.set_parameters((sites[0].get_parameters() + sites[1].get_parameters()) / 2)
        result.set_buffers((sites[0].get_buffers() + sites[1].get_buffers()) / 2)
    else:
        result.load_state_dict({name: np.mean([s[name] for s in states], axis=0) for name in states[0]})
    np.testing.assert_allclose(result.predict(X), expected, rtol=1e-5, atol=1e-5)
    parameters_only = Trainer(model, threads=1)
    parameters_only.set_parameters(result.get_parameters())
    assert np.abs(parameters_only.predict(X) - expected).max() > 0.01


def test_copy_by_parameters_and_buffers_evaluates_the_same(model: bytes) -> None:
    trainer, copy = trained(model, slice(0, 48)), Trainer(model, threads=1)
    copy.set_parameters(trainer.get_parameters())
    copy.set_buffers(trainer.get_buffers())
    data = Dataset(X, Y)
    assert copy.evaluate(data).loss == trainer.evaluate(data).loss


def test_buffers_that_do_not_fit_are_refused(model: bytes) -> None:
    trainer = Trainer(model, threads=1)
    values = trainer.get_buffers()
    size = 4 * len(values)
    with pytest.raises(wasmgrad.InvalidArgument, match=f"the buffers take {size} bytes"):
        trainer.set_buffers(values[:-1])
    changed = values.copy()
    changed[0] = np.nan
    with pytest.raises(wasmgrad.InvalidArgument, match="index 0 is nan"):
        trainer.set_buffers(changed)
    np.testing.assert_array_equal(trainer.get_buffers(), values)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"conv.bias": None}, "tensor 'conv.bias' of the model is missing"),
        ({"extra": np.zeros(1)}, "the model has no tensor 'extra'"),
        ({"conv.bias": np.zeros(7)}, r"tensor 'conv.bias' has shape \[7\]; the model's has \[6\]"),
        ({"conv.bias": np.full(6, np.inf)}, "tensor 'conv.bias' is not finite"),
        ({"conv.bias": np.full(6, 1e300)}, "tensor 'conv.bias' is not finite"),
    ],
)
def test_state_that_does_not_fit_is_refused_and_changes_nothing(
    model: bytes, change: dict[str, Any], sentence: str
) -> None:
    trainer = trained(model, slice(0, 48))
    before = trainer.predict(X)
    state = {name: values * 0 for name, values in trainer.state_dict().items()} | change
    with pytest.raises(wasmgrad.InvalidArgument, match=sentence):
        trainer.load_state_dict({name: values for name, values in state.items() if values is not None})
    np.testing.assert_array_equal(trainer.predict(X), before)


def test_state_takes_what_numpy_takes(model: bytes) -> None:
    trainer = Trainer(model, threads=1)
    state = Net().state_dict()
    trainer.load_state_dict(state)
    for name, values in state.items():
        np.testing.assert_array_equal(trainer.state_dict()[name], values.numpy())


def test_frozen_parameters_are_in_the_state_only(model: bytes) -> None:
    trainer = Trainer(model, freeze="conv.*", threads=1)
    assert trainer.parameters == sum(
        p.numel() for n, p in Net().named_parameters() if not n.startswith("conv")
    )
    assert "conv.weight" in trainer.state_dict()
