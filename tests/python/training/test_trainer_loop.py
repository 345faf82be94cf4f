"""The training host from NumPy arrays: own loops, several inputs and outputs, own losses, frozen parameters."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import wasmgrad
from torch import Tensor, nn
from wasmgrad import Dataset, Trainer

RNG = np.random.default_rng(0)
WIDE = RNG.normal(size=(40, 4)).astype(np.float32)
NARROW = RNG.normal(size=(40, 2)).astype(np.float32)
LABELS = RNG.integers(0, 3, 40)
VALUES = WIDE.sum(1, keepdims=True)


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 8)
        self.side = nn.Linear(2, 8)
        self.label = nn.Linear(8, 3)
        self.value = nn.Linear(8, 1)

    def forward(self, wide: Tensor, narrow: Tensor) -> dict[str, Tensor]:
        hidden = torch.tanh(self.body(wide) + self.side(narrow))
        return {"label": self.label(hidden), "value": self.value(hidden)}


class OwnLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        out = self.fc(x)
        if y is None:
            return {"out": out}
        return {"out": out, "loss": ((out - y) ** 2).mean()}


def archive(module: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer)
    return buffer.getvalue()


def heads(**options: object) -> Trainer:
    torch.manual_seed(0)
    losses = {"label": "cross_entropy", "value": ("mse", 0.5)}
    return Trainer(archive(Heads()), losses=losses, learning_rate=0.02, threads=1, **options)  # type: ignore[arg-type]


def heads_data() -> Dataset:
    return Dataset({"wide": WIDE, "narrow": NARROW}, {"label": LABELS, "value": VALUES})


def linear(**options: object) -> Trainer:
    torch.manual_seed(0)
    chosen = {"loss": "mse", "optimizer": "sgd", "learning_rate": 0.05, "threads": 1}
    return Trainer(archive(nn.Linear(4, 1)), **(chosen | options))  # type: ignore[arg-type]


def test_named_inputs_and_outputs_are_trained() -> None:
    trainer = heads(epochs=30)
    result = trainer.fit(heads_data(), heads_data())
    assert result.initial is not None
    last = result.epochs[-1].validation
    assert last is not None
    assert last.accuracy is not None
    assert last.loss < 0.8 * result.initial.loss
    outputs = trainer.outputs((WIDE, NARROW))
    assert list(outputs) == ["label", "value"]
    assert outputs["label"].shape == (40, 3)
    np.testing.assert_array_equal(trainer.predict({"narrow": NARROW, "wide": WIDE}), outputs["label"])


def test_tensor_without_counterpart_is_named() -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="'slim' is no argument"):
        heads().predict({"wide": WIDE, "slim": NARROW})


def test_model_computes_its_own_loss() -> None:
    trainer = Trainer(archive(OwnLoss()), losses="model", learning_rate=0.05, threads=1)
    first = trainer.step(WIDE, VALUES)
    for _ in range(50):
        trainer.step(WIDE, VALUES)
    assert trainer.evaluate(Dataset(WIDE, VALUES)).loss < first.loss
    assert list(trainer.outputs(WIDE)) == ["out"]


def test_whole_numbers_are_kept_for_embeddings() -> None:
    model = archive(nn.Sequential(nn.Embedding(5, 3), nn.Flatten()))
    words = np.array([[0, 1], [4, 2]], np.int32)
    assert Trainer(model, keep_integers=True).predict(words).shape == (2, 6)


def test_frozen_parameters_stay() -> None:
    trainer = heads(freeze=["body.*", "side.*"])
    before = torch.jit.load(io.BytesIO(trainer.model())).state_dict()
    trainer.train_epoch(heads_data())
    after = torch.jit.load(io.BytesIO(trainer.model())).state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"label.weight", "label.bias", "value.weight", "value.bias"}
    assert trainer.parameters == 8 * 3 + 3 + 8 + 1


def test_own_loop_with_accumulated_gradients_is_torchs() -> None:
    trainer = linear()
    module = torch.jit.load(io.BytesIO(trainer.model()))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    for _ in range(3):
        for rows in (slice(0, 10), slice(10, 20)):
            trainer.backward(WIDE[rows], VALUES[rows])
            loss = nn.functional.mse_loss(module(torch.tensor(WIDE[rows])), torch.tensor(VALUES[rows]))
            (loss / 2).backward()
        expected = torch.cat([p.grad.flatten() for p in module.parameters()])
        np.testing.assert_allclose(trainer.get_gradients(), expected, rtol=1e-4, atol=1e-6)
        trainer.apply()
        optimizer.step()
        optimizer.zero_grad()
    assert trainer.steps == 3
    parameters = torch.cat([p.detach().flatten() for p in module.parameters()])
    np.testing.assert_allclose(trainer.get_parameters(), parameters, rtol=1e-5)


def test_accumulate_is_an_option_of_fit() -> None:
    trainer = linear(accumulate=2, batch_size=10, epochs=1)
    trainer.fit(Dataset(WIDE, VALUES))
    assert trainer.steps == 2


def test_parameters_and_gradients_are_exchanged() -> None:
    trainer = linear()
    trainer.set_parameters(np.zeros(5, np.float32))
    trainer.set_gradients(np.full(5, -1, np.float32))
    trainer.apply()
    np.testing.assert_allclose(trainer.get_parameters(), np.full(5, 0.05), rtol=1e-6)
    with pytest.raises(wasmgrad.InvalidArgument, match="index 2"):
        trainer.set_parameters(np.array([0, 0, np.nan, 0, 0], np.float32))
    with pytest.raises(wasmgrad.InvalidArgument, match="20 bytes"):
        trainer.set_parameters(np.zeros(4, np.float32))


def test_setting_is_changed() -> None:
    trainer = linear()
    trainer.set("learning_rate", 0.0)
    before = trainer.get_parameters()
    trainer.step(WIDE, VALUES)
    np.testing.assert_array_equal(trainer.get_parameters(), before)
    with pytest.raises(wasmgrad.NotFound, match="'speed'"):
        trainer.set("speed", 1)


def test_split_is_disjoint_and_complete() -> None:
    train, test = Dataset(WIDE, VALUES).split([0.75, 0.25], seed=3)
    assert (len(train), len(test)) == (30, 10)
    trainer = linear()
    whole = trainer.evaluate(Dataset(WIDE, VALUES)).loss
    parts = (30 * trainer.evaluate(train).loss + 10 * trainer.evaluate(test).loss) / 40
    assert parts == pytest.approx(whole)


@pytest.mark.parametrize("losses", ["modell", {"label": "hinge"}])
def test_unknown_loss_is_refused(losses: object) -> None:
    with pytest.raises(wasmgrad.InvalidArgument):
        Trainer(archive(Heads()), losses=losses)  # type: ignore[arg-type]
