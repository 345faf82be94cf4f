"""Flower's own strategies with what rounds of a server need besides: answers are checked, rounds are kept.

An answer that is not of the model, not finite, or further away than allowed is left out, whichever node sent it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAdam, FedAvg, FedProx

from .._errors import InvalidArgument, InvalidEncoding, RuntimeFailure
from .._files import write_atomic
from .._training.weight_files import check_update, update_norm
from ._records import SAMPLES, array_record, tensors_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tensors = Mapping[str, NDArray[Any]]

__all__ = ["STRATEGIES", "Checked", "Rounds"]

_log = logging.getLogger("flwr")
_ROUND = "round-{:05d}.safetensors"
_MOMENTS = ("m_t", "v_t")  # what Flower's adaptive strategies carry from round to round


@dataclass
class Rounds:
    """What the rounds of one federation share with its strategy."""

    buffers: frozenset[str] = frozenset()
    """Names of the tensors that are averaged, not optimized: running statistics and counters."""
    max_update_norm: float = math.inf
    max_samples: int | None = None
    checkpoints: Path | None = None
    done: int = 0
    """Rounds before this run."""
    present: dict[str, NDArray[Any]] = field(default_factory=dict)


class Checked(FedAvg):
    """Over one of Flower's strategies: see the module."""

    rounds = Rounds()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        self.rounds.present = tensors_of(arrays)
        return super().configure_train(server_round + self.rounds.done, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        kept, weights = [], []
        for reply in replies:
            refused = None if reply.has_error() else self._refused(reply)
            if refused is not None:
                _log.warning("node %s: its answer is left out: %s", reply.metadata.src_node_id, refused)
                continue
            kept.append(reply)
            if not reply.has_error():
                weights.append((self._samples(reply), reply))
        _keep_common_metrics([reply for _, reply in weights])
        moved, metrics = super().aggregate_train(server_round + self.rounds.done, kept)
        if moved is None:
            return moved, metrics
        tensors = self._as_before(tensors_of(moved), weights)
        self._keep(server_round + self.rounds.done, tensors)
        return array_record(tensors), metrics

    def _refused(self, reply: Message) -> str | None:
        """Why the answer of a node does not count; None: it does."""
        content = reply.content
        if len(content.array_records) != 1 or len(content.metric_records) != 1:
            return "it has other records than one of arrays and one of metrics"
        samples = next(iter(content.metric_records.values())).get(SAMPLES)
        if not isinstance(samples, (int, float)) or not 0 < samples < math.inf:
            return f"{SAMPLES} is {samples!r}"
        try:
            after = tensors_of(next(iter(content.array_records.values())))
            check_update(self.rounds.present, after, "its guest")
        except (InvalidArgument, RuntimeFailure) as error:
            return error.message
        norm = update_norm(self.rounds.present, after)
        return None if norm <= self.rounds.max_update_norm else f"its update has the length {norm:.3g}"

    def _samples(self, reply: Message) -> float:
        metrics: Any = next(iter(reply.content.metric_records.values()))
        if self.rounds.max_samples is not None:
            metrics[SAMPLES] = min(metrics[SAMPLES], self.rounds.max_samples)
        return float(metrics[SAMPLES])

    def _as_before(self, moved: Tensors, weights: list[tuple[float, Message]]) -> dict[str, NDArray[Any]]:
        """The tensors in the model's types; those that are no parameters are the nodes' mean."""
        total = sum(weight for weight, _ in weights)
        tensors = dict(moved)
        answers = [
            (weight / total, tensors_of(next(iter(reply.content.array_records.values()))))
            for weight, reply in weights
        ]
        for name in self.rounds.buffers & set(tensors):
            tensors[name] = sum(share * answer[name].astype("f8") for share, answer in answers)  # type: ignore[assignment]
        for name, old in self.rounds.present.items():
            whole = np.rint(tensors[name]) if old.dtype.kind in "iub" else tensors[name]
            tensors[name] = np.asarray(whole, old.dtype)
        return tensors

    # ---- Rounds that are kept

    def _keep(self, number: int, tensors: Tensors) -> None:
        if self.rounds.checkpoints is None:
            return
        import safetensors.numpy

        kept = {f"weights.{name}": value for name, value in tensors.items()}
        for moments in _MOMENTS:
            for name, value in (getattr(self, moments, None) or {}).items():
                kept[f"{moments}.{name}"] = np.asarray(value)
        dense = {name: np.asarray(value, order="C") for name, value in kept.items()}
        file = safetensors.numpy.save(dense, {"round": str(number), "strategy": type(self).__name__})
        write_atomic(self.rounds.checkpoints / _ROUND.format(number), file)

    def resume(self, names: set[str]) -> dict[str, NDArray[Any]] | None:
        """Takes up the last round that was kept, and returns its weights, which have `names`; None: there is none.

        Errors: `InvalidEncoding` for a damaged file, `InvalidArgument` for one of another strategy or model.
        """
        import safetensors

        folder = self.rounds.checkpoints
        files = [] if folder is None else sorted(folder.glob("round-*.safetensors"))
        if not files:
            return None
        try:
            with safetensors.safe_open(files[-1], framework="numpy") as archive:
                told = archive.metadata() or {}
                tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
                number = int(told["round"])
        except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
            raise InvalidEncoding(f"{files[-1]}: not a round that was kept: {error}") from error
        if told.get("strategy") != type(self).__name__:
            raise InvalidArgument(
                f"{files[-1]}: kept by the strategy {told.get('strategy')}; this one is {type(self).__name__}"
            )
        weights = _below(tensors, "weights.")
        if set(weights) != names:
            raise InvalidArgument(f"{files[-1]}: kept of another model")
        self.rounds.done = number
        for moments in _MOMENTS:
            found = _below(tensors, f"{moments}.")
            if found:
                setattr(self, moments, found)
        return weights


def _keep_common_metrics(replies: list[Message]) -> None:
    """Leaves the numbers that all answers have: Flower averages no others, and a node may tell fewer."""
    records = [next(iter(reply.content.metric_records.values())) for reply in replies]
    numbers = [
        {key for key, value in record.items() if isinstance(value, (int, float))} for record in records
    ]
    common = set.intersection(*numbers) if numbers else set()
    for record in records:
        for key in set(record) - common:
            del record[key]


def _below(tensors: Tensors, prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


class CheckedFedAvg(Checked):
    """`flwr.serverapp.strategy.FedAvg`, checked and kept."""


class CheckedFedProx(Checked, FedProx):
    """`flwr.serverapp.strategy.FedProx`, checked and kept."""


class CheckedFedAdam(Checked, FedAdam):
    """`flwr.serverapp.strategy.FedAdam`, checked and kept."""


STRATEGIES: dict[str, type[Checked]] = {
    "fedavg": CheckedFedAvg,
    "fedprox": CheckedFedProx,
    "fedadam": CheckedFedAdam,
}
"""By the names that a run's configuration has for them."""
