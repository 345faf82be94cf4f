"""Training through a guest, isolated and in process, on generated points and on the real MNIST files."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import wasmgrad

Train = Callable[..., wasmgrad.TrainingResult]
EVENT_FIELDS = {
    "tensor": {"role", "name", "shape", "dtype", "seconds"},
    "fit": {
        *(
            "optimizer",
            "loss",
            "learning_rate",
            "schedule",
            "epochs",
            "batch_size",
            "threads",
            "precision",
            "seed",
            "device",
        ),
        *("train_samples", "validation_samples", "test_samples", "parameters", "batches", "start_epoch"),
    },
    "initial": {"loss", "accuracy", "top_k_accuracy", "samples"},
    "progress": {"epoch", "batch", "batches", "loss", "accuracy", "samples_per_second"},
    "epoch": {"epoch", "train", "test", "learning_rate", "seconds", "samples_per_second"},
    "fit_end": {
        "seconds",
        "epoch",
        "step",
        "stopped_early",
        "best_epoch",
        "best_loss",
        "best_restored",
        "interrupted",
    },
    "model_saved": {"path", "bytes"},
    "usage": {
        "guest_memory_bytes",
        "host_bytes",
        "host_calls",
        "steps",
        "samples",
        "host_seconds",
        "guest_seconds",
    },
}


def weights(archive: bytes) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.jit.load(io.BytesIO(archive)).state_dict()
    return state


def same_weights(first: bytes, second: bytes) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def regress(regression_guest: Path, linear_model: Path) -> Train:
    """Trains the regression guest on few points; options are those of `train`."""

    def run(**options: object) -> wasmgrad.TrainingResult:
        chosen: dict[str, Any] = {"epochs": 3, "seed": 1, "threads": 1, **options}
        chosen.setdefault("args", ["--samples", "512"])
        return wasmgrad.train(regression_guest, models={"linear.pt": linear_model}, **chosen)

    return run


def test_loss_falls_and_epochs_are_counted(regress: Train) -> None:
    result = regress()
    assert [epoch.epoch for epoch in result.epochs] == [1, 2, 3]
    assert result.epochs[-1].train.loss < result.epochs[0].train.loss
    assert result.initial is not None
    assert result.epochs[-1].test is not None
    assert result.epochs[-1].test.loss < result.initial.loss
    assert not result.stopped_early
    assert not result.interrupted
    assert result.peak_memory_bytes is not None
    assert result.peak_memory_bytes < 1_200_000_000


def test_result_saves_the_model_that_torch_loads(regress: Train, tmp_path: Path) -> None:
    result = regress()
    result.save(tmp_path / "model.pt")
    output = torch.jit.load(tmp_path / "model.pt")(torch.zeros(2, 8))
    assert output.shape == (2, 1)


def test_output_holds_the_same_bytes_as_the_result(regress: Train, tmp_path: Path) -> None:
    result = regress(output=tmp_path / "trained.pt")
    assert (tmp_path / "trained.pt").read_bytes() == result.model


def test_same_seed_gives_bit_identical_weights(regress: Train) -> None:
    assert same_weights(regress(seed=5).model, regress(seed=5).model)


def test_another_seed_gives_other_weights(regress: Train) -> None:
    assert not same_weights(regress(seed=5).model, regress(seed=6).model)


def test_isolated_and_in_process_runs_agree_bit_for_bit(regress: Train) -> None:
    isolated, local = regress(isolate=True), regress(isolate=False)
    assert same_weights(isolated.model, local.model)
    assert [epoch.train for epoch in isolated.epochs] == [epoch.train for epoch in local.epochs]
    assert [epoch.test for epoch in isolated.epochs] == [epoch.test for epoch in local.epochs]


@pytest.mark.parametrize("isolate", [True, False])
def test_events_have_the_documented_fields(regress: Train, isolate: bool) -> None:
    events: list[wasmgrad.Event] = []
    # Small batches make an epoch long enough to report progress.
    regress(isolate=isolate, args=["--samples", "32768"], batch_size=1, epochs=1, on_event=events.append)
    seen = {event["event"]: set(event) - {"event"} for event in events}
    for name, fields in EVENT_FIELDS.items():
        assert seen[name] == fields, name


def test_options_replace_those_of_the_guest(regress: Train) -> None:
    events: list[wasmgrad.Event] = []
    regress(optimizer="sgd", learning_rate=0.05, batch_size=32, loss="huber", on_event=events.append)
    fit = next(event for event in events if event["event"] == "fit")
    assert (fit["optimizer"], fit["learning_rate"], fit["batch_size"], fit["loss"]) == (
        "sgd",
        0.05,
        32,
        "huber",
    )


def test_early_stopping_is_reported(regress: Train) -> None:
    result = regress(epochs=50, early_stopping_patience=1, early_stopping_min_delta=1e9)
    assert result.stopped_early
    assert len(result.epochs) < 50


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"epochs": -1}, "epochs is -1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; expected a finite number"),
        ({"optimizer": "newton"}, "adam, "),
        ({"loss": "hinge"}, "cross_entropy"),
    ],
)
@pytest.mark.parametrize("isolate", [True, False])
def test_wrong_option_is_refused(
    regress: Train, options: dict[str, Any], sentence: str, isolate: bool
) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match=sentence):
        regress(isolate=isolate, **options)


def test_guest_that_never_trains_is_refused(regression_guest: Path) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="without having trained"):
        wasmgrad.train(regression_guest, args=["--help"])


def test_guest_exit_code_is_carried(regression_guest: Path) -> None:
    with pytest.raises(wasmgrad.GuestExit) as caught:
        wasmgrad.train(regression_guest, args=["--no-such-option"])
    assert caught.value.exit_code == 2
    assert "--no-such-option" in caught.value.stderr


def test_data_belongs_to_the_packaged_guest(regression_guest: Path, tmp_path: Path) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="data: names the MNIST files"):
        wasmgrad.train(regression_guest, data=tmp_path)


@pytest.mark.parametrize("text", ["", ":/data", "/x:", "/x:/y:rw", "/x:/y:ro:z"])
def test_malformed_directory_is_refused(regression_guest: Path, text: str) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="expected HOST:GUEST"):
        wasmgrad.train(regression_guest, dirs=[text])


def test_default_guest_trains_few_batches_of_mnist(mnist: Path) -> None:
    result = wasmgrad.train(data=mnist, epochs=1, batches_per_epoch=5, seed=0)
    assert result.epochs[0].train.samples == 5 * 128
    assert weights(result.model)["5.weight"].shape == (100, 12544)


def test_one_epoch_of_mnist_reaches_ninety_percent(mnist: Path) -> None:
    result = wasmgrad.train(data=mnist, epochs=1, seed=0)
    assert result.epochs[0].train.samples == 60_000
    test = result.epochs[0].test
    assert test is not None
    assert test.samples == 10_000
    assert test.accuracy is not None
    assert test.accuracy >= 0.90
