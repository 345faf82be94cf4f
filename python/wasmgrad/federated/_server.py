"""The Flower ServerApp: rounds of training by guests on the nodes, evaluation and checkpoints on the server."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import InvalidArgument, NotFound, RuntimeFailure
from .._files import write_atomic
from .._training.options import number
from .._training.weight_files import write_tensors

if TYPE_CHECKING:
    from flwr.app import ArrayRecord, Context, MetricRecord
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import Result
    from numpy.typing import NDArray

    from .._training.trainer import Trainer
    from ._strategies import Checked, Rounds

    State = Mapping[str, NDArray[Any]]
    Evaluate = Callable[[int, State], Mapping[str, float] | None]

__all__ = ["Federation", "run_rounds", "server_app"]


@dataclass(frozen=True, kw_only=True)
class Federation:
    """One federation, as its server sees it."""

    guest: bytes | str
    """A wasm module, or its SHA-256 where the nodes have it."""
    model: bytes
    """TorchScript or a torch.export program; its weights are the first round's."""
    send_model: bool = True
    """False: the nodes have the model, and get its SHA-256."""
    model_name: str = "model"
    """By which the guest asks for it."""
    args: tuple[str, ...] = ()
    """The guest's arguments."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What the guest may ask for."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the training on the nodes, which replace the guest's."""
    reports: tuple[str, ...] = ()
    """Names of the guest's figures that the nodes send along."""
    rounds: int = 3
    """How many are wanted in all, those that were kept before included."""
    strategy: str = "fedavg"
    """`fedavg`, `fedprox` or `fedadam`."""
    strategy_options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of Flower's class of that name, such as `proximal_mu` or `eta`."""
    nodes: int = 2
    """How many nodes a round waits for."""
    timeout: float = 3600.0
    """Seconds that a round waits for its answers."""
    max_update_norm: float = math.inf
    """An answer whose update is longer does not count."""
    max_samples: int | None = None
    """The most samples by which an answer weighs."""
    checkpoints: Path | None = None
    """A folder in which each round is kept, and from whose last round this goes on."""
    output: Path | None = None
    """Where the last weights go, as safetensors."""


