"""Rounds through Flower, with its own strategies, in one process: what nodes and server make of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam
from wasmgrad.federated import Federation, Policy, client_app, run_rounds
from wasmgrad.federated._grid import LocalGrid

from .nodes import Small, any_policy, initial, rows_of, scripted, write_rows

State = Mapping[str, np.ndarray]


@pytest.fixture(scope="module")
def guest(build_c_guest: Callable[[str], Path]) -> bytes:
    return build_c_guest("task").read_bytes()


@pytest.fixture(scope="module")
def model() -> bytes:
    torch.manual_seed(1)
    return scripted(Small())


@pytest.fixture
def nodes(tmp_path: Path) -> list[Policy]:
    """Two, with 64 rows and 128."""
    return [any_policy(write_rows(tmp_path / f"node{i}", seed=i, rows=64 * i)) for i in (1, 2)]


def federation(guest: bytes, model: bytes, **changes: Any) -> Federation:
    return Federation(**{"guest": guest, "model": model, "args": ("fit",), "rounds": 2, **changes})


def averaged(model: bytes, state: State) -> dict[str, np.ndarray]:
    """A round of both nodes without guests or Flower, in float64."""
    mean = {name: np.zeros(value.shape) for name, value in state.items()}
    for node in (1, 2):
        how = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 8, "threads": 1, "epochs": 1}
        trainer = wasmgrad.Trainer(model, **how)  # type: ignore[arg-type]
        trainer.load_state_dict(state)
        trainer.fit(wasmgrad.Dataset(*rows_of(node, 64 * node)))
        for name, value in trainer.state_dict().items():
            mean[name] += value.astype("f8") * node / 3
    return mean


def close(found: State, expected: State) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_round_is_the_mean_by_samples_of_parameters_and_statistics(
    guest: bytes, model: bytes, nodes: list[Policy]
) -> None:
    state, result = run_rounds(federation(guest, model, rounds=1), LocalGrid(nodes))
    expected = averaged(model, initial(model))
    assert expected.pop("norm.num_batches_tracked") == pytest.approx(8 / 3 + 32 / 3)
    assert state["norm.num_batches_tracked"] == 13
    close({name: value for name, value in state.items() if name in expected}, expected)
    assert {name: value.dtype for name, value in state.items()} == {
        name: value.dtype for name, value in initial(model).items()
    }
    assert result is not None
    assert set(result.train_metrics_clientapp[1]) == {"accuracy", "loss", "seconds", "steps", "update-norm"}


def test_a_node_without_the_model_or_guest_asked_for_is_left_out(
    guest: bytes, model: bytes, nodes: list[Policy], tmp_path: Path
) -> None:
    refusing = any_policy(tmp_path / "node1", guests=())
    state, _ = run_rounds(federation(guest, model, rounds=1), LocalGrid([nodes[0], refusing]))
    alone, _ = run_rounds(federation(guest, model, rounds=1, nodes=1), LocalGrid(nodes[:1]))
    close(state, alone)


def test_figures_that_were_asked_for_come_along(guest: bytes, model: bytes, nodes: list[Policy]) -> None:
    asked = federation(guest, model, rounds=1, reports=("own loss", "another"))
    _, result = run_rounds(asked, LocalGrid(nodes))
    assert result is not None
    metrics = result.train_metrics_clientapp[1]
    assert metrics["guest.own loss"] == pytest.approx(metrics["loss"])
    assert np.isnan(metrics["guest.another"])


def test_rounds_that_were_kept_are_gone_on_from(
    guest: bytes, model: bytes, nodes: list[Policy], tmp_path: Path
) -> None:
    """Also what FedAdam remembers from round to round."""
    seen: list[int] = []

    def evaluate(number: int, state: State) -> dict[str, float]:
        seen.append(number)
        return {"number": float(number)}

    for strategy in ("fedavg", "fedadam"):
        seen.clear()
        how = {"strategy": strategy, "checkpoints": tmp_path / strategy}
        whole, _ = run_rounds(federation(guest, model, rounds=3, strategy=strategy), LocalGrid(nodes))
        for rounds in (1, 3, 3):
            state, _ = run_rounds(
                federation(guest, model, rounds=rounds, **how),
                LocalGrid(nodes),
                evaluate,
            )
        close(state, whole)
        assert seen == [0, 1, 1, 2, 3]
        assert len(list((tmp_path / strategy).iterdir())) == 3
    with pytest.raises(wasmgrad.InvalidArgument, match="kept by the strategy"):
        run_rounds(federation(guest, model, checkpoints=tmp_path / "fedadam"), LocalGrid(nodes))


def test_fedadam_moves_parameters_and_averages_statistics(
    guest: bytes, model: bytes, nodes: list[Policy]
) -> None:
    """Against Flower's own FedAdam, given the parameters alone."""
    options = {"eta": 0.05, "tau": 1e-3}
    how = federation(guest, model, rounds=1, strategy="fedadam", strategy_options=options)
    state, _ = run_rounds(how, LocalGrid(nodes))
    before, mean = initial(model), averaged(model, initial(model))
    for name in ("norm.running_mean", "norm.running_var"):
        np.testing.assert_allclose(state[name], mean[name], rtol=1e-5, atol=1e-6)
        del before[name], mean[name]
    del before["norm.num_batches_tracked"], mean["norm.num_batches_tracked"]
    strategy = FedAdam(**options)  # type: ignore[arg-type]
    strategy.current_arrays = before
    content = RecordDict(
        {
            "arrays": ArrayRecord({name: Array(value.astype("f4")) for name, value in mean.items()}),
            "metrics": MetricRecord({"num-examples": 1}),
        }
    )
    LocalGrid([])
    asked = Message(RecordDict(), 1, "train")
    moved, _ = strategy.aggregate_train(1, [Message(content, reply_to=asked)])
    assert moved is not None
    for name, array in moved.items():
        np.testing.assert_allclose(state[name], array.numpy(), rtol=1e-3, atol=1e-4, err_msg=name)


