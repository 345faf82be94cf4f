"""The training host from NumPy arrays, in this process and without WebAssembly. A thin layer over `_core`."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from .. import _core
from .._errors import InvalidArgument, ModelWarning
from .._files import write_atomic
from .adapters import chosen_adapters, write_adapters
from .arrays import flat_values, named_arrays, state_array
from .distributed import Distributed, distributed_config
from .model_bytes import model_bytes, read_bytes
from .model_options import ParameterGroup, flag, parameter_group_list, patterns, weighted_losses
from .options import Loss, TrainingOptions, set_options
from .result import EpochMetrics, Event, Metrics
from .weights import chosen_weights, read_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .arrays import Arrays
    from .model_bytes import Model

__all__ = ["Dataset", "FitResult", "Trainer"]


class Dataset:
    """Rows of inputs and targets, copied: arrays of u8, f16, f32, f64, i32 or i64 in any byte order.

    Other whole numbers and truth values become i32 or i64, which hold them exactly.

    Each of both is one array [N, ...], several by position, or several by name: inputs are then matched with
    the arguments of the model's forward, targets with its outputs. The trainer that uses the data judges what
    targets mean: for the classification losses they are whole numbers [N] or [N, 1].
    """

    def __init__(self, inputs: Arrays, targets: Arrays = (), *, max_bytes: int = 4 << 30) -> None:
        self._native = _core.Dataset(
            named_arrays(inputs, "inputs"), named_arrays(targets, "targets"), max_bytes
        )

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
    """The loss of that epoch."""
    best_restored: bool = False
    """The model has that epoch's weights and buffers."""


