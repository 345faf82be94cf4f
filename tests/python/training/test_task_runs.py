"""Weights, configuration and figures of a run of any guest: the host puts them in and takes them out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import wasmgrad
from safetensors.numpy import load, save
from wasmgrad import Sandbox, models

from ..federated.nodes import Small, initial, rows_of, scripted, write_rows

on_both_engines = pytest.mark.parametrize("engine", ["wasmedge", "wasmtime"])


@pytest.fixture(scope="module")
def guest(build_c_guest: Callable[[str], Path]) -> Path:
    return build_c_guest("task")


@pytest.fixture(scope="module")
def model() -> bytes:
    torch.manual_seed(1)
    return scripted(Small())


@pytest.fixture
def folder(tmp_path: Path, model: bytes) -> Path:
    (tmp_path / "model.pt").write_bytes(model)
    write_rows(tmp_path / "data", seed=5)
    return tmp_path


def sandbox(guest: Path, folder: Path, *args: str, **how: object) -> Sandbox:
    where = {"dirs": [f"{folder / 'data'}:/data:ro"], "models": {"model": folder / "model.pt"}}
    return Sandbox(guest, args=args, **where, **how)  # type: ignore[arg-type]


def moved(state: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Other weights of the same model; variances stay above 0."""
    random = np.random.default_rng(seed)
    return {
        name: (np.abs(random.normal(size=value.shape)) + 0.1).astype(value.dtype)
        if value.dtype.kind == "f"
        else np.asarray(value + 3)
        for name, value in state.items()
    }


def trained(
    model: bytes, state: dict[str, np.ndarray], epochs: int, **options: object
) -> dict[str, np.ndarray]:
    """What the trainer makes of it without a guest."""
    chosen = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 8, "threads": 1, **options}
    trainer = wasmgrad.Trainer(model, epochs=epochs, **chosen)  # type: ignore[arg-type]
    trainer.load_state_dict(state)
    trainer.fit(wasmgrad.Dataset(*rows_of(5)))
    return trainer.state_dict()


@on_both_engines
@pytest.mark.parametrize("isolate", [True, False])
def test_a_guest_trains_the_weights_that_the_host_puts_in(
    guest: Path, folder: Path, model: bytes, engine: str, isolate: bool
) -> None:
    state = moved(initial(model), 2)
    result = sandbox(guest, folder, "fit", "2", engine=engine, isolate=isolate).run(weights=save(state))
    assert result.exit_code == 0, result.stderr
    assert result.weights is not None
    found, expected = load(result.weights), trained(model, state, 2)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
        assert found[name].dtype == value.dtype
    assert result.usage is not None
    assert (result.usage.samples, result.usage.steps) == (128, 16)
    assert result.metrics is not None
    assert result.reports == {"own loss": pytest.approx(result.metrics.loss)}
    change = [np.ravel(found[n].astype("f8") - state[n]) for n in state if state[n].dtype.kind == "f"]
    assert result.update_norm == pytest.approx(float(np.linalg.norm(np.concatenate(change))))


def test_weights_come_as_a_file_bytes_or_by_name(guest: Path, folder: Path, model: bytes) -> None:
    state = moved(initial(model), 3)
    (folder / "given.safetensors").write_bytes(save(state))
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    results = [
        sandbox(guest, folder, "fit").run(weights=source).weights
        for source in (folder / "given.safetensors", save(state), state, tensors)
    ]
    assert results[0] is not None
    assert all(load(each or b"").keys() == state.keys() for each in results)
    assert len({bytes(each or b"") for each in results}) == 1


def test_a_second_model_of_the_guest_begins_with_the_same_weights(
    guest: Path, folder: Path, model: bytes
) -> None:
    state = moved(initial(model), 4)
    result = sandbox(guest, folder, "own weights").run(weights=state)
    for name, value in trained(model, state, 1).items():
        np.testing.assert_array_equal(load(result.weights or b"")[name], value, err_msg=name)


