"""The training host from NumPy arrays."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from wasmgrad import Dataset, Trainer, models
from wasmgrad._graph.inspect import inspect

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 8)).astype(np.float32)
Y = (X @ np.arange(1, 9, dtype=np.float32)[:, None] / 8 + 0.5).astype(np.float32)
IMAGES = RNG.integers(0, 256, (64, 1, 28, 28), dtype=np.uint8)
LABELS = RNG.integers(0, 10, 64).astype(np.int64)


def linear(**options: object) -> Trainer:
    chosen: dict[str, Any] = {
        "loss": "mse",
        "learning_rate": 0.05,
        "epochs": 5,
        "batch_size": 32,
        "threads": 1,
    }
    return Trainer(models.build("linear-regression"), **(chosen | options))


def test_fit_lowers_the_loss_and_counts_epochs() -> None:
    trainer = linear(epochs=20)
    result = trainer.fit(Dataset(X, Y), Dataset(X[:50], Y[:50]))
    assert trainer.epoch == 20
    assert len(result.epochs) == 20
    assert result.initial is not None
    assert result.epochs[-1].validation is not None
    assert result.epochs[-1].validation.loss < 0.1 * result.initial.loss


def test_predict_matches_torch() -> None:
    trainer = linear()
    module = torch.jit.load(io.BytesIO(trainer.model()))
    expected = module(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(trainer.predict(X), expected, rtol=1e-5, atol=1e-6)


def test_evaluate_does_not_train() -> None:
    trainer = linear()
    before = trainer.model()
    first = trainer.evaluate(Dataset(X, Y))
    assert first == trainer.evaluate(Dataset(X, Y))
    assert first.samples == 300
    assert trainer.model() == before


def test_step_returns_metrics_of_the_batch() -> None:
    trainer = linear()
    first = trainer.step(X[:16], Y[:16])
    assert first.samples == 16
    assert trainer.step(X[:16], Y[:16]).loss < first.loss


def test_restore_goes_on_bit_for_bit() -> None:
    whole = linear()
    whole.fit(Dataset(X, Y))
    half = linear(epochs=2)
    half.fit(Dataset(X, Y))
    rest = linear()
    rest.restore(half.checkpoint())
    assert rest.epoch == 2
    rest.fit(Dataset(X, Y))
    np.testing.assert_array_equal(rest.predict(X), whole.predict(X))


def test_classification_reports_accuracies() -> None:
    trainer = Trainer(models.build("mlp"), epochs=30, learning_rate=1e-3, threads=1)
    result = trainer.fit(Dataset(IMAGES, LABELS), test=Dataset(IMAGES, LABELS))
    last = result.epochs[-1].test
    assert last is not None
    assert last.accuracy is not None
    assert last.top_k_accuracy is not None
    assert last.accuracy > 0.9
    assert last.top_k_accuracy >= last.accuracy


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8])
def test_element_type_of_inputs_is_taken(dtype: type) -> None:
    trainer = linear()
    inputs = np.ones((4, 8), dtype)
    expected = trainer.predict(np.ones((4, 8), np.float32) / (255 if dtype is np.uint8 else 1))
    np.testing.assert_allclose(trainer.predict(inputs), expected, rtol=1e-6)


def test_array_that_is_not_contiguous_is_taken() -> None:
    trainer = linear()
    np.testing.assert_array_equal(trainer.predict(X[::2]), trainer.predict(np.ascontiguousarray(X[::2])))


def test_read_only_array_is_taken() -> None:
    frozen = X.copy()
    frozen.setflags(write=False)
    assert linear().predict(frozen).shape == (300, 1)


def test_dataset_keeps_its_own_copy() -> None:
    inputs = X.copy()
    trainer, data = linear(), Dataset(inputs, Y)
    before = trainer.evaluate(data)
    inputs[:] = 0
    assert trainer.evaluate(data) == before


def test_counts_that_differ_are_refused() -> None:
    with pytest.raises(wasmgrad.InvalidArgument):
        linear().fit(Dataset(X, Y[:-1]))


def test_label_outside_the_classes_is_refused() -> None:
    labels = LABELS.copy()
    labels[3] = 10
    with pytest.raises(wasmgrad.InvalidArgument, match="10"):
        Trainer(models.build("mlp"), threads=1).fit(Dataset(IMAGES, labels))


def test_data_that_does_not_fit_the_model_is_refused() -> None:
    with pytest.raises(wasmgrad.InvalidArgument):
        linear().fit(Dataset(X[:, :7].copy(), Y))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", 0),
        ("epochs", -1),
        ("learning_rate", float("nan")),
        ("optimizer", "newton"),
        ("loss", "hinge"),
    ],
)
def test_option_out_of_range_is_refused(option: str, value: object) -> None:
    with pytest.raises(wasmgrad.InvalidArgument):
        linear(**{option: value})


def test_bytes_that_are_no_archive_are_refused() -> None:
    with pytest.raises(wasmgrad.InvalidEncoding):
        Trainer(b"this is no archive")


@pytest.mark.parametrize("what", ["state dict", "pickled module", "older state dict"])
def test_what_torch_save_writes_is_refused_with_what_to_do(what: str, tmp_path: Path) -> None:
    model, path = torch.nn.Linear(3, 2), tmp_path / "model.pth"
    torch.save(
        model if what == "pickled module" else model.state_dict(),
        path,
        _use_new_zipfile_serialization=not what.startswith("older"),
    )
    for use in (Trainer, wasmgrad.compile, inspect):
        with pytest.raises(wasmgrad.InvalidEncoding, match=r"torch\.save.*torch\.export\.save.*load_weights"):
            use(path)


def test_missing_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(wasmgrad.NotFound, match=r"absent\.pt"):
        Trainer(tmp_path / "absent.pt")


def test_model_that_opens_files_is_refused(tmp_path: Path) -> None:
    class Reader(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.from_file("/etc/passwd", False, 8) + x + self.weight

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(Reader()), buffer)
    with pytest.raises(wasmgrad.SecurityError, match="from_file"):
        Trainer(buffer.getvalue())


def test_what_on_event_raises_comes_out_of_fit() -> None:
    def refuse(event: wasmgrad.Event) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        linear(on_event=refuse, epochs=1000).fit(Dataset(X, Y))


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """As in a terminal, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_interrupt_raises_and_leaves_a_usable_trainer() -> None:
    seen: list[int] = []

    def interrupt(event: wasmgrad.Event) -> None:
        if event["event"] == "epoch" and not seen:
            seen.append(event["epoch"])
            os.kill(os.getpid(), signal.SIGINT)

    trainer = linear(epochs=50, on_event=interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(Dataset(X, Y))
    stopped_at = trainer.epoch
    assert stopped_at < 50
    trainer.fit(Dataset(X, Y))
    assert trainer.epoch == 50


def test_second_use_from_on_event_is_refused() -> None:
    caught: list[Exception] = []

    def use(event: wasmgrad.Event) -> None:
        try:
            trainer.predict(X)
        except wasmgrad.InvalidArgument as error:
            caught.append(error)

    trainer = linear(epochs=1, on_event=use)
    trainer.fit(Dataset(X, Y))
    assert "in use" in str(caught[0])


def test_other_threads_run_while_it_trains() -> None:
    progressed = threading.Event()
    go = threading.Event()

    def wait_for_thread(event: wasmgrad.Event) -> None:
        if event["event"] == "fit":
            go.set()
            assert progressed.wait(timeout=60)

    def other() -> None:
        go.wait(timeout=60)
        progressed.set()

    thread = threading.Thread(target=other)
    thread.start()
    linear(epochs=1, on_event=wait_for_thread).fit(Dataset(X, Y))
    thread.join()
    assert progressed.is_set()


def test_saved_model_is_loaded_by_torch(tmp_path: Path) -> None:
    linear().save(tmp_path / "model.pt")
    assert torch.jit.load(tmp_path / "model.pt")(torch.zeros(1, 8)).shape == (1, 1)


def test_a_smaller_last_batch_is_left_out_when_asked_for(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 3))
    x = np.random.default_rng(0).normal(size=(33, 6)).astype(np.float32)
    y = np.arange(33) % 3
    torch.jit.script(model).save(tmp_path / "model.pt")
    trainer = wasmgrad.Trainer(
        tmp_path / "model.pt",
        optimizer="sgd",
        learning_rate=0.1,
        epochs=2,
        batch_size=8,
        drop_last=True,
        shuffle=False,
        threads=1,
    )
    trainer.fit(wasmgrad.Dataset(x, y))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        for begin in range(0, 32, 8):
            rows = slice(begin, begin + 8)
            loss = torch.nn.functional.cross_entropy(model(torch.tensor(x[rows])), torch.tensor(y[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert trainer.steps == 8
    expected = torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).numpy()
    np.testing.assert_allclose(trainer.get_parameters(), expected, atol=1e-6)