class Trainer:
    """A model, an optimizer and their whole state.

    model: TorchScript or a torch.export program, as bytes or a file; or a `torch.nn.Module`, a copy of which is
    scripted by `torch.jit.script`, or a `torch.export.ExportedProgram`. It is vetted before it is loaded.
    losses: for a model of several outputs, the loss of each by name or position, with its weight when that is
    not 1; "model" when forward takes the targets too and returns the loss itself; without it, `loss` holds for
    every output that has a target. parameter_groups: patterns of names, and the learning rate and weight decay of
    the parameters that match one first, such as `{"*.bias": {"weight_decay": 0}}`. keep_integers: int32 and int64
    inputs reach the model as int64, as embeddings need it. distributed: train together with the trainers of the
    other processes that torchrun started, which make the same calls in the same order: True, or a `Distributed`.
    options: see `TrainingOptions`; their defaults hold here, as there is no guest.
    Errors: `InvalidArgument` for an option out of range, `SecurityError` and `InvalidEncoding` for a model that is
    refused. A model that cannot follow the mode is told of by a `warning` event, and without `on_event` by a Python
    warning.
    """

    def __init__(
        self,
        model: Model,
        *,
        losses: Mapping[str, Loss | tuple[Loss, float]] | Literal["model"] | None = None,
        parameter_groups: Mapping[str, ParameterGroup] | None = None,
        keep_integers: bool = False,
        distributed: Distributed | bool | None = None,
        on_event: Callable[[Event], None] | None = None,
        **options: Unpack[TrainingOptions],
    ) -> None:
        archive, name = model_bytes(model)
        model_options = {
            "losses": weighted_losses(losses),
            "groups": parameter_group_list(parameter_groups),
            "keep_integers": flag("keep_integers", keep_integers),
        }
        self._native = _core.Trainer(
            archive,
            name,
            json.dumps(set_options(options)),
            json.dumps(model_options),
            json.dumps(distributed_config(distributed)),
            on_event,
        )
        if on_event is None:
            for warning in self._native.warnings:
                warnings.warn(f"model '{name}': {warning}", ModelWarning, stacklevel=2)

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self._native.epoch

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return self._native.steps

    @property
    def rank(self) -> int:
        """Which of the processes that train together this one is, from 0."""
        return self._native.rank

    @property
    def processes(self) -> int:
        """How many they are; 1 alone."""
        return self._native.processes

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the model's file training cannot follow, a sentence each."""
        return tuple(self._native.warnings)

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
        Errors: `InvalidArgument` when the data does not fit the model, `RuntimeFailure` when the loss or a gradient is
        not finite. A step that fails leaves no trace; those before it are kept, and the error says how many, unless
        the option `restore_on_error` undoes them. The next call goes on at the batch that failed.
        """
        report = self._native.fit(
            _rows(train, "train"),
            None if validation is None else _rows(validation, "validation"),
            None if test is None else _rows(test, "test"),
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
        """Trains one epoch, without evaluation or early stopping. Errors: as `fit`."""
        return EpochMetrics.from_event(self._native.train_epoch(_rows(train, "train")))

    def evaluate(self, data: Dataset) -> Metrics:
        """Loss and accuracy in evaluation mode over batches of `batch_size`; nothing of the state changes."""
        return Metrics.from_event(self._native.evaluate(_rows(data, "data")))

    def step(self, inputs: Arrays, targets: Arrays = ()) -> Metrics:
        """One optimizer step on one batch: `backward`, then `apply`. An error leaves no trace of it."""
        return Metrics.from_event(
            self._native.step(named_arrays(inputs, "inputs"), named_arrays(targets, "targets"))
        )

    def backward(self, inputs: Arrays, targets: Arrays = ()) -> Metrics:
        """Adds the gradient of the batch's mean loss to the pending gradients."""
        return Metrics.from_event(
            self._native.backward(named_arrays(inputs, "inputs"), named_arrays(targets, "targets"))
        )

    def apply(self) -> None:
        """One optimizer step with the mean of the pending gradients, which are none afterwards."""
        self._native.apply()

    def predict(self, inputs: Arrays) -> NDArray[Any]:
        """The model's first output in evaluation mode, of all rows as one batch.

        Where they do not fit into memory together, the option `predict_batch_size` cuts them.
        """
        outputs = self.outputs(inputs)
        if not outputs:
            raise InvalidArgument("the model returned no Tensor to predict with")
        return next(iter(outputs.values()))

    def outputs(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """All outputs, as `predict` computes them: by the model's names, or "0", "1", ... by position."""
        return self._native.predict(named_arrays(inputs, "inputs"))

    def set(self, key: str, value: float) -> None:
        """Changes a hyper-parameter from the next step on.

        key: an option that can change by the table in docs/training-abi.md, such as learning_rate (the base rate,
        which the schedule still scales); 0 turns clip_norm and clip_value off. Errors: `NotFound`, with the list of
        keys, for another one; `InvalidArgument` for a value out of range.
        """
        if not isinstance(key, str) or not isinstance(value, Real):
            raise InvalidArgument(f"{key!r} cannot be set to {value!r}; expected a name and a number")
        try:
            self._native.set(key, float(value))
        except OverflowError:
            raise InvalidArgument(f"{key!r} cannot be set: the number is beyond those of 64 bits") from None

    def get_parameters(self) -> NDArray[np.float32]:
        """A copy of the trained parameters, one after the other in the model's order."""
        return self._native.get_parameters()

    def set_parameters(self, values: NDArray[np.float32]) -> None:
        """Replaces them; the optimizer's state stays. Errors: `InvalidArgument` for another size, or NaN."""
        self._native.set_parameters(flat_values(values, "the parameters"))

    def get_gradients(self) -> NDArray[np.float32]:
        """The mean of the pending gradients, in the order of the parameters."""
        return self._native.get_gradients()

    def set_gradients(self, values: NDArray[np.float32]) -> None:
        """Replaces them: `apply` then uses these."""
        self._native.set_gradients(flat_values(values, "the gradients"))

    def get_buffers(self) -> NDArray[np.float32]:
        """A copy of the buffers of floating point, such as batch norm's running statistics, in the model's order.

        Who averages models takes the mean of these too: they are part of what the model computes.
        """
        return self._native.get_buffers()

    def set_buffers(self, values: NDArray[np.float32]) -> None:
        """Replaces them. Errors: `InvalidArgument` for another size, or NaN that was not there before."""
        self._native.set_buffers(values)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of all parameters and buffers by their names, as PyTorch's `state_dict` has them.

        Each in its own type; bfloat16 comes as float32, truth values as uint8. Frozen parameters and counters
        such as `num_batches_tracked` are among them; the optimizer's state is not (`checkpoint` has it).
        """
        return self._native.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replaces all parameters and buffers: arrays, or what `numpy.asarray` takes, of the model's names and shapes.

        Values are converted to the model's types, as PyTorch does. The optimizer's state stays. Errors:
        `InvalidArgument`, naming the tensor, when one is missing, unknown, of another shape, or a trained one
        is not finite. The model is unchanged then.
        """
        self._native.set_state([(name, state_array(name, values)) for name, values in state.items()])

    def load_weights(
        self,
        source: str | Path | bytes | Mapping[str, Any],
        *,
        only: str | Sequence[str] = "*",
        strict: bool = True,
    ) -> list[str]:
        """Takes parameters and buffers by name from a safetensors file, its bytes or a state dict.

        only: patterns of `*` and `?` over the model's names; what matches none stays as it is ("backbone.*").
        strict: every name that matches is in the source, and no other there; without it, those in both are taken.
        Returns the names that stayed as they were. Errors: `InvalidArgument` for names or shapes that do not fit,
        `InvalidEncoding` and `RuntimeFailure` for a file that cannot be read. The model is unchanged then.
        Low-rank branches (option `lora`) are not asked for: `load_adapters` takes them.
        """
        state = self.state_dict()
        own = {name: value for name, value in state.items() if name not in self._native.branches}
        chosen = chosen_weights(own, read_weights(source), patterns("only", only), strict)
        weights = {**state, **chosen}
        self.load_state_dict(weights)
        return [name for name in own if weights[name] is state[name]]

    def save_weights(self, path: str | Path) -> None:
        """Writes all parameters and buffers to a safetensors file, by the model's names.

        They are those of `state_dict`; low-rank branches (option `lora`) are merged into their weights.
        """
        write_atomic(Path(path), self._native.weights())

    def save_adapters(self, folder: str | Path) -> None:
        """Writes the low-rank branches (option `lora`) to a folder that `peft.PeftModel.from_pretrained` reads.

        It holds adapter_model.safetensors and adapter_config.json. Errors: `InvalidArgument` when there are none,
        `RuntimeFailure` when it cannot be written.
        """
        write_adapters(Path(folder), self._native.adapters())

    def load_adapters(self, source: str | Path | bytes | Mapping[str, Any]) -> None:
        """Takes low-rank branches from a folder that PEFT or `save_adapters` wrote, a safetensors file or a state dict.

        Errors: `InvalidArgument` for branches of other weights, of another rank, or scaled in another way;
        `InvalidEncoding` and `RuntimeFailure` for a file that cannot be read. The model is unchanged then.
        """
        state = self.state_dict()
        branches = {name: state[name] for name in self._native.branches}
        self.load_state_dict({**state, **chosen_adapters(branches, self._native.adapters(), source)})

    def checkpoint(self) -> bytes:
        """The whole state as one safetensors file. Errors: `InvalidArgument` while gradients are pending."""
        return self._native.checkpoint()

    def restore(self, checkpoint: bytes | str | os.PathLike[str]) -> None:
        """Takes the state of a checkpoint, given as bytes or a file.

        Errors: `InvalidEncoding` when it is none, `InvalidArgument` when it is that of another model,
        optimizer, seed or thread count. The trainer is unchanged then.
        """
        self._native.restore(checkpoint if isinstance(checkpoint, bytes) else read_bytes(checkpoint))

    def model(self) -> bytes:
        """The model in evaluation mode, as `torch.jit.load` reads it."""
        return self._native.model()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `model()` to `path`, all or nothing."""
        write_atomic(Path(path), self.model())


def _rows(data: Dataset, what: str) -> _core.Dataset:
    if not isinstance(data, Dataset):
        raise InvalidArgument(f"{what} is a {type(data).__name__}; expected a wasmgrad.Dataset")
    return data._native
