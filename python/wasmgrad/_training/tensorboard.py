"""A run's events as TensorBoard event files. It sees events only."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from .._errors import InvalidArgument, RuntimeFailure, Unsupported
from .result import Event

__all__ = ["TensorBoardLog"]

_METRICS = ("loss", "accuracy", "top_k_accuracy")


class TensorBoardLog:
    """Writes events to `log_dir`, as `on_event` of a run; a context manager, so that the files are whole.

    Scalars: `train/...`, `validation/...` and `test/...` (loss, accuracy, top_k_accuracy), `learning_rate` and
    `samples_per_second`, each over optimizer steps; `usage/...` once, at the end. The options of the run are
    kept as text.

    Errors: `Unsupported` without the package tensorboardX, `InvalidArgument` when `log_dir` is no directory that
    can be made, `RuntimeFailure` when it cannot be written to.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise Unsupported(
                "TensorBoard logs need the package tensorboardX: pip install 'wasmgrad[tensorboard]'"
            ) from error
        try:
            self._writer = SummaryWriter(os.fspath(log_dir))
        except (FileExistsError, NotADirectoryError) as error:
            raise InvalidArgument(f"log directory '{os.fspath(log_dir)}': it is a file") from error
        except OSError as error:
            raise RuntimeFailure(f"log directory '{os.fspath(log_dir)}': {error.strerror}") from error
        self._step = 0
        self._batches = 0

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def __call__(self, event: Event) -> None:
        """Logs one event; those without figures are left out."""
        match event["event"]:
            case "fit":
                self._batches = event["batches"]
                options = "\n".join(f"{key}: {value}  " for key, value in event.items() if key != "event")
                self._writer.add_text("options", options, self._step)
            case "initial":
                self._add("test", event)
            case "progress":
                self._step = (event["epoch"] - 1) * event["batches"] + event["batch"]
                self._add("train", event)
                self._scalar("samples_per_second", event["samples_per_second"])
            case "epoch":
                self._step = event["epoch"] * self._batches
                for part in ("train", "validation", "test"):
                    self._add(part, event.get(part) or {})
                self._scalar("learning_rate", event["learning_rate"])
                self._scalar("samples_per_second", event["samples_per_second"])
            case "steps":
                self._step = event["step"]
                self._add("train", event)
                self._scalar("learning_rate", event["learning_rate"])
            case "evaluation":
                self._step = event["step"]
                self._add("validation", event)
            case "usage":
                for key, value in event.items():
                    if key != "event":
                        self._scalar(f"usage/{key}", value)

    def _add(self, part: str, metrics: Event) -> None:
        for key in _METRICS:
            self._scalar(f"{part}/{key}", metrics.get(key))

    def _scalar(self, tag: str, value: Any) -> None:
        # A loss that is not finite is null in an event.
        if value is not None:
            self._writer.add_scalar(tag, value, self._step)
