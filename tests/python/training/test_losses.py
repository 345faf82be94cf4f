"""Training with each loss and with groups of parameters is what a loop of plain torch computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad import Dataset, Trainer

Loss = Callable[[Tensor, Tensor], Tensor]

STEPS, BATCH = 12, 8


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Logarithms(Flat):
    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.layers(x), 1)


class Positions(nn.Module):
    """A class for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.reshape(-1, 1, 2, 3))


def draws(generator: np.random.Generator, kind: str) -> Any:
    rows = STEPS * BATCH
    match kind:
        case "labels":
            return generator.integers(0, 4, rows)
        case "labels with holes":
            return generator.choice([-100, 0, 1, 2, 3], rows)
        case "maps":
            return generator.integers(0, 4, (rows, 2, 3)).astype(np.uint8)
        case "maps with holes":
            maps = generator.integers(0, 4, (rows, 2, 3))
            maps[generator.random(maps.shape) < 0.3] = 255
            return maps
        case "parts":
            return generator.dirichlet(np.ones(4), rows).astype(np.float32)
        case "chances":
            return generator.random((rows, 4), np.float32)
    return generator.standard_normal((rows, 4)).astype(np.float32)


WEIGHTS = [0.5, 2.0, 1.0, 0.25]
W = torch.tensor(WEIGHTS)


def of_vectors(x: Tensor, y: Tensor) -> Tensor:
    return F.cosine_embedding_loss(x, y, torch.ones(len(x)))


CASES: dict[str, tuple[type[nn.Module], str, dict[str, Any], Loss]] = {
    "class weights": (
        Flat,
        "labels",
        {"class_weights": WEIGHTS},
        lambda x, y: F.cross_entropy(x, y, weight=W),
    ),
    "smoothing": (
        Flat,
        "labels",
        {"label_smoothing": 0.1, "class_weights": np.array(WEIGHTS)},
        lambda x, y: F.cross_entropy(x, y, weight=W, label_smoothing=0.1),
    ),
    "torch's own index": (Flat, "labels with holes", {}, F.cross_entropy),
    "soft": (Flat, "parts", {}, F.cross_entropy),
    "segmentation": (Positions, "maps", {}, F.cross_entropy),
    "holes": (
        Positions,
        "maps with holes",
        {"ignore_index": 255, "class_weights": WEIGHTS},
        lambda x, y: F.cross_entropy(x, y, weight=W, ignore_index=255),
    ),
    "nll": (
        Logarithms,
        "labels",
        {"loss": "nll", "ignore_index": 3},
        lambda x, y: F.nll_loss(x, y, ignore_index=3),
    ),
    "kl": (
        Logarithms,
        "parts",
        {"loss": "kl_div"},
        lambda x, y: F.kl_div(x, y, reduction="batchmean"),
    ),
    "cosine": (Flat, "values", {"loss": "cosine"}, of_vectors),
    "huber": (
        Flat,
        "values",
        {"loss": "huber", "huber_delta": 0.5},
        lambda x, y: F.huber_loss(x, y, delta=0.5),
    ),
    "positive": (
        Flat,
        "chances",
        {"loss": "bce_with_logits", "pos_weight": WEIGHTS},
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, pos_weight=W),
    ),
}


def trained_by_torch(model: nn.Module, groups: Any, loss: Loss, x: Tensor, y: Tensor) -> list[float]:
    optimizer = torch.optim.AdamW(groups, lr=0.02, weight_decay=0.1)
    losses = []
    for rows, targets in zip(x.split(BATCH), y.split(BATCH), strict=True):
        optimizer.zero_grad()
        value = loss(model(rows), targets)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def compare(model: nn.Module, trainer: Trainer, groups: Any, loss: Loss, x: Any, y: Any) -> None:
    wanted = trained_by_torch(
        model, groups, loss, torch.tensor(x), torch.tensor(y if y.dtype != np.uint8 else y.astype(np.int64))
    )
    ours = [
        trainer.step(rows, targets).loss
        for rows, targets in zip(np.split(x, STEPS), np.split(y, STEPS), strict=True)
    ]
    np.testing.assert_allclose(ours, wanted, rtol=2e-4, atol=1e-5)
    for name, values in trainer.state_dict().items():
        np.testing.assert_allclose(
            values, model.state_dict()[name].numpy(), rtol=1e-3, atol=1e-4, err_msg=name
        )


