"""Models that train where they are: a step, an evaluation, a prediction, over parameters that the module keeps.

The names of tensors are those of the training host's checkpoints: what was trained there goes on here, and back.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._errors import InvalidArgument, InvalidEncoding, RuntimeFailure
from .._files import write_atomic
from .._metrics import Metrics
from .engines import Engine, create
from .format.metadata import PlanInfo, TensorInfo, Training
from .module import GraphModule

__all__ = ["TrainingModule"]

_STATUS = (
    (8, "the module takes {least} to {batch} rows, not {rows}"),
    (4, "a target is none of the {classes} classes, which are 0 to {last}"),
    (1, "the loss is {loss}; training cannot go on (a lower learning rate or gradient clipping may help)"),
    (
        2,
        "a gradient is not finite; training cannot go on (a lower learning rate or a clip by value may help)",
    ),
)
_SHARED = (
    "step",
    "mu_product",
)  # of the optimizer: one for all parameters here, one for each in a checkpoint


class TrainingModule(GraphModule):
    """A compiled training step, ready to run. It is made by `load`.

    `step`, `evaluate` and `predict` take the model's inputs, by position or by name, and the first two the targets
    after them, as `target`. A batch may have fewer rows than it was compiled for, where the metadata says so;
    evaluations and predictions take any number of rows.
    """

    @property
    def training(self) -> Training:
        """What the module says of its training."""
        assert self.metadata.training is not None
        return self.metadata.training

    def __call__(self, /, *arrays: Any, **named: Any) -> NDArray[Any] | tuple[NDArray[Any], ...]:
        """As `predict`."""
        return self.predict(*arrays, **named)

    def step(self, /, *arrays: Any, **named: Any) -> Metrics:
        """One optimizer step on one batch; its loss, and accuracies where the loss has classes.

        Errors: `InvalidArgument` for arrays that do not fit, or a target that is no class; `RuntimeFailure` when the
        loss or a gradient is not finite. Either leaves parameters and optimizer state as they were.
        """
        plan, values, rows = self._batch("step", arrays, named)
        if rows != self.training.batch and not self.training.partial:
            raise InvalidArgument(
                f"a step takes {self.training.batch} rows, not {rows}: in this model the rows of a batch have to do "
                "with each other, so that fewer cannot be filled up"
            )
        found = self._run("step", plan, values, rows)
        self._check(int(found["status"]), found["loss"], rows)
        return self._means([found], [rows])

    def evaluate(self, /, *arrays: Any, **named: Any) -> Metrics:
        """Means over all rows, in evaluation mode. Errors: as `step`, but for what is not finite."""
        plan, values, rows = self._whole("evaluate", arrays, named)
        found, counts = [], []
        for begin, end in self._pieces(rows):
            part = self._run("evaluate", plan, [value[begin:end] for value in values], end - begin)
            self._check(int(part["status"]) & ~3, part["loss"], end - begin)
            found.append(part)
            counts.append(end - begin)
        return self._means(found, counts)

    def predict(self, /, *arrays: Any, **named: Any) -> NDArray[Any] | tuple[NDArray[Any], ...]:
        """The model's outputs in evaluation mode, a row for each of the inputs': one array, or a tuple of several."""
        plan, values, rows = self._whole("predict", arrays, named)
        parts = [
            self._run("predict", plan, [value[begin:end] for value in values], None)
            for begin, end in self._pieces(rows)
        ]
        outputs = []
        for info in plan.outputs:
            pieces = [
                part[info.name][: end - begin]
                for part, (begin, end) in zip(parts, self._pieces(rows), strict=True)
            ]
            outputs.append(
                np.concatenate(pieces) if pieces else np.zeros((0, *info.shape[1:]), info.numpy_dtype)
            )
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def set(self, name: str, value: float) -> None:
        """Changes a hyper-parameter, such as `learning_rate`. Errors: `InvalidArgument` for one that it has not."""
        self._check_setting(name)
        if not math.isfinite(value) or value < 0:
            raise InvalidArgument(f"{name}: expected a finite number of at least 0, not {value!r}")
        self.set_state(f"settings.{name}", np.array(value))

    def get(self, name: str) -> float:
        """A hyper-parameter. Errors: `InvalidArgument` for one that it does not have."""
        self._check_setting(name)
        return float(self.state(f"settings.{name}"))

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the hyper-parameters that may change."""
        return tuple(self._names("settings."))

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of the parameters that it trains and the buffers that steps change, by their names in the model."""
        return {name: self.state(f"model.{name}") for name in self._names("model.")}

    def load_state_dict(self, tensors: Mapping[str, Any], strict: bool = True) -> None:
        """Takes parameters and buffers, by their names in the model.

        Those that are part of the module cannot change: they have to be what they are there. strict: all that the
        module trains must be there, and nothing else. Errors: `InvalidArgument`; then nothing has changed.
        """
        own = self._names("model.")
        fixed = {each.name: each.sha256 for each in self.training.fixed}
        missing = [name for name in own if name not in tensors]
        unknown = [name for name in tensors if name not in own and name not in fixed]
        if strict and (missing or unknown):
            lacks = f"the weights lack {_some(missing)}" if missing else ""
            more = f"the model has no {_some(unknown)}" if unknown else ""
            raise InvalidArgument(" and ".join(filter(None, (lacks, more))))
        arrays = {name: _array(value) for name, value in tensors.items() if name in own or name in fixed}
        for name, array in arrays.items():
            if (
                name in fixed
                and hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() != fixed[name]
            ):
                raise InvalidArgument(
                    f"{name}: is frozen in this module, and not the same there; compile the model with these weights"
                )
        self._set_all({f"model.{name}": array for name, array in arrays.items() if name in own})

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Writes `state_dict()` as a safetensors file, as the training host does its weights."""
        _write(path, self.state_dict())

    def load_weights(self, path: str | os.PathLike[str], strict: bool = True) -> None:
        """Takes the parameters and buffers of a safetensors file. Errors: as `load_state_dict`; of reading."""
        self.load_state_dict(_read(path), strict)

    def checkpoint(self) -> dict[str, NDArray[Any]]:
        """All that steps change, by the names of the training host's checkpoints: `model.*` and `optimizer.*`."""
        tensors = {f"model.{name}": array for name, array in self.state_dict().items()}
        for name in self._names("optimizer."):
            value = self.state(f"optimizer.{name}")
            if name in _SHARED:
                tensors |= {f"optimizer.{name}.{each}": value.copy() for each in self._trained()}
            else:
                tensors[f"optimizer.{name}"] = value
        return tensors

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Takes what `checkpoint` gave, or the tensors of a checkpoint of the training host.

        Errors: `InvalidArgument`, naming what is missing or does not fit; then nothing has changed.
        """
        taken = {}
        for name in [
            *(f"model.{n}" for n in self._names("model.")),
            *(f"optimizer.{n}" for n in self._names("optimizer.")),
        ]:
            own = name.removeprefix("optimizer.")
            if name.startswith("optimizer.") and own in _SHARED:
                each = [_array(tensors[f"{name}.{n}"]) for n in self._trained() if f"{name}.{n}" in tensors]
                if not each or any(not np.array_equal(value, each[0]) for value in each):
                    raise InvalidArgument(
                        f"checkpoint: {name} must be there, and the same for all parameters"
                    )
                taken[name] = each[0]
            elif name in tensors:
                taken[name] = _array(tensors[name])
            else:
                raise InvalidArgument(f"checkpoint: tensor {name!r} is missing there")
        self._set_all(taken)

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Writes `checkpoint()` as a safetensors file."""
        _write(path, self.checkpoint())

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """As `restore`, of a safetensors file. Errors: of reading, too."""
        self.restore(_read(path))

    def reset(self) -> None:
        """Makes everything what it was when the module was loaded."""
        self._engine.close()
        self._engine: Engine = create(self._engine_name, self._graph, self._threads)
        self._chosen, self._plan = (0, 0), self._plans[0]

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a training module cannot be pickled: load the file again, and restore a checkpoint")

    def _trained(self) -> list[str]:
        """Parameters with optimizer state of their own, else all that the module keeps."""
        lists = [name for name in self._names("optimizer.") if name not in _SHARED]
        return list(dict.fromkeys(name.partition(".")[2] for name in lists))

    def _names(self, prefix: str) -> list[str]:
        return [info.name.removeprefix(prefix) for info in self.states if info.name.startswith(prefix)]

    def _check_setting(self, name: str) -> None:
        if name not in self.settings:
            raise InvalidArgument(
                f"{name!r} cannot be changed; the module has the hyper-parameters {', '.join(self.settings)}"
            )

    def _set_all(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        infos = {info.name: info for info in self.states}
        for name, array in arrays.items():
            info = infos[name]
            if array.shape != info.shape or array.dtype != info.numpy_dtype:
                raise InvalidArgument(
                    f"{name}: expected {info.dtype}{list(info.shape)}, got {array.dtype}{list(array.shape)}"
                )
        for name, array in arrays.items():
            self.set_state(name, array)

    def _plan_of(self, entry: str) -> PlanInfo:
        return next(plan for plan in self._plans if plan.entry == entry)

    def _whole(
        self, entry: str, arrays: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[PlanInfo, list[NDArray[Any]], int]:
        """The plan, its inputs but for the number of rows, and that number."""
        plan = self._plan_of(entry)
        infos = [info for info in plan.inputs if info.name != "rows"]
        names = [info.name for info in infos]
        listed = f"{entry} takes {', '.join(map(str, infos))}"
        if len(arrays) > len(names) or any(name not in names for name in named):
            raise InvalidArgument(f"too many arrays, or one of another name; {listed}")
        given = dict(zip(names, arrays, strict=False))
        if twice := [name for name in named if name in given]:
            raise InvalidArgument(f"input {twice[0]!r} is given by position and by name")
        given |= named
        if missing := [name for name in names if name not in given]:
            raise InvalidArgument(f"no array for {', '.join(map(repr, missing))}; {listed}")
        values = [_fitting(info, _array(given[info.name])) for info in infos]
        rows = {len(value) for value in values}
        if len(rows) != 1:
            raise InvalidArgument(
                f"the arrays have {', '.join(map(str, sorted(rows)))} rows; expected as many in each"
            )
        return plan, values, rows.pop()

    def _batch(
        self, entry: str, arrays: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[PlanInfo, list[NDArray[Any]], int]:
        plan, values, rows = self._whole(entry, arrays, named)
        if not self.training.least <= rows <= self.training.batch:
            raise InvalidArgument(
                f"a {entry} takes {self.training.least} to {self.training.batch} rows, not {rows}; a larger batch "
                "needs a module that is compiled for it"
            )
        return plan, values, rows

    def _pieces(self, rows: int) -> Iterator[tuple[int, int]]:
        for begin in range(0, rows, self.training.batch):
            yield begin, min(rows, begin + self.training.batch)

    def _run(
        self, entry: str, plan: PlanInfo, values: Sequence[NDArray[Any]], rows: int | None
    ) -> dict[str, NDArray[Any]]:
        """The outputs for a batch that is filled up with zeros."""
        infos = [info for info in plan.inputs if info.name != "rows"]
        feeds: dict[str, Any] = {
            info.name: _filled(info, value) for info, value in zip(infos, values, strict=True)
        }
        if rows is not None:
            feeds["rows"] = np.array(rows, np.int64)
        results = self.entry(entry)(**feeds)
        results = results if isinstance(results, tuple) else (results,)
        return {info.name: value for info, value in zip(plan.outputs, results, strict=True)}

    def _check(self, status: int, loss: NDArray[Any], rows: int) -> None:
        training = self.training
        for bit, sentence in _STATUS:
            if status & bit:
                text = sentence.format(
                    rows=rows,
                    least=training.least,
                    batch=training.batch,
                    loss=float(loss),
                    classes=training.classes,
                    last=training.classes - 1,
                )
                raise (InvalidArgument if bit in (4, 8) else RuntimeFailure)(text)

    def _means(self, found: Sequence[Mapping[str, NDArray[Any]]], rows: Sequence[int]) -> Metrics:
        samples = sum(rows)
        if samples == 0:
            return Metrics(loss=0.0)
        loss = sum(float(each["loss"]) * count for each, count in zip(found, rows, strict=True)) / samples
        ranked, correct, in_top_k = (
            sum(int(each[name]) for each in found) for name in ("ranked", "correct", "in_top_k")
        )
        if ranked == 0:
            return Metrics(loss, samples=samples)
        top = in_top_k / ranked if self.training.classes > self.training.top_k else None
        return Metrics(loss, correct / ranked, top, samples)


def _fitting(info: TensorInfo, array: NDArray[Any]) -> NDArray[Any]:
    """Errors: `InvalidArgument` unless it is rows of the input."""
    if array.dtype != info.numpy_dtype:
        raise InvalidArgument(f"input {info.name!r}: expected dtype {info.dtype}, got {array.dtype}")
    if array.ndim != len(info.shape) or array.shape[1:] != info.shape[1:]:
        raise InvalidArgument(
            f"input {info.name!r}: expected rows of shape {list(info.shape[1:])}, got {list(array.shape)}"
        )
    return array


def _filled(info: TensorInfo, array: NDArray[Any]) -> NDArray[Any]:
    if len(array) == info.shape[0]:
        return array
    return np.concatenate([array, np.zeros((info.shape[0] - len(array), *array.shape[1:]), array.dtype)])


def _array(value: Any) -> NDArray[Any]:
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def _write(path: str | os.PathLike[str], tensors: Mapping[str, NDArray[Any]]) -> None:
    import safetensors.numpy

    ready = {name: np.array(array, order="C") for name, array in tensors.items()}
    write_atomic(Path(path), safetensors.numpy.save(ready))


def _read(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Errors: `RuntimeFailure`, `InvalidEncoding`."""
    import safetensors.numpy

    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RuntimeFailure(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InvalidEncoding(f"{path}: is not a safetensors file: {error}") from error


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
