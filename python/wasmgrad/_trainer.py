"""The training host from NumPy arrays, in this process and without WebAssembly. A thin layer over `_core`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack

from . import _core
from ._errors import InvalidArgument, NotFound
from ._files import write_atomic
from ._options import Loss, TrainingOptions, set_options
from ._result import EpochMetrics, Event, Metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays: TypeAlias = NDArray[Any] | Mapping[str, NDArray[Any]] | Sequence[NDArray[Any]]

__all__ = ["Dataset", "FitResult", "Trainer"]


class Dataset:
    """Rows of inputs and targets, as arrays of u8, f16, f32, f64, i32 or i64, copied.

    Each of both is one array [N, ...], several by position, or several by name: inputs are then matched with
    the arguments of the model's forward, targets with its outputs. The trainer that uses the data judges what
    targets mean: for the classification losses they are whole numbers [N] or [N, 1].
    """

    def __init__(self, inputs: Arrays, targets: Arrays = (), *, max_bytes: int = 4 << 30) -> None:
        self._native = _core.Dataset(_named(inputs), _named(targets), max_bytes)

    def __len__(self) -> int:
        return len(self._native)

    def split(self, fractions: Sequence[float], *, seed: int = 0) -> tuple[Dataset, ...]:
        """Deals the rows into new data sets, in an order drawn from `seed`; they share the rows' memory.

        Part i has floor(fractions[i] * len(self)) rows, and the last takes what is left when the fractions'
        sum is 1.
        """
        return tuple(_wrapped(part) for part in self._native.split(list(fractions), seed))


def _wrapped(native: _core.Dataset) -> Dataset:
    dataset = Dataset.__new__(Dataset)
    dataset._native = native
    return dataset


@dataclass(frozen=True)
class FitResult:
    """What `Trainer.fit` did."""

    epochs: tuple[EpochMetrics, ...]
    initial: Metrics | None
    """On the test set, or the validation set without one, before the first step."""
    stopped_early: bool
    seconds: float
    best_epoch: int | None = None
    """With early stopping: the epoch whose validation loss, or without such data training loss, was best."""
    best_loss: float | None = None
    """Of that epoch."""
    best_restored: bool = False
    """The model has that epoch's weights and buffers."""


