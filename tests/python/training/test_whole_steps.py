"""A training step happens whole or not at all, and nothing but training changes a model's buffers."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from numpy.typing import NDArray
from torch import Tensor, nn
from wasmgrad import Dataset, Trainer

RNG = np.random.default_rng(5)
X = RNG.normal(size=(64, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, 64)
FORMATS = ("pt", "pt2")


def saved(module: nn.Module, form: str, *example: Tensor, least: int = 1) -> bytes:
    buffer = io.BytesIO()
    if form == "pt":
        torch.jit.save(torch.jit.script(module), buffer)
    else:
        rows = torch.export.Dim("rows", min=least)
        shapes = tuple({0: rows} for _ in example)
        torch.export.save(torch.export.export(module.train(), example, dynamic_shapes=shapes), buffer)
    return buffer.getvalue()


def buffers(trainer: Trainer) -> dict[str, NDArray[Any]]:
    module = torch.jit.load(io.BytesIO(trainer.model()))
    return {name: tensor.numpy().copy() for name, tensor in module.named_buffers()}


def assert_same(left: dict[str, NDArray[Any]], right: dict[str, NDArray[Any]]) -> None:
    assert left.keys() == right.keys()
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name], err_msg=name)


class Normed(nn.Module):
    """Batch norm before what may fail: its statistics have moved by then."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.norm(x)))


def normed(form: str = "pt", **options: Any) -> Trainer:
    chosen: dict[str, Any] = {"learning_rate": 0.05, "batch_size": 16, "shuffle": False, "threads": 1}
    return Trainer(saved(Normed(), form, torch.zeros(2, 6)), **(chosen | options))


def with_nan(row: int) -> NDArray[np.float32]:
    bad = X.copy()
    bad[row, 0] = np.nan
    return bad


# ---- Epochs ----


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("method", ["fit", "train_epoch"])
def test_failed_epoch_keeps_the_steps_before_it(form: str, method: str) -> None:
    events: list[Any] = []
    trainer = normed(form, epochs=1, on_event=events.append)
    with pytest.raises(wasmgrad.RuntimeFailure) as caught:
        getattr(trainer, method)(Dataset(with_nan(40), LABELS))
    assert "epoch 1, batch 3: the loss is nan" in caught.value.message
    assert "2 steps of this call were completed and kept" in caught.value.message
    assert trainer.steps == 2
    failure = next(event for event in events if event["event"] == "failure")
    assert failure | {"message": ""} == {
        "event": "failure",
        "epoch": 1,
        "batch": 3,
        "completed_steps": 2,
        "restored": False,
        "message": "",
    }
    stepped = normed(form)
    for begin in (0, 16):
        stepped.step(X[begin : begin + 16], LABELS[begin : begin + 16])
    np.testing.assert_array_equal(trainer.get_parameters(), stepped.get_parameters())
    assert_same(buffers(trainer), buffers(stepped))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_failed_epoch_goes_on_as_if_it_had_not_failed(accumulate: int) -> None:
    whole = normed(epochs=2, accumulate=accumulate)
    whole.fit(Dataset(X, LABELS))
    retried = normed(epochs=2, accumulate=accumulate)
    for row in (20, 60):
        with pytest.raises(wasmgrad.RuntimeFailure):
            retried.fit(Dataset(with_nan(row), LABELS))
    retried.fit(Dataset(X, LABELS))
    assert retried.checkpoint() == whole.checkpoint()


