"""Early stopping: when it ends a fit, whose weights the model then has, and where the training goes on from.

The oracle is a trainer that knows nothing of early stopping, driven epoch by epoch, and the rule written out.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from torch import Tensor, nn

PATIENCE = 4
OPTIONS: dict[str, Any] = {
    "loss": "mse",
    "optimizer": "adam",
    "learning_rate": 0.01,
    "epochs": 60,
    "batch_size": 16,
    "seed": 3,
    "threads": 1,
}


class WithBatchNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def archive(module: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer)
    return buffer.getvalue()


MODEL = archive(WithBatchNorm())


def rows(seed: int, count: int) -> wasmgrad.Dataset:
    """Targets are little more than noise: a model that learns them by heart gets worse on others."""
    source = np.random.default_rng(seed)
    x = source.normal(size=(count, 6)).astype(np.float32)
    y = (x[:, :1] + 2 * source.normal(size=(count, 1))).astype(np.float32)
    return wasmgrad.Dataset(x, y)


TRAIN, VALIDATION = rows(1, 48), rows(2, 64)
PROBE = np.random.default_rng(9).normal(size=(5, 6)).astype(np.float32)


def trainer(**options: Any) -> wasmgrad.Trainer:
    return wasmgrad.Trainer(MODEL, **{**OPTIONS, **options})


def tensors(model: bytes) -> dict[str, Tensor]:
    return dict(torch.jit.load(io.BytesIO(model)).state_dict())


def same(first: bytes, second: bytes) -> bool:
    a, b = tensors(first), tensors(second)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class Course:
    """A training without early stopping: the model after each epoch, its losses, and what the rule makes of them."""

    def __init__(self, validation: wasmgrad.Dataset | None, epochs: int = 60) -> None:
        run = trainer()
        self.models: list[bytes] = []
        self.losses: list[float] = []
        for _ in range(epochs):
            trained = run.train_epoch(TRAIN).train.loss
            self.losses.append(trained if validation is None else run.evaluate(validation).loss)
            self.models.append(run.model())

    def ends(self, patience: int, min_delta: float) -> tuple[int, int]:
        """The last epoch and the best one, from 1."""
        best, best_epoch = float("inf"), 0
        for epoch, loss in enumerate(self.losses, 1):
            if loss < best - min_delta:
                best, best_epoch = loss, epoch
            elif epoch - best_epoch >= patience:
                return epoch, best_epoch
        raise AssertionError("the rule must end this training")


@pytest.fixture(scope="module")
def course() -> Course:
    return Course(VALIDATION)


@pytest.mark.parametrize(("patience", "min_delta"), [(1, 0.0), (PATIENCE, 0.0), (3, 0.05)])
def test_model_has_weights_and_buffers_of_the_best_epoch(
    course: Course, patience: int, min_delta: float
) -> None:
    last, best = course.ends(patience, min_delta)
    run = trainer(early_stopping_patience=patience, early_stopping_min_delta=min_delta)
    result = run.fit(TRAIN, VALIDATION)
    assert (result.stopped_early, len(result.epochs), result.best_epoch) == (True, last, best)
    assert result.best_restored
    assert result.best_loss == pytest.approx(course.losses[best - 1], abs=1e-12)
    assert same(run.model(), course.models[best - 1])
    assert run.evaluate(VALIDATION).loss == pytest.approx(course.losses[best - 1], abs=1e-12)
    expected = torch.jit.load(io.BytesIO(course.models[best - 1]))(torch.from_numpy(PROBE))
    assert np.allclose(run.predict(PROBE), expected.detach().numpy(), atol=1e-6)


def test_training_loss_is_watched_without_validation_data() -> None:
    course = Course(None, 12)
    run = trainer(early_stopping_patience=2, early_stopping_min_delta=0.2)
    last, best = course.ends(2, 0.2)
    result = run.fit(TRAIN)
    assert (len(result.epochs), result.best_epoch) == (last, best)
    assert same(run.model(), course.models[best - 1])


def test_last_weights_are_kept_when_that_is_wanted(course: Course) -> None:
    last, best = course.ends(PATIENCE, 0)
    run = trainer(early_stopping_patience=PATIENCE, early_stopping_restore_best=False)
    result = run.fit(TRAIN, VALIDATION)
    assert (result.stopped_early, result.best_epoch, result.best_restored) == (True, best, False)
    assert same(run.model(), course.models[last - 1])


def test_fit_that_reaches_its_epochs_keeps_the_last_weights(course: Course) -> None:
    _, best = course.ends(PATIENCE, 0)
    run = trainer(epochs=best + 1, early_stopping_patience=PATIENCE)
    result = run.fit(TRAIN, VALIDATION)
    assert (result.stopped_early, result.best_epoch, result.best_restored) == (False, best, False)
    assert same(run.model(), course.models[best])


@pytest.mark.parametrize("restored", [False, True])
def test_training_goes_on_from_the_last_epoch_as_if_it_had_not_ended(course: Course, restored: bool) -> None:
    last, best = course.ends(PATIENCE, 0)
    run = trainer(early_stopping_patience=PATIENCE)
    run.fit(TRAIN, VALIDATION)
    if restored:
        state, run = run.checkpoint(), trainer(early_stopping_patience=PATIENCE)
        run.restore(state)
    assert same(run.model(), course.models[best - 1])
    assert run.fit(TRAIN, VALIDATION).epochs == ()  # its patience is still used up
    assert same(run.model(), course.models[best - 1])
    run.train_epoch(TRAIN)
    assert same(run.model(), course.models[last])


def test_more_patience_after_a_restore_equals_more_patience_from_the_start(course: Course) -> None:
    more = PATIENCE + 6
    first = trainer(early_stopping_patience=PATIENCE)
    first.fit(TRAIN, VALIDATION)
    resumed = trainer(early_stopping_patience=more)
    resumed.restore(first.checkpoint())
    result = resumed.fit(TRAIN, VALIDATION)
    whole = trainer(early_stopping_patience=more)
    assert whole.fit(TRAIN, VALIDATION).best_epoch == result.best_epoch
    assert resumed.checkpoint() == whole.checkpoint()
    assert same(resumed.model(), course.models[course.ends(more, 0)[1] - 1])


def test_best_weights_survive_a_checkpoint_of_every_epoch(course: Course) -> None:
    last, best = course.ends(PATIENCE, 0)
    for stop in range(1, last):
        first = trainer(epochs=stop, early_stopping_patience=PATIENCE)
        first.fit(TRAIN, VALIDATION)
        second = trainer(early_stopping_patience=PATIENCE)
        second.restore(first.checkpoint())
        assert len(second.fit(TRAIN, VALIDATION).epochs) == last - stop
        assert same(second.model(), course.models[best - 1])


def test_setting_parameters_goes_on_from_the_best_epoch(course: Course) -> None:
    best = tensors(course.models[course.ends(PATIENCE, 0)[1] - 1])
    run = trainer(early_stopping_patience=PATIENCE, optimizer="sgd")
    course_of_sgd = trainer(optimizer="sgd")
    result = run.fit(TRAIN, VALIDATION)
    assert best.keys() == tensors(run.model()).keys()
    shown = run.model()
    run.set_parameters(run.get_parameters())
    assert same(run.model(), shown)
    assert result.best_epoch is not None
    for _ in range(result.best_epoch):
        course_of_sgd.train_epoch(TRAIN)
    x, y = np.ones((4, 6), np.float32), np.ones((4, 1), np.float32)
    x[1:] *= np.arange(2, 5, dtype=np.float32)[:, None]
    run.step(x, y)
    course_of_sgd.step(x, y)  # sgd without momentum has no state but the model's
    assert same(run.model(), course_of_sgd.model())


def test_checkpoint_without_best_weights_is_restored() -> None:
    plain = trainer(epochs=3)
    plain.fit(TRAIN, VALIDATION)
    run = trainer(early_stopping_patience=PATIENCE)
    run.restore(plain.checkpoint())
    assert run.fit(TRAIN, VALIDATION).stopped_early


def test_nothing_is_trained_beyond_the_epochs_that_were_asked_for() -> None:
    first = trainer(epochs=5)
    first.fit(TRAIN, VALIDATION)
    for epochs in (5, 3):
        events: list[wasmgrad.Event] = []
        second = trainer(epochs=epochs, on_event=events.append)
        second.restore(first.checkpoint())
        assert second.fit(TRAIN, VALIDATION).epochs == ()
        assert second.checkpoint() == first.checkpoint()
        (begin,) = [event for event in events if event["event"] == "fit"]
        assert (begin["start_epoch"], begin["epochs"]) == (5, epochs)