class Trainer:
    """A model, an optimizer and their whole state.

    model: TorchScript or a torch.export program, as bytes or a file; it is vetted before it is loaded.
    losses: for a model of several outputs, the loss of each by name or position, with its weight when that is
    not 1; "model" when forward takes the targets too and returns the loss itself; without it, `loss` holds for
    every output that has a target. freeze: patterns of `*` and `?` over names of parameters that stay as they are.
    keep_integers: int32 and int64 inputs reach the model as int64, as embeddings need it. options: see
    `TrainingOptions`; their defaults hold here, as there is no guest. Errors: `InvalidArgument` for an option
    out of range, `SecurityError` and `InvalidEncoding` for a model that is refused.
    """

    def __init__(
        self,
        model: bytes | str | os.PathLike[str],
        *,
        losses: Mapping[str, Loss | tuple[Loss, float]] | Literal["model"] | None = None,
        freeze: Sequence[str] = (),
        keep_integers: bool = False,
        on_event: Callable[[Event], None] | None = None,
        **options: Unpack[TrainingOptions],
    ) -> None:
        name = "model" if isinstance(model, bytes) else os.fspath(model)
        archive = model if isinstance(model, bytes) else _read(model)
        model_options = {
            "losses": _weighted(losses),
            "freeze": [freeze] if isinstance(freeze, str) else list(freeze),
            "keep_integers": keep_integers,
        }
        self._native = _core.Trainer(
            archive, name, json.dumps(set_options(options)), json.dumps(model_options), on_event
        )

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self._native.epoch

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return self._native.steps

    @property
    def parameters(self) -> int:
        """Scalars that are trained."""
        return self._native.parameters

    def fit(
        self, train: Dataset, validation: Dataset | None = None, test: Dataset | None = None
    ) -> FitResult:
        """Trains until `epochs` are done, counting those before a restore; with as many done already, nothing.

        When early stopping ends it, the model has the weights and buffers of its best epoch, unless
        `early_stopping_restore_best` is False: `evaluate`, `predict`, `get_parameters` and `model` show them. What
        trains next goes on from the last epoch's, as it does after `restore`: a checkpoint has both.

        Ctrl-C raises KeyboardInterrupt after the current step; the trainer can be saved, or go on, after it.
        Errors: `InvalidArgument` when the data does not fit the model, `RuntimeFailure` when the loss is not
        finite.
        """
        report = self._native.fit(
            train._native,
            None if validation is None else validation._native,
            None if test is None else test._native,
        )
        initial = report["initial"]
        return FitResult(
            epochs=tuple(EpochMetrics.from_event(epoch) for epoch in report["epochs"]),
            initial=None if initial is None else Metrics.from_event(initial),
            stopped_early=report["stopped_early"],
            seconds=report["seconds"],
            best_epoch=report["best_epoch"],
            best_loss=report["best_loss"],
            best_restored=report["best_restored"],
        )

    def train_epoch(self, train: Dataset) -> EpochMetrics:
        """Trains one epoch, without evaluation or early stopping."""
        return EpochMetrics.from_event(self._native.train_epoch(train._native))

    def evaluate(self, data: Dataset) -> Metrics:
        """Loss and accuracy in evaluation mode; the training state does not change."""
        return Metrics.from_event(self._native.evaluate(data._native))

    def step(self, inputs: Arrays, targets: Arrays = ()) -> Metrics:
        """One optimizer step on one batch: `backward`, then `apply`."""
        return Metrics.from_event(self._native.step(_named(inputs), _named(targets)))

    def backward(self, inputs: Arrays, targets: Arrays = ()) -> Metrics:
        """Adds the gradient of the batch's mean loss to the pending gradients."""
        return Metrics.from_event(self._native.backward(_named(inputs), _named(targets)))

    def apply(self) -> None:
        """One optimizer step with the mean of the pending gradients, which are none afterwards."""
        self._native.apply()

    def predict(self, inputs: Arrays) -> NDArray[Any]:
        """The model's first output in evaluation mode, a row a sample."""
        return next(iter(self.outputs(inputs).values()))

    def outputs(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """All outputs in evaluation mode: by the model's names, or "0", "1", ... by position."""
        return self._native.predict(_named(inputs))

    def set(self, key: str, value: float) -> None:
        """Changes a hyper-parameter from the next step on.

        key: learning_rate (the base rate, which the schedule still scales), weight_decay, momentum, beta1,
        beta2, epsilon, alpha, clip_norm or clip_value (0 turns these two off). Errors: `NotFound` for another
        key, `InvalidArgument` for a value out of range.
        """
        self._native.set(key, value)

    def get_parameters(self) -> NDArray[np.float32]:
        """A copy of the trained parameters, one after the other in the model's order."""
        return self._native.get_parameters()

    def set_parameters(self, values: NDArray[np.float32]) -> None:
        """Replaces them; the optimizer's state stays. Errors: `InvalidArgument` for another size, or NaN."""
        self._native.set_parameters(values)

    def get_gradients(self) -> NDArray[np.float32]:
        """The mean of the pending gradients, in the order of the parameters."""
        return self._native.get_gradients()

    def set_gradients(self, values: NDArray[np.float32]) -> None:
        """Replaces them: `apply` then uses these."""
        self._native.set_gradients(values)

    def checkpoint(self) -> bytes:
        """The whole state as one safetensors file. Errors: `InvalidArgument` while gradients are pending."""
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


def _named(arrays: Arrays) -> list[tuple[str, NDArray[Any]]]:
    if isinstance(arrays, Mapping):
        if "" in arrays:
            raise InvalidArgument("an array has an empty name")
        return list(arrays.items())
    if isinstance(arrays, Sequence):
        return [("", array) for array in arrays]
    return [("", arrays)]


def _weighted(
    losses: Mapping[str, Loss | tuple[Loss, float]] | str | None,
) -> str | dict[str, tuple[str, float]]:
    if losses is None:
        return {}
    if isinstance(losses, str):
        if losses != "model":
            raise InvalidArgument(f"losses is '{losses}'; expected 'model' or a loss for each output")
        return losses
    return {name: (loss, 1.0) if isinstance(loss, str) else loss for name, loss in losses.items()}


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise NotFound(f"{os.fspath(path)}: cannot be read: {error.strerror}") from None