OPTIONS: dict[str, Any] = {"optimizer": "adamw", "learning_rate": 0.02, "weight_decay": 0.1, "threads": 1}


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_torch_s(name: str) -> None:
    torch.manual_seed(0)
    net, kind, options, loss = CASES[name]
    model = net()
    generator = np.random.default_rng(5)
    x, y = generator.standard_normal((STEPS * BATCH, 6)).astype(np.float32), draws(generator, kind)
    compare(model, Trainer(model, **OPTIONS, **options), model.parameters(), loss, x, y)


def test_parameters_of_a_group_have_their_own_rate_and_decay() -> None:
    torch.manual_seed(0)
    model = Flat()
    first, second = model.layers[0], model.layers[2]
    groups = [
        {"params": [first.bias, second.bias], "weight_decay": 0.0},
        {"params": [first.weight], "lr": 0.002, "weight_decay": 0.5},
        {"params": [second.weight]},
    ]
    trainer = Trainer(
        model,
        **OPTIONS,
        parameter_groups={
            "*.bias": {"weight_decay": 0},
            "layers.0.*": {"learning_rate": 0.002, "weight_decay": 0.5},
        },
    )
    generator = np.random.default_rng(5)
    x, y = generator.standard_normal((STEPS * BATCH, 6)).astype(np.float32), draws(generator, "labels")
    compare(model, trainer, groups, F.cross_entropy, x, y)


def test_accuracy_is_of_the_positions_that_count() -> None:
    torch.manual_seed(0)
    model = Positions()
    generator = np.random.default_rng(5)
    x = generator.standard_normal((BATCH, 6)).astype(np.float32)
    y = generator.integers(0, 4, (BATCH, 2, 3))
    y[:, 0] = 9
    metrics = Trainer(model, ignore_index=9, threads=1).evaluate(Dataset(x, y))
    with torch.no_grad():
        right = (model(torch.tensor(x)).argmax(1).numpy() == y)[y != 9]
    assert metrics.accuracy == pytest.approx(right.mean())
    assert metrics.samples == BATCH


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"class_weights": [1, 2]}, "class_weights has 2 numbers; the model's output has 4 classes"),
        ({"class_weights": [1, -2, 1, 1]}, "a number of class_weights is -2"),
        ({"class_weights": "heavy"}, "class_weights"),
        ({"class_weights": [1, float("nan")]}, "class_weights is nan"),
        ({"label_smoothing": 1.5}, "label_smoothing is 1.5"),
        ({"ignore_index": 0.5}, "ignore_index"),
        ({"parameter_groups": {"head.*": {}}}, "no trained parameter matches 'head"),
        ({"parameter_groups": {"*": {}, "*bias": {}}}, r"only parameters of earlier groups match '\*bias'"),
        ({"parameter_groups": {"*": {"rate": 1}}}, "unknown key 'rate'"),
        ({"parameter_groups": {"*": {"weight_decay": -1}}}, "weight_decay of the parameters"),
        ({"learning_rate": 0, "parameter_groups": {"*": {"learning_rate": 1}}}, "learning_rate is 0"),
        ({"parameter_groups": {"*": {"learning_rate": float("nan")}}}, r"learning_rate of .*'\*'\] is nan"),
        ({"parameter_groups": {"*": {"learning_rate": "1"}}}, "is '1'; expected a number"),
        ({"parameter_groups": {"*": 1e-3}}, r"parameter_groups\['\*'\] is 0.001; expected a mapping"),
        ({"parameter_groups": [("*", {})]}, "expected a mapping of patterns"),
        ({"parameter_groups": {1: {}}}, "a pattern of parameter_groups is 1"),
        ({"freeze": 1}, "freeze is 1; expected a text"),
        ({"freeze": [1]}, "a text of freeze is 1"),
        ({"freeze": ["\udcff"]}, "which is UTF-8"),
        ({"losses": ["mse"]}, r"losses is \['mse'\]; expected 'model' or a mapping"),
        ({"losses": {"0": ("mse", float("inf"))}}, "the weight of .*'0'.* is inf"),
        ({"losses": {"0": ("mse",)}}, "expected a loss, or a tuple"),
        ({"losses": {"0": F.mse_loss}}, "expected a loss, or a tuple"),
        ({"losses": {1: "mse"}}, "an output of losses is 1"),
        ({"keep_integers": 1}, "keep_integers is 1; expected True or False"),
        ({"learning_rate": 1j}, "learning_rate is 1j; expected a number"),
        ({"optimizer": torch.optim.Adam}, "optimizer is .*Adam.*; expected"),
        ({"class_weights": {1: 2}}, "class_weights is {1: 2}; expected"),
        ({"class_weights": [10**400]}, "class_weights"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: Any, sentence: str) -> None:
    x, y = np.zeros((BATCH, 6), np.float32), np.zeros(BATCH, np.int64)
    with pytest.raises(wasmgrad.Error, match=sentence):
        Trainer(Flat(), threads=1, **options).step(x, y)