def test_options_of_the_owner_replace_those_of_the_guest(guest: Path, folder: Path, model: bytes) -> None:
    state = initial(model)
    result = sandbox(guest, folder, "fit", "9").run(weights=state, epochs=1, learning_rate=0.5, seed=7)
    for name, value in trained(model, state, 1, learning_rate=0.5, seed=7).items():
        np.testing.assert_array_equal(load(result.weights or b"")[name], value, err_msg=name)


@pytest.mark.parametrize("way", ["missing", "unknown", "shape", "not finite", "no file"])
def test_weights_that_do_not_fit_are_refused(guest: Path, folder: Path, model: bytes, way: str) -> None:
    state = initial(model)
    if way == "missing":
        del state["norm.running_mean"]
    elif way == "unknown":
        state["another"] = np.zeros(3, "f4")
    elif way == "shape":
        state["out.bias"] = np.zeros(4, "f4")
    elif way == "not finite":
        state["out.bias"][1] = np.nan
    source = b"no weights" if way == "no file" else save(state)
    with pytest.raises((wasmgrad.InvalidArgument, wasmgrad.InvalidEncoding)) as failure:
        sandbox(guest, folder, "fit").run(weights=source)
    named = {
        "missing": "norm.running_mean",
        "unknown": "another",
        "shape": "out.bias",
        "not finite": "out.bias",
    }
    assert named.get(way, "safetensors") in failure.value.message


def test_weights_that_are_not_finite_are_an_error(guest: Path, folder: Path, model: bytes) -> None:
    with pytest.raises(wasmgrad.RuntimeFailure, match="is not finite after the training"):
        sandbox(guest, folder, "nan").run(weights=initial(model))


def test_weights_that_moved_far_are_told_by_their_update(guest: Path, folder: Path, model: bytes) -> None:
    result = sandbox(guest, folder, "huge").run(weights=initial(model))
    assert result.update_norm > 1e30


def test_a_guest_that_trains_nothing_has_no_weights(guest: Path, folder: Path, model: bytes) -> None:
    result = sandbox(guest, folder, "config").run(weights=initial(model))
    assert (result.exit_code, result.weights, result.metrics) == (0, None, None)


@on_both_engines
def test_a_guest_reads_its_configuration(guest: Path, folder: Path, engine: str) -> None:
    config = {"round": 7, "rate": 0.1, "fast": True, "note": "größer", "other": 1}
    result = sandbox(guest, folder, "config", engine=engine).run(config=config)
    assert result.stdout.splitlines() == [
        "round 0 7",
        "rate 0 0.1",
        "fast 0 true",
        "note 0 größer",
        "absent 7 ",
    ]


@pytest.mark.parametrize("value", [float("nan"), [1, 2], None, "\ud800"])
def test_a_configuration_has_scalars_only(guest: Path, folder: Path, value: object) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="'rate'"):
        sandbox(guest, folder, "config").run(config={"rate": value})


def test_a_figure_that_is_no_number_stays_one(guest: Path, folder: Path, model: bytes) -> None:
    result = sandbox(guest, folder, "lie").run(weights=initial(model))
    assert result.reports["num-examples"] == 1e12
    assert np.isnan(result.reports["samples"])
    assert result.usage is not None
    assert result.usage.samples == 50 * 64


def test_train_begins_with_weights_of_another_run(tmp_path: Path, few_digits: Path) -> None:
    """Of another seed and optimizer, which a checkpoint would refuse."""
    how = {"data": few_digits, "models": {"lenet.pt": models.cached("lenet-5")}, "epochs": 1, "threads": 1}
    how["batches_per_epoch"] = 2
    first = wasmgrad.train(seed=1, optimizer="sgd", **how)  # type: ignore[arg-type]
    state = initial(first.model)
    (tmp_path / "weights.safetensors").write_bytes(save(state))
    how["learning_rate"] = 1e-12
    weights = tmp_path / "weights.safetensors"
    second = wasmgrad.train(seed=2, optimizer="adam", weights=weights, **how)  # type: ignore[arg-type]
    for name, value in initial(second.model).items():
        np.testing.assert_allclose(value, state[name], atol=1e-6, err_msg=name)