def run_rounds(
    federation: Federation, grid: Grid, evaluate: Evaluate | None = None
) -> tuple[State, Result | None]:
    """Runs the rounds that are missing, and returns the weights after the last and what Flower's strategy says.

    evaluate: called with the number of the round and its weights, before the first and after each; what it returns are
    the round's metrics on the server. Errors: `InvalidArgument` for options that do not fit, `RuntimeFailure` when the
    last round had no answer that counts.
    """
    from flwr.app import ConfigRecord, MetricRecord

    from .. import _core  # noqa: F401  (libtorch before another library brings its own OpenMP)
    from .._training.trainer import Trainer
    from ._policy import digest
    from ._records import array_record, task_config, tensors_of
    from ._strategies import Rounds

    trainer = Trainer(federation.model, threads=1)
    state = trainer.state_dict()
    rounds = Rounds(
        buffers=_buffers(trainer, state),
        max_update_norm=federation.max_update_norm,
        max_samples=federation.max_samples,
        checkpoints=federation.checkpoints,
    )
    strategy = _strategy(federation, rounds)
    state = strategy.resume(set(state)) or state
    done, missing = rounds.done, federation.rounds - rounds.done
    if missing <= 0:
        return state, None
    sent = federation.model if federation.send_model else digest(federation.model)
    config = task_config(
        federation.guest,
        sent,
        model_name=federation.model_name,
        args=federation.args,
        options=federation.options,
        config=federation.config,
        reports=federation.reports,
    )

    def evaluated(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        measured = None if evaluate is None else evaluate(server_round + done, tensors_of(arrays))
        return None if measured is None else MetricRecord(dict(measured))

    result = strategy.start(
        grid,
        array_record(state),
        num_rounds=missing,
        timeout=federation.timeout,
        train_config=ConfigRecord(config),
        evaluate_fn=evaluated,
    )
    if missing not in result.train_metrics_clientapp:
        raise RuntimeFailure(f"round {federation.rounds}: no node's answer counts; the log says why")
    state = tensors_of(result.arrays)
    if federation.output is not None:
        write_atomic(federation.output, write_tensors(state))
    return state, result


def _strategy(federation: Federation, rounds: Rounds) -> Checked:
    """Flower's strategy that was asked for. Errors: `InvalidArgument` for one or an option that it does not have."""
    from ._strategies import STRATEGIES

    if federation.strategy not in STRATEGIES:
        raise InvalidArgument(f"strategy {federation.strategy!r}: expected one of {', '.join(STRATEGIES)}")
    if federation.checkpoints is not None:
        federation.checkpoints.mkdir(parents=True, exist_ok=True)
    how: dict[str, Any] = {
        "fraction_evaluate": 0.0,
        "min_train_nodes": federation.nodes,
        "min_available_nodes": federation.nodes,
    }
    try:
        strategy = STRATEGIES[federation.strategy](**how, **federation.strategy_options)
    except TypeError as error:
        raise InvalidArgument(f"the strategy {federation.strategy}: {error}") from None
    strategy.rounds = rounds
    return strategy


def _buffers(trainer: Trainer, state: State) -> frozenset[str]:
    """The names of what is no trained parameter: what stays when all of those are moved."""
    trainer.set_parameters(trainer.get_parameters() * 0 + 1)
    moved = trainer.state_dict()
    trainer.set_parameters(trainer.get_parameters() * 0 + 2)
    again = trainer.state_dict()
    return frozenset(name for name in state if (moved[name] == again[name]).all())


def server_app(
    federation: Callable[[Mapping[str, Any]], Federation] | None = None, evaluate: Evaluate | None = None
) -> ServerApp:
    """A ServerApp that runs a federation.

    federation: makes it of the run's configuration (`[tool.flwr.app.config]`, `flwr run --run-config`); without one,
    `federation_of` does. evaluate: as `run_rounds` takes it.
    """
    from flwr.serverapp import ServerApp

    app = ServerApp()

    def run(grid: Grid, context: Context) -> None:
        run_rounds((federation or federation_of)(context.run_config), grid, evaluate)

    app.main()(run)
    return app


def _whole(key: str, value: object) -> int:
    return int(number(key, value))


def _real(key: str, value: object) -> float:
    return float(number(key, value))


def _words(key: str, value: object) -> tuple[str, ...]:
    return tuple(str(value).split())


def _path(key: str, value: object) -> Path | None:
    return Path(str(value)) if value else None


def _text(key: str, value: object) -> str:
    return str(value)


def _flag(key: str, value: object) -> bool:
    return bool(value)


def _file(key: str, value: object) -> bytes:
    try:
        return Path(str(value)).read_bytes()
    except OSError as error:
        raise NotFound(f"{key} {value}: cannot be read: {error.strerror}") from None


def _model(key: str, value: object) -> bytes:
    """A file, or a model of the registry."""
    from .. import models

    return models.build(str(value)) if value in models.names() else _file(key, value)


# Keys of a run's configuration, and how their values are read; they are `Federation`'s fields, written with `-`.
_KEYS: dict[str, Callable[[str, object], Any]] = {
    "guest": _file, "model": _model, "send-model": _flag, "model-name": _text, "args": _words, "reports": _words,
    "rounds": _whole, "nodes": _whole, "timeout": _real, "strategy": _text, "max-update-norm": _real,
    "max-samples": _whole, "checkpoints": _path, "output": _path,
}  # fmt: skip
_STRATEGY = {"proximal-mu": "proximal_mu", "server-learning-rate": "eta", "fraction": "fraction_train"}
_TABLES = {"option": "options", "config": "config"}


def federation_of(config: Mapping[str, Any]) -> Federation:
    """The federation that a run's configuration describes: see docs/federated.md for its keys.

    Errors: `InvalidArgument` for a key that is not known or a value that does not fit, `NotFound` for a file.
    """
    chosen: dict[str, Any] = {"options": {}, "config": {}, "strategy_options": {}}
    for key, value in config.items():
        table, point, name = key.partition(".")
        if point and table in _TABLES:
            chosen[_TABLES[table]][name] = value
        elif key in _STRATEGY:
            chosen["strategy_options"][_STRATEGY[key]] = _real(key, value)
        elif key in _KEYS:
            chosen[key.replace("-", "_")] = _KEYS[key](key, value)
        else:
            raise InvalidArgument(f"the run's configuration has the key '{key}', which is not known")
    for name in ("guest", "model"):
        if name not in chosen:
            raise InvalidArgument(f"the run's configuration has no '{name}'")
    return Federation(**chosen)