class Shrinking(nn.Module):
    """Has as many classes as its input says."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 5000)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[:, : 5000 if bool(x[0, 0] > 0) else 2]


@pytest.mark.parametrize("loss", ["cross_entropy", "cross_entropy_probabilities", "nll"])
@pytest.mark.parametrize("what", ["step", "evaluate"])
def test_classes_that_a_model_takes_back_are_an_error_not_a_crash(loss: Any, what: str) -> None:
    trainer = Trainer(Shrinking(), loss=loss, learning_rate=0.0, threads=1)
    x, y = np.ones((BATCH, 6), np.float32), np.full(BATCH, 4999)
    trainer.backward(x, y)
    before = trainer.state_dict()
    with pytest.raises(wasmgrad.InvalidArgument, match="class 4999; the model's output for this batch has 2"):
        trainer.step(-x, y) if what == "step" else trainer.evaluate(Dataset(-x, y))
    for name, value in trainer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_label_that_does_not_count_is_named_where_a_class_is_negative() -> None:
    x, y = np.zeros((BATCH, 6), np.float32), np.full(BATCH, -1)
    with pytest.raises(
        wasmgrad.InvalidArgument, match="-1; a class index is a whole number from 0, or what ignore_index"
    ):
        Trainer(Flat(), threads=1).step(x, y)


def test_a_label_is_named_as_it_is() -> None:
    x, y = np.zeros((BATCH, 6), np.float32), np.full(BATCH, 2**63 - 1)
    with pytest.raises(wasmgrad.InvalidArgument, match="is 9223372036854775807; a class index"):
        Trainer(Flat(), threads=1).step(x, y)


def test_one_hot_rows_of_whole_numbers_are_told_what_to_be() -> None:
    x, y = np.zeros((BATCH, 6), np.float32), np.eye(4, dtype=np.int64)[np.arange(BATCH) % 4]
    with pytest.raises(wasmgrad.InvalidArgument, match="also of one-hot ones, are floating point"):
        Trainer(Flat(), threads=1).step(x, y)


@pytest.mark.parametrize("loss", ["cross_entropy", "cross_entropy_probabilities", "nll"])
def test_a_batch_of_classes_without_weight_changes_nothing(loss: Any) -> None:
    x, y = np.ones((BATCH, 6), np.float32), np.zeros(BATCH, np.int64)
    trainer = Trainer(Flat(), loss=loss, class_weights=[0, 1, 1, 1], optimizer="sgd", threads=1)
    before = trainer.get_parameters()
    assert trainer.step(x, y).loss == 0
    np.testing.assert_array_equal(trainer.get_parameters(), before)


def test_a_setting_beyond_numbers_is_refused() -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="beyond those of 64 bits"):
        Trainer(Flat(), threads=1).set("learning_rate", 10**400)


def test_scalars_of_other_libraries_are_numbers() -> None:
    x, y = np.ones((BATCH, 6), np.float32), np.zeros(BATCH, np.int64)

    def trained(rate: Any, size: Any, shuffle: Any) -> Any:
        trainer = Trainer(
            Flat(),
            threads=1,
            learning_rate=rate,
            batch_size=size,
            shuffle=shuffle,
            parameter_groups={"*bias": {"weight_decay": rate}},
        )
        trainer.train_epoch(Dataset(x, y))
        return trainer.get_parameters()

    torch.manual_seed(3)
    expected = trained(0.5, 4, True)
    for rate in (np.float32(0.5), np.array(0.5), torch.tensor(0.5)):
        torch.manual_seed(3)
        np.testing.assert_array_equal(trained(rate, np.int64(4), np.bool_(True)), expected)
