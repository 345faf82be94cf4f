"""The training host from NumPy arrays, in this process and without WebAssembly. A thin layer over `_core`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from . import _core
from ._errors import NotFound
from ._files import write_atomic
from ._options import TrainingOptions, set_options
from ._result import EpochMetrics, Event, Metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Dataset", "FitResult", "Trainer"]


class Dataset:
    """Samples and targets, as arrays of u8, f16, f32, f64, i32 or i64.

    inputs: [N, ...]. targets: [N] or [N, 1] whole numbers for the classification losses, else [N, ...]. The
    arrays are read when a trainer first uses the data set, which checks them then and keeps its own copy for
    each kind of loss.
    """

    def __init__(self, inputs: NDArray[Any], targets: NDArray[Any], *, max_bytes: int = 4 << 30) -> None:
        self._inputs = inputs
        self._targets = targets
        self._max_bytes = max_bytes
        self._native: dict[str, _core.Dataset] = {}

    def __len__(self) -> int:
        return len(self._inputs)

    def _for_loss(self, loss: str) -> _core.Dataset:
        if loss not in self._native:
            self._native[loss] = _core.Dataset(self._inputs, self._targets, loss, self._max_bytes)
        return self._native[loss]


@dataclass(frozen=True)
class FitResult:
    """What `Trainer.fit` did."""

    epochs: tuple[EpochMetrics, ...]
    initial: Metrics | None
    """On the test set, or the validation set without one, before the first step."""
    stopped_early: bool
    seconds: float


class Trainer:
    """A model, an optimizer and their whole state.

    model: a TorchScript archive, as bytes or a file; it is vetted before it is loaded. options: see
    `TrainingOptions`; their defaults hold here, as there is no guest. Errors: `InvalidArgument` for an option
    out of range, `SecurityError` and `InvalidEncoding` for a model that is refused.
    """

    def __init__(
        self,
        model: bytes | str | os.PathLike[str],
        *,
        on_event: Callable[[Event], None] | None = None,
        **options: Unpack[TrainingOptions],
    ) -> None:
        name = "model" if isinstance(model, bytes) else os.fspath(model)
        archive = model if isinstance(model, bytes) else _read(model)
        self._native = _core.Trainer(archive, name, json.dumps(set_options(options)), on_event)

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self._native.epoch

    @property
    def parameters(self) -> int:
        """Trainable scalars of the model."""
        return self._native.parameters

    def fit(
        self, train: Dataset, validation: Dataset | None = None, test: Dataset | None = None
    ) -> FitResult:
        """Trains until `epochs` are done, counting those before a restore.

        Ctrl-C raises KeyboardInterrupt after the current step; the trainer can be saved, or go on, after it.
        Errors: `InvalidArgument` when the data does not fit the model, `RuntimeFailure` when the loss is not
        finite.
        """
        loss = self._native.loss
        report = self._native.fit(
            train._for_loss(loss),
            None if validation is None else validation._for_loss(loss),
            None if test is None else test._for_loss(loss),
        )
        initial = report["initial"]
        return FitResult(
            epochs=tuple(EpochMetrics.from_event(epoch) for epoch in report["epochs"]),
            initial=None if initial is None else Metrics.from_event(initial),
            stopped_early=report["stopped_early"],
            seconds=report["seconds"],
        )

    def evaluate(self, data: Dataset) -> Metrics:
        """Loss and accuracy in evaluation mode; the training state does not change."""
        return Metrics.from_event(self._native.evaluate(data._for_loss(self._native.loss)))

    def step(self, inputs: NDArray[Any], targets: NDArray[Any]) -> Metrics:
        """One optimizer step on one batch, [N, ...] and its targets."""
        return Metrics.from_event(self._native.step(inputs, targets))

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The model's output in evaluation mode for [N, ...] inputs, in f32."""
        return self._native.predict(inputs)

    def checkpoint(self) -> bytes:
        """The whole state as one safetensors file."""
        return self._native.checkpoint()

    def restore(self, checkpoint: bytes | str | os.PathLike[str]) -> None:
        """Takes the state of a checkpoint, given as bytes or a file.

        Errors: `InvalidEncoding` when it is none, `InvalidArgument` when it is that of another model,
        optimizer, seed or thread count. The trainer is unchanged then.
        """
        self._native.restore(checkpoint if isinstance(checkpoint, bytes) else _read(checkpoint))

    def model(self) -> bytes:
        """The model in evaluation mode, as `torch.jit.load` reads it."""
        return self._native.model()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `model()` to `path`, all or nothing."""
        write_atomic(Path(path), self.model())


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise NotFound(f"{os.fspath(path)}: cannot be read: {error.strerror}") from None
