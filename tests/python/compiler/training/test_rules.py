"""Losses and update rules of compiled steps are those of the training host: its trainer, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import wasmgrad
from torch import Tensor, nn
from wasmgrad import InvalidArgument, Unsupported
from wasmgrad._training.step_options import TrainOptions
from wasmgrad.compiler.training.check import arguments_for
from wasmgrad.compiler.training.open import open_step, recording
from wasmgrad.compiler.training.step import TrainingStep

ROWS, INPUTS, OUTPUTS = 6, 5, 4


class Net(nn.Module):
    def __init__(self, last: str = "") -> None:
        super().__init__()
        self.first, self.second = nn.Linear(INPUTS, 7), nn.Linear(7, OUTPUTS)
        self.last: nn.Module = {"": nn.Identity(), "softmax": nn.Softmax(1), "log": nn.LogSoftmax(1)}[last]

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.second(torch.tanh(self.first(x))))


def net(last: str = "") -> Net:
    torch.manual_seed(0)
    return Net(last)


def batch(classes: bool, probabilities: bool = False) -> tuple[Tensor, Tensor]:
    x = torch.randn(ROWS, INPUTS)
    if classes:
        return x, torch.randint(0, OUTPUTS, (ROWS,))
    y = torch.randn(ROWS, OUTPUTS)
    return x, torch.softmax(y, 1) if probabilities else y


def check(
    model: nn.Module, classes: bool, probabilities: bool = False, steps: int = 4, **options: Any
) -> None:
    """Compares losses, accuracies, parameters and optimizer state over some steps."""
    host = wasmgrad.Trainer(model, threads=1, batch_size=ROWS, **options)
    step = open_step(model, {"x": (ROWS, INPUTS)}, TrainOptions.of(options))
    states = {name: tensor.clone() for name, tensor in step.states.items()}
    call = step.function("step")
    torch.manual_seed(1)
    for number in range(steps):
        x, y = batch(classes, probabilities)
        wanted = host.step(x.numpy(), y.numpy())
        with recording():
            results = dict(call(*arguments_for(step, "step", states, {"x": x, "target": y}, ROWS)))
        assert int(results["status"]) == 0
        assert float(results["loss"].detach()) == pytest.approx(wanted.loss, rel=2e-6, abs=1e-7)
        if wanted.accuracy is not None:
            ranked = int(results["ranked"])
            assert int(results["correct"]) / ranked == pytest.approx(wanted.accuracy), number
        states |= {
            name.removeprefix("next."): tensor.detach()
            for name, tensor in results.items()
            if name.startswith("next.")
        }
    for name, array in host.state_dict().items():
        torch.testing.assert_close(states[f"model.{name}"], torch.from_numpy(array), rtol=2e-5, atol=2e-6)


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd"},
    "sgd, decay": {"optimizer": "sgd", "weight_decay": 0.1},
    "sgd, momentum": {"optimizer": "sgd", "momentum": 0.9},
    "sgd, Nesterov": {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    "sgd, dampening": {"optimizer": "sgd", "momentum": 0.9, "dampening": 0.3},
    "adam": {"optimizer": "adam", "weight_decay": 0.01},
    "adam, amsgrad": {"optimizer": "adam", "amsgrad": True},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1, "beta1": 0.8, "beta2": 0.9},
    "rmsprop": {"optimizer": "rmsprop"},
    "rmsprop, momentum": {"optimizer": "rmsprop", "momentum": 0.5, "alpha": 0.8},
    "adagrad": {"optimizer": "adagrad", "weight_decay": 0.01},
    "nadam": {"optimizer": "nadam"},
    "radam": {"optimizer": "radam"},
    "lion": {"optimizer": "lion", "weight_decay": 0.1},
    "lamb": {"optimizer": "lamb", "weight_decay": 0.01},
    "clip by norm": {"optimizer": "sgd", "clip_norm": 0.1},
    "clip by value": {"optimizer": "sgd", "clip_value": 0.01},
    "both clips": {"optimizer": "adam", "clip_norm": 0.1, "clip_value": 0.05},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_update_rule_is_the_training_hosts(name: str) -> None:
    options = OPTIMIZERS[name]
    steps = 8 if options["optimizer"] == "radam" else 4  # which is another rule at first
    check(net(), True, steps=steps, learning_rate=0.01, **options)


LOSSES: dict[str, tuple[str, bool, bool, dict[str, Any]]] = {
    "cross_entropy": ("", True, False, {}),
    "label smoothing": ("", True, False, {"label_smoothing": 0.2}),
    "class weights": ("", True, False, {"class_weights": [0.5, 2.0, 1.0, 0.0]}),
    "weights and smoothing": (
        "",
        True,
        False,
        {"class_weights": [0.5, 2.0, 1.0, 0.1], "label_smoothing": 0.3},
    ),
    "an ignored class": ("", True, False, {"ignore_index": 2}),
    "probabilities": ("softmax", True, False, {"loss": "cross_entropy_probabilities"}),
    "nll": ("log", True, False, {"loss": "nll", "class_weights": [0.5, 2.0, 1.0, 0.3]}),
    "mse": ("", False, False, {"loss": "mse"}),
    "l1": ("", False, False, {"loss": "l1"}),
    "huber": ("", False, False, {"loss": "huber", "huber_delta": 0.7}),
    "bce": ("", False, True, {"loss": "bce_with_logits"}),
    "bce, weights": ("", False, True, {"loss": "bce_with_logits", "pos_weight": [0.5, 2.0, 1.0, 3.0]}),
    "kl_div": ("log", False, True, {"loss": "kl_div"}),
    "cosine": ("", False, False, {"loss": "cosine"}),
    "focal": ("", False, True, {"loss": "focal", "focal_gamma": 1.5, "focal_alpha": 0.3}),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_is_the_training_hosts(name: str) -> None:
    last, classes, probabilities, options = LOSSES[name]
    check(net(last), classes, probabilities, optimizer="sgd", learning_rate=0.1, **options)


def _step(**options: Any) -> TrainingStep:
    return open_step(net(), {"x": (ROWS, INPUTS)}, TrainOptions.of(options))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learning_rate": float("nan")}, "learning_rate: expected a finite number of at least 0"),
        ({"beta1": 1.0}, "beta1: expected at least 0 and below 1"),
        ({"loss": "hinge"}, "loss: expected one of"),
        ({"optimizer": "sgd", "nesterov": True}, "nesterov: needs a momentum above 0"),
        ({"freeze": ["third.*"]}, "no trainable parameter and no running statistic matches 'third.*'"),
        ({"freeze": ["*"]}, "all parameters are frozen"),
        ({"batch_size": 7}, "the inputs have a batch of 6, and batch_size is 7"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said.replace("*", r"\*")):
        _step(**options)


def test_what_a_step_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="schedule: a compiled training step has no such option"):
        _step(schedule="cosine")


def test_dropout_is_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(INPUTS, OUTPUTS), nn.Dropout(0.5))
    with pytest.raises(Unsupported, match=r"random numbers in training mode \(dropout\)"):
        open_step(model, {"input": (ROWS, INPUTS)}, TrainOptions())


def test_several_outputs_are_refused() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(INPUTS, OUTPUTS)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.layer(x), x

    with pytest.raises(Unsupported, match="the model returns 2 tensors"):
        open_step(Two(), {"x": (ROWS, INPUTS)}, TrainOptions())
