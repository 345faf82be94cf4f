"""Weights by name: a pretrained model goes on as torch goes on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import wasmgrad
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad import Trainer

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(3))
Y = torch.arange(16) % 3


class Net(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


def seeded(seed: int, classes: int = 3) -> Net:
    torch.manual_seed(seed)
    return Net(classes)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    model = seeded(7)
    model(X)  # running statistics that are not the first ones
    safetensors.torch.save_file(model.state_dict(), path)
    return path


def trainer_of(model: Net) -> Trainer:
    return Trainer(model, optimizer="sgd", learning_rate=0.1, threads=1)


def steps_of_torch(model: Net) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X), Y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("how", ["path", "bytes", "state dict"])
def test_a_pretrained_model_trains_on_as_in_torch(how: str, weights: Path) -> None:
    trainer = trainer_of(seeded(1))
    state = safetensors.torch.load_file(weights)
    source: Any = {"path": weights, "bytes": weights.read_bytes(), "state dict": state}[how]
    assert trainer.load_weights(source) == []
    model = seeded(1)
    model.load_state_dict(state)
    ours = [trainer.step(X.numpy(), Y.numpy()).loss for _ in range(5)]
    np.testing.assert_allclose(ours, steps_of_torch(model), rtol=1e-5)


def test_a_part_is_taken_by_a_pattern_and_the_rest_stays(weights: Path) -> None:
    trainer = trainer_of(seeded(1, classes=5))
    before = trainer.state_dict()
    stayed = trainer.load_weights(weights, only="backbone.*")
    assert stayed == ["head.weight", "head.bias"]
    after, taken = trainer.state_dict(), safetensors.torch.load_file(weights)
    for name, value in after.items():
        np.testing.assert_array_equal(
            value, before[name] if name in stayed else taken[name].numpy(), err_msg=name
        )


def test_what_both_have_is_taken_without_strictness(weights: Path) -> None:
    state = safetensors.torch.load_file(weights)
    del state["head.bias"]
    state["extra"] = torch.zeros(1)
    trainer = trainer_of(seeded(1))
    with pytest.raises(wasmgrad.InvalidArgument, match=r"lack 'head\.bias' and the model has no 'extra'"):
        trainer.load_weights(state)
    assert trainer.load_weights(state, strict=False) == ["head.bias"]


def test_weights_that_are_written_are_read_again(tmp_path: Path) -> None:
    first, second = trainer_of(seeded(1)), trainer_of(seeded(2))
    first.step(X.numpy(), Y.numpy())
    first.save_weights(tmp_path / "w.safetensors")
    second.load_weights(tmp_path / "w.safetensors")
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[name], value, err_msg=name)


@pytest.mark.parametrize("how", ["file", "state dict"])
def test_half_precision_weights_are_widened(how: str, tmp_path: Path) -> None:
    state = seeded(7).bfloat16().state_dict()
    safetensors.torch.save_file(state, tmp_path / "half.safetensors")
    trainer = trainer_of(seeded(1))
    trainer.load_weights(tmp_path / "half.safetensors" if how == "file" else state)
    np.testing.assert_array_equal(trainer.state_dict()["head.weight"], state["head.weight"].float().numpy())


def test_what_does_not_fit_is_refused_and_changes_nothing(weights: Path, tmp_path: Path) -> None:
    trainer = trainer_of(seeded(1))
    before = trainer.state_dict()
    wrong = {**safetensors.torch.load_file(weights), "head.weight": torch.zeros(4, 8)}
    torch.save(seeded(7).state_dict(), tmp_path / "state.pth")
    (tmp_path / "noise").write_bytes(b"noise")
    cases: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (wrong, {}, wasmgrad.InvalidArgument, "head.weight"),
        (weights, {"only": "trunk.*"}, wasmgrad.InvalidArgument, "no parameter or buffer matches 'trunk"),
        (
            {"other": torch.zeros(1)},
            {"strict": False},
            wasmgrad.InvalidArgument,
            "none of the weights' names",
        ),
        (tmp_path / "missing", {}, wasmgrad.RuntimeFailure, "cannot be read"),
        (tmp_path / "noise", {}, wasmgrad.InvalidEncoding, "not a safetensors file"),
        (tmp_path / "state.pth", {}, wasmgrad.InvalidEncoding, r"torch\.load opens a \.pth file"),
    ]
    for source, options, error, sentence in cases:
        with pytest.raises(error, match=sentence):
            trainer.load_weights(source, **options)
    for name, value in trainer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("kind", ["parameter", "float8", "big-endian", "list"])
def test_every_exact_form_of_a_tensor_is_taken(kind: str) -> None:
    values = torch.tensor([0.5, -1.0, 2.0])
    forms: dict[str, Any] = {
        "parameter": nn.Parameter(values),
        "float8": values.to(torch.float8_e4m3fn),
        "big-endian": values.numpy().astype(">f4"),
        "list": values.tolist(),
    }
    trainer = trainer_of(seeded(1))
    trainer.load_weights({"head.bias": forms[kind]}, strict=False)
    np.testing.assert_array_equal(trainer.state_dict()["head.bias"], values.numpy())


@pytest.mark.parametrize(
    ("source", "options", "sentence"),
    [
        (None, {}, "the weights are a NoneType; expected a safetensors file"),
        ({1: torch.zeros(3)}, {}, "a name of the weights is 1"),
        ({"head.bias": None}, {}, r"'head\.bias' is a NoneType; expected an array"),
        ({"head.bias": [[1], [2, 3]]}, {}, r"'head\.bias': NumPy has no array"),
        ({"head.bias": "abc"}, {}, r"'head\.bias' is a str"),
        ({"head.bias": torch.zeros(3).to_sparse()}, {}, r"'head\.bias': NumPy has no array"),
        ({"head.bias": torch.zeros(3, device="meta")}, {}, r"'head\.bias': NumPy has no array"),
        ({"head.bias": np.zeros(3, "M8[s]")}, {}, r"'head\.bias': the array's element type"),
        ({"head.bias": np.ma.masked_array([1, 2, 3], [1, 0, 0])}, {}, "masked array"),
        ({"head.bias": torch.zeros(3)}, {"only": 3}, "only is 3; expected a pattern"),
        ({"head.bias": torch.zeros(3)}, {"only": [3]}, "a pattern of only is 3"),
    ],
)
def test_weights_of_another_kind_are_refused(source: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match=sentence):
        trainer_of(seeded(1)).load_weights(source, strict=False, **options)


def test_a_path_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(wasmgrad.RuntimeFailure, match="cannot be read: embedded null byte"):
        trainer_of(seeded(1)).load_weights("a\0b")