def test_fedprox_tells_guests_how_strongly_they_are_held(
    guest: bytes, model: bytes, nodes: list[Policy]
) -> None:
    """A guest's own loop adds the proximal term to its gradients, as PyTorch's autograd does here."""
    how = {"strategy": "fedprox", "strategy_options": {"proximal_mu": 5.0}, "args": ("proximal",)}
    state, _ = run_rounds(federation(guest, model, rounds=1, nodes=1, **how), LocalGrid(nodes[:1]))
    net = torch.jit.load(io.BytesIO(model)).train()
    before = [value.detach().clone() for value in net.parameters()]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    features, classes = (torch.from_numpy(value) for value in rows_of(1))
    for row in range(0, 64, 8):
        loss = torch.nn.functional.cross_entropy(net(features[row : row + 8]), classes[row : row + 8])
        loss = loss + 2.5 * sum(((a - b) ** 2).sum() for a, b in zip(net.parameters(), before, strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    close(state, {name: value.numpy() for name, value in net.state_dict().items()})


# ---- Hostile nodes and guests


def answering(change: Callable[[dict[str, np.ndarray], dict[str, Any]], None]) -> Callable[..., Message]:
    """A node that answers anything."""

    def node(message: Message, context: Context) -> Message:
        tensors = {
            name: value.numpy().copy() for name, value in message.content.array_records["arrays"].items()
        }
        metrics: dict[str, Any] = dict.fromkeys(("accuracy", "loss", "seconds", "steps", "update-norm"), 0.0)
        metrics["num-examples"] = 64
        change(tensors, metrics)
        arrays = ArrayRecord({name: Array(value) for name, value in tensors.items()})
        return Message(RecordDict({"arrays": arrays, "metrics": MetricRecord(metrics)}), reply_to=message)

    return node


def _with(name: str, value: float) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    return lambda tensors, _: tensors[name].fill(value)


HOSTILE = {
    "nan": _with("out.bias", float("nan")),
    "huge": _with("out.bias", 1e30),
    "infinite statistics": _with("norm.running_var", float("inf")),
    "another shape": lambda tensors, _: tensors.update({"out.bias": np.zeros(4, "f4")}),
    "without a tensor": lambda tensors, _: tensors.pop("out.bias"),
    "another tensor": lambda tensors, _: tensors.update({"more": np.zeros(4, "f4")}),
    "no samples": lambda _, metrics: metrics.update({"num-examples": 0}),
    "negative samples": lambda _, metrics: metrics.update({"num-examples": -64}),
    "endless samples": lambda _, metrics: metrics.update({"num-examples": float("inf")}),
    "a list of samples": lambda _, metrics: metrics.update({"num-examples": [1, 2]}),
}


@pytest.mark.parametrize("way", HOSTILE)
def test_an_answer_that_cannot_be_right_is_left_out(
    guest: bytes, model: bytes, nodes: list[Policy], way: str
) -> None:
    how = federation(guest, model, rounds=1, max_update_norm=100.0)
    state, _ = run_rounds(how, LocalGrid([nodes[0], answering(HOSTILE[way])]))
    alone, _ = run_rounds(federation(guest, model, rounds=1, nodes=1), LocalGrid(nodes[:1]))
    close(state, alone)


def test_an_answer_weighs_no_more_than_allowed(guest: bytes, model: bytes, nodes: list[Policy]) -> None:
    heavy = answering(lambda tensors, metrics: metrics.update({"num-examples": 1e12}))
    how = federation(guest, model, rounds=1, max_samples=64)
    state, _ = run_rounds(how, LocalGrid([nodes[0], heavy]))
    alone, _ = run_rounds(federation(guest, model, rounds=1, nodes=1), LocalGrid(nodes[:1]))
    before = initial(model)
    for name, value in alone.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(state[name], (value + before[name]) / 2, rtol=1e-5, atol=1e-6)


def test_a_round_without_answers_is_an_error(guest: bytes, model: bytes, nodes: list[Policy]) -> None:
    with pytest.raises(wasmgrad.RuntimeFailure, match="no node's answer counts"):
        run_rounds(federation(guest, model, args=("nan",)), LocalGrid(nodes))


@pytest.mark.parametrize("mode", ["huge", "lie", "outside"])
def test_the_model_outlives_a_hostile_guest(guest: bytes, model: bytes, tmp_path: Path, mode: str) -> None:
    """Under a policy, a round moves the model no further than the policy lets it."""
    strict = [
        any_policy(write_rows(tmp_path / f"node{i}", seed=i), clip_norm=0.5, samples=64) for i in (1, 2)
    ]
    state, _ = run_rounds(federation(guest, model, args=(mode,), rounds=1), LocalGrid(strict))
    before = initial(model)
    change = [np.ravel(state[n].astype("f8") - before[n]) for n in state if state[n].dtype.kind == "f"]
    assert np.linalg.norm(np.concatenate(change)) <= 0.5001


def test_a_failure_tells_the_server_its_kind_only(
    guest: bytes, model: bytes, nodes: list[Policy], caplog: pytest.LogCaptureFixture
) -> None:
    LocalGrid([])
    message = Message(RecordDict(), 1, "train")
    answer = client_app(nodes[0])(message, Context(1, 1, {}, RecordDict(), {}))
    assert answer.has_error()
    assert "InvalidArgument (invalid_argument)" in answer.error.reason
    assert "lacks" not in answer.error.reason


def test_a_node_without_a_policy_answers_with_an_error(
    guest: bytes, model: bytes, nodes: list[Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WASMGRAD_POLICY", raising=False)
    with pytest.raises(wasmgrad.RuntimeFailure):
        run_rounds(federation(guest, model, nodes=1), LocalGrid([client_app()]))