def test_failed_epoch_begins_anew_with_data_of_another_size() -> None:
    trainer = normed()
    with pytest.raises(wasmgrad.RuntimeFailure):
        trainer.train_epoch(Dataset(with_nan(40), LABELS))
    report = trainer.train_epoch(Dataset(np.delete(X, 40, 0), np.delete(LABELS, 40)))
    assert report.train.samples == 63
    assert (trainer.epoch, trainer.steps) == (1, 6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("form", FORMATS)
def test_restore_on_error_goes_back_to_before_the_call(form: str, optimizer: Any) -> None:
    events: list[Any] = []
    trainer = normed(
        form, restore_on_error=True, epochs=9, optimizer=optimizer, momentum=0.9, on_event=events.append
    )
    trainer.train_epoch(Dataset(X, LABELS))
    before = trainer.checkpoint()
    for train in (trainer.train_epoch, trainer.fit):
        with pytest.raises(wasmgrad.RuntimeFailure, match="2 steps of this call were completed and undone"):
            train(Dataset(with_nan(40), LABELS))
        assert trainer.checkpoint() == before
    assert [event["restored"] for event in events if event["event"] == "failure"] == [True, True]


# ---- Steps ----


class Root(nn.Module):
    """The square root of 0 has no finite gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.weight = nn.Parameter(torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        return (self.norm(x).detach() * self.weight).abs().sqrt()


@pytest.mark.parametrize("form", FORMATS)
def test_gradient_that_is_not_finite_fails_its_own_step(form: str) -> None:
    trainer = Trainer(saved(Root(), form, torch.zeros(2, 6)), loss="mse", threads=1)
    before = trainer.checkpoint()
    with pytest.raises(
        wasmgrad.RuntimeFailure, match="step 1: the gradient of parameter 'weight' is not finite"
    ):
        trainer.step(X, np.ones_like(X))
    assert trainer.checkpoint() == before


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        (with_nan(3), LABELS),
        (X[:, :5], LABELS),
        (X, LABELS + 1),
        (X[:1], LABELS[:1]),
        (X, LABELS[:, None, None]),
    ],
    ids=["nan", "shape", "label", "one row", "targets"],
)
def test_failed_step_leaves_no_trace(form: str, inputs: Any, labels: Any) -> None:
    fresh, trained = normed(form), normed(form)
    trained.step(X, LABELS)
    for trainer in (fresh, trained):
        before = trainer.checkpoint()
        for call in (trainer.step, trainer.backward):
            with pytest.raises(wasmgrad.Error):
                call(inputs, labels)
            assert trainer.checkpoint() == before


def test_failed_batch_leaves_pending_gradients() -> None:
    trainer = normed()
    trainer.backward(X, LABELS)
    before = trainer.get_gradients(), buffers(trainer)
    for call in (trainer.step, trainer.backward):
        with pytest.raises(wasmgrad.RuntimeFailure):
            call(with_nan(3), LABELS)
    np.testing.assert_array_equal(trainer.get_gradients(), before[0])
    assert_same(buffers(trainer), before[1])


def test_sum_of_gradients_that_overflows_is_not_applied() -> None:
    trainer = Trainer(nn.Linear(1, 1), loss="mse", threads=1)
    before = trainer.get_parameters()
    large = np.full((2, 1), 1e19, np.float32)
    trainer.set_gradients(np.full(2, 3e38, np.float32))
    with pytest.raises(wasmgrad.RuntimeFailure, match="is not finite"):
        trainer.step(large, -large)
    np.testing.assert_array_equal(trainer.get_parameters(), before)
    np.testing.assert_array_equal(trainer.get_gradients(), np.full(2, 3e38, np.float32))


def test_infinite_gradient_is_left_to_a_clip_by_value() -> None:
    class Kink(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(6))

        def forward(self, x: Tensor) -> Tensor:
            return (self.weight.sqrt() + 1) * x

    inputs, targets = np.ones((4, 6), np.float32), np.full((4, 6), 3, np.float32)
    with pytest.raises(wasmgrad.RuntimeFailure):
        Trainer(Kink(), loss="mse", threads=1).step(inputs, targets)
    trainer = Trainer(Kink(), loss="mse", threads=1, optimizer="sgd", learning_rate=0.1, clip_value=2)
    trainer.step(inputs, targets)
    np.testing.assert_allclose(trainer.get_parameters(), np.full(6, 0.2), rtol=1e-6)


# ---- Buffers ----


class Counting(nn.Module):
    """Every kind of state that a forward can change: in place, through a view, by assignment."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.calls = 0
        self.register_buffer("written", torch.zeros(1))
        self.register_buffer("viewed", torch.zeros(3, 2))
        self.register_buffer("assigned", torch.zeros(1))
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.written += 1
        self.viewed[1].add_(2)
        self.assigned = self.assigned + 3
        self.seen.fill_(float(self.calls))
        return self.fc(x) + 0 * self.viewed.sum()


class CountingInPlace(nn.Module):
    """What an exported program can do of it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.register_buffer("written", torch.zeros(1))
        self.register_buffer("viewed", torch.zeros(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        self.written += 1
        self.viewed[1].add_(2)
        return self.fc(x)


@pytest.mark.parametrize("form", FORMATS)
def test_only_training_steps_change_buffers(form: str) -> None:
    module = Counting() if form == "pt" else CountingInPlace()
    trainer = Trainer(saved(module, form, torch.zeros(2, 6)), threads=1, batch_size=16)
    module.train()
    for _ in range(3):
        trainer.step(X[:8], LABELS[:8])
        module(torch.from_numpy(X[:8]))
        for _ in range(2):
            trainer.predict(X)
            trainer.evaluate(Dataset(X, LABELS))
            with pytest.raises(wasmgrad.Error):
                trainer.predict(X[:, :5])
        assert_same(buffers(trainer), {name: tensor.numpy() for name, tensor in module.named_buffers()})


def test_output_that_is_a_buffer_is_that_of_the_call() -> None:
    class Total(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 3)
            self.register_buffer("total", torch.zeros(6))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            self.total.copy_(x.sum(0))
            return {"y": self.fc(x), "total": self.total}

    trainer = Trainer(Total(), threads=1)
    np.testing.assert_allclose(trainer.outputs(X)["total"], X.sum(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(buffers(trainer)["total"], np.zeros(6))


# ---- The user's own batches ----


class Similar(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        z = self.fc(x)
        return z @ z.t()


class Centred(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return y - y.mean(0, keepdim=True)


ACROSS_ROWS: list[Callable[[], nn.Module]] = [
    Similar,
    Centred,
    lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False)),
]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("build", ACROSS_ROWS, ids=["similar", "centred", "batch norm"])
@pytest.mark.parametrize("rows", [2, 33, 64])
def test_prediction_is_one_batch(form: str, build: Callable[[], nn.Module], rows: int) -> None:
    module = build()
    trainer = Trainer(saved(module, form, torch.zeros(2, 6)), batch_size=8, loss="mse", threads=1)
    expected = module.eval()(torch.from_numpy(X[:rows])).detach().numpy()
    np.testing.assert_allclose(trainer.predict(X[:rows]), expected, rtol=1e-4, atol=1e-5)


def test_predict_batch_size_cuts_what_has_a_row_a_sample() -> None:
    module = nn.Linear(6, 4)
    expected = module(torch.from_numpy(X)).detach().numpy()
    for size in (1, 7, 64, 1000):
        got = Trainer(module, predict_batch_size=size, threads=1).predict(X)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x).mean()

    assert Trainer(Mean(), threads=1).predict(X).shape == ()
    with pytest.raises(wasmgrad.InvalidArgument, match="predict_batch_size"):
        Trainer(Mean(), predict_batch_size=8, threads=1).predict(X)


def test_prediction_beyond_the_memory_names_the_option_that_cuts_it() -> None:
    script = """
    import resource, numpy as np, wasmgrad
    from torch import nn
    module = nn.Sequential(nn.Linear(4, 4000), nn.Linear(4000, 1))
    x = np.zeros((100_000, 4), np.float32)
    whole, cut = (wasmgrad.Trainer(module, loss="mse", threads=1, **o) for o in ({}, {"predict_batch_size": 100}))
    whole.predict(x[:10]), cut.predict(x[:10])
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (500 << 20),) * 2)
    try:
        whole.predict(x)
    except wasmgrad.TooLarge as error:
        print(error)
    print(cut.predict(x).shape)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
    )
    sentence, shape = done.stdout.splitlines()
    assert "predict_batch_size" in sentence
    assert shape == "(100000, 1)"


