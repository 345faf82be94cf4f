"""A task on one node: what comes back, and what a hostile guest gains."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from wasmgrad import Limits
from wasmgrad._training.weight_files import read_tensors, update_norm
from wasmgrad.federated import Policy, Privacy, Task, TaskResult, run_task
from wasmgrad.federated._policy import digest

from .nodes import Small, any_policy, as_file, initial, rows_of, scripted, write_rows


@pytest.fixture(scope="module")
def guest(build_c_guest: Callable[[str], Path]) -> bytes:
    return build_c_guest("task").read_bytes()


@pytest.fixture(scope="module")
def model() -> bytes:
    torch.manual_seed(1)
    return scripted(Small())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "data", seed=5)


def run(guest: bytes, model: bytes, policy: Policy, *args: str, **task: Any) -> TaskResult:
    weights = as_file(initial(model))
    return run_task(
        Task(**{"guest": guest, "model": model, "weights": weights, "args": args, **task}), policy
    )


def test_weights_samples_and_metrics_are_the_host_s(guest: bytes, model: bytes, data: Path) -> None:
    result = run(guest, model, any_policy(data), "fit", "2")
    trainer = wasmgrad.Trainer(model, optimizer="sgd", learning_rate=0.1, batch_size=8, threads=1, epochs=2)
    last = trainer.fit(wasmgrad.Dataset(*rows_of(5))).epochs[-1].train
    for name, value in trainer.state_dict().items():
        np.testing.assert_array_equal(read_tensors(result.weights)[name], value, err_msg=name)
    assert result.samples == 128
    assert result.metrics["loss"] == pytest.approx(last.loss)
    assert result.metrics["accuracy"] == last.accuracy
    assert result.metrics["steps"] == 16
    assert result.metrics["update-norm"] > 0


def test_what_the_policy_has_cannot_be_raised(guest: bytes, model: bytes, data: Path) -> None:
    policy = any_policy(data, epochs=1, threads=1)
    for options in ({}, {"epochs": 3, "threads": 8}, {"epochs": 0}, {"epochs": "9"}):
        assert run(guest, model, policy, "fit", "5", options=options).samples == 64


def test_guest_and_model_come_from_the_store(guest: bytes, model: bytes, data: Path, tmp_path: Path) -> None:
    for contents in (guest, model):
        (tmp_path / digest(contents)).write_bytes(contents)
    policy = any_policy(data, store=tmp_path, guests=(digest(guest),), models=(digest(model),))
    task = Task(guest=digest(guest), model=digest(model), weights=as_file(initial(model)), args=("fit",))
    assert run_task(task, policy).samples == 64
    with pytest.raises(wasmgrad.SecurityError):
        run_task(task, any_policy(data, store=tmp_path, guests=(digest(model),)))


def test_the_length_of_an_update_is_bounded(guest: bytes, model: bytes, data: Path) -> None:
    result = run(guest, model, any_policy(data, clip_norm=0.25), "fit", "5")
    before = initial(model)
    assert update_norm(before, read_tensors(result.weights)) == pytest.approx(0.25, rel=1e-4)
    assert result.metrics["update-norm"] > 0.25


def test_with_noise_nothing_else_is_told(guest: bytes, model: bytes, data: Path, tmp_path: Path) -> None:
    privacy = Privacy(noise_multiplier=8.0, epsilon=2.0, delta=1e-5, account=tmp_path / "account")
    policy = any_policy(data, clip_norm=1.0, samples=50, privacy=privacy)
    result = run(guest, model, policy, "fit")
    assert (result.samples, dict(result.metrics), dict(result.reports)) == (50, {}, {})
    assert update_norm(initial(model), read_tensors(result.weights)) > 20  # 99 numbers of deviation 8
    used_up = Privacy(noise_multiplier=8.0, epsilon=1.0, delta=1e-5, account=tmp_path / "account")
    with pytest.raises(wasmgrad.SecurityError, match="epsilon"):
        run(guest, model, any_policy(data, clip_norm=1.0, samples=50, privacy=used_up), "fit")


# ---- Hostile guests


def test_a_guest_reads_nothing_but_what_is_granted(guest: bytes, model: bytes, data: Path) -> None:
    (data.parent / "outside").write_text("secret")
    (data / "outside").symlink_to(data.parent / "outside")
    assert run(guest, model, any_policy(data), "outside").samples == 64
    assert sorted(path.name for path in data.iterdir()) == ["outside", "rows"]


def test_a_guest_that_repeats_its_rows_weighs_no_more_than_allowed(
    guest: bytes, model: bytes, data: Path
) -> None:
    result = run(guest, model, any_policy(data, samples=64), "lie")
    assert result.samples == 64
    assert result.reports["num-examples"] == 1e12


def test_a_guest_that_never_ends_is_ended(guest: bytes, model: bytes, data: Path) -> None:
    with pytest.raises(wasmgrad.TimeLimit):
        run(guest, model, any_policy(data, limits=Limits(wall_seconds=3)), "loop")


def test_a_guest_that_leaves_what_is_not_finite_is_refused(guest: bytes, model: bytes, data: Path) -> None:
    with pytest.raises(wasmgrad.RuntimeFailure, match="not finite"):
        run(guest, model, any_policy(data), "nan")


def test_a_guest_that_leaves_huge_numbers_moves_little(guest: bytes, model: bytes, data: Path) -> None:
    result = run(guest, model, any_policy(data, clip_norm=1.0), "huge")
    after = read_tensors(result.weights)
    assert update_norm(initial(model), after) == pytest.approx(1.0, rel=1e-3)
    assert all(np.isfinite(value).all() for value in after.values())
    assert math.isfinite(result.metrics["loss"])


def test_a_guest_that_moves_weights_without_samples_is_refused(
    guest: bytes, model: bytes, data: Path
) -> None:
    with pytest.raises(wasmgrad.Error, match="without"):
        run(guest, model, any_policy(data), "nothing")


def test_a_guest_with_another_model_is_refused(guest: bytes, model: bytes, data: Path) -> None:
    other = scripted(torch.nn.Linear(4, 3))
    with pytest.raises(wasmgrad.InvalidArgument, match="state: tensor"):
        run(guest, other, any_policy(data), "fit", weights=as_file(initial(model)))


def test_a_guest_that_fails_is_told_by_its_code(guest: bytes, model: bytes, data: Path) -> None:
    with pytest.raises(wasmgrad.GuestExit) as failure:
        run(guest, model, any_policy(data, directories={}), "fit")
    assert failure.value.exit_code == 2
