"""What runs return: frozen records, built from the event stream.

They know nothing of processes or the core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._files import write_atomic
from .._metrics import Metrics

__all__ = ["EpochMetrics", "Event", "GuestResult", "Metrics", "TrainingResult", "Usage"]

Event = Mapping[str, Any]
"""One event of a run; the key `event` holds its name. docs/quick-start.md lists names and fields."""


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch: running means of training, then evaluations on what the guest handed over."""

    epoch: int
    """1-based."""
    train: Metrics
    validation: Metrics | None
    test: Metrics | None
    learning_rate: float
    """At the last step of the epoch."""
    seconds: float
    """Training alone, without evaluation."""
    samples_per_second: float

    @classmethod
    def from_event(cls, event: Event) -> EpochMetrics:
        """From an `epoch` event."""
        return cls(
            epoch=int(event["epoch"]),
            train=Metrics.from_event(event["train"]),
            validation=_optional(event.get("validation")),
            test=_optional(event.get("test")),
            learning_rate=float(event["learning_rate"]),
            seconds=float(event["seconds"]),
            samples_per_second=float(event["samples_per_second"]),
        )


def _optional(fields: Event | None) -> Metrics | None:
    return None if fields is None else Metrics.from_event(fields)


@dataclass(frozen=True)
class Usage:
    """What a guest used in all."""

    guest_memory_bytes: int
    """Its linear memory at the end; it never shrinks."""
    host_bytes: int
    """The most that the host held for it at once: models, datasets, trainers."""
    host_calls: int
    """Calls of the host's functions, without WASI's."""
    steps: int
    """Optimizer steps."""
    host_seconds: float
    """Inside those calls."""
    guest_seconds: float
    """Outside of them: the guest's own code, and WASI."""

    @classmethod
    def from_event(cls, event: Event) -> Usage:
        """From a `usage` event."""
        return cls(**{name: event[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class TrainingResult:
    """A finished (or cleanly interrupted) training run."""

    epochs: tuple[EpochMetrics, ...]
    initial: Metrics | None
    """On the test set, or the validation set without one, before the first step."""
    model: bytes
    """The trained model, as `torch.jit.load` reads it; empty when an interrupt came before the first step."""
    stopped_early: bool
    """By early stopping."""
    interrupted: bool
    """By Ctrl-C; model and checkpoint are those after the last whole step."""
    training_seconds: float
    """The training loop, with its evaluations."""
    seconds: float
    """The whole run."""
    peak_memory_bytes: int | None
    """Largest resident size of the run's process; None for a run inside this process."""
    output: Path | None
    """Where the model was saved, if a place was given; an interrupted run leaves the file there as it was."""
    checkpoint: Path | None
    """The last checkpoint written, if one was."""
    stdout: str
    """What the guest wrote to its standard output."""
    stderr: str
    usage: Usage | None = None
    """None when the run ended before the guest could be counted."""
    best_epoch: int | None = None
    """With early stopping: the epoch whose validation loss, or without such data training loss, was best."""
    best_loss: float | None = None
    """The loss of that epoch."""
    best_restored: bool = False
    """The model has that epoch's weights and buffers."""
    reason: str = ""
    """For an interrupted run, one sentence with the last step and epoch."""

    def save(self, path: str | Path) -> None:
        """Writes the model to `path`, all or nothing. Errors: `RuntimeFailure` with the system's reason."""
        write_atomic(Path(path), self.model)


@dataclass(frozen=True)
class GuestResult:
    """How a guest ended."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float = 0.0
    peak_memory_bytes: int | None = None
    usage: Usage | None = None