class Hardest(nn.Module):
    """A loss over the four worst rows of a batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.topk(nn.functional.cross_entropy(self.fc(x), y, reduction="none"), 4)[0].mean()


@pytest.mark.parametrize("form", FORMATS)
def test_loss_over_a_batch_is_judged_on_the_users_batch(form: str) -> None:
    module = Hardest()
    archive = saved(module, form, torch.zeros(8, 6), torch.zeros(8, dtype=torch.int64), least=4)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    trainer = Trainer(archive, losses="model", optimizer="sgd", learning_rate=0.1, threads=1)
    for _ in range(3):
        optimizer.zero_grad()
        loss = module(torch.from_numpy(X), torch.from_numpy(LABELS))
        loss.backward()
        optimizer.step()
        assert trainer.step(X, LABELS).loss == pytest.approx(loss.item(), rel=1e-5)
    with pytest.raises(wasmgrad.InvalidArgument, match=r"does not take inputs of shape \[3, 6\]"):
        trainer.step(X[:3], LABELS[:3])


@pytest.mark.parametrize("form", FORMATS)
def test_last_batch_of_one_is_a_sentence_and_leaves_no_trace(form: str) -> None:
    trainer = normed(form, epochs=1)
    with pytest.raises(wasmgrad.InvalidArgument, match="another batch_size") as caught:
        trainer.fit(Dataset(X[:33], LABELS[:33]))
    assert (
        "epoch 1, batch 3: the model does not take inputs of shape [1, 6]: batch norm" in caught.value.message
    )
    assert "2 steps of this call were completed and kept" in caught.value.message
    even = normed(form, epochs=1)
    even.fit(Dataset(X[:32], LABELS[:32]))
    np.testing.assert_array_equal(trainer.get_parameters(), even.get_parameters())
    assert_same(buffers(trainer), buffers(even))
    assert (
        normed(form, epochs=1, batch_size=11).fit(Dataset(X[:33], LABELS[:33])).epochs[0].train.samples == 33
    )


class Words(nn.Module):
    def __init__(self, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.words = nn.Embedding(9, 4, sparse=sparse)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.words(x))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_sparse_embedding_trains_as_a_dense_one(form: str, optimizer: Any) -> None:
    words = RNG.integers(0, 9, 16)
    example = torch.zeros(2, dtype=torch.int64)
    sparse, dense = (
        Trainer(saved(Words(kind), form, example), optimizer=optimizer, keep_integers=True, threads=1)
        for kind in (True, False)
    )
    for _ in range(3):
        assert sparse.step(words, LABELS[:16]) == dense.step(words, LABELS[:16])
    np.testing.assert_array_equal(sparse.get_parameters(), dense.get_parameters())
