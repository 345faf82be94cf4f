"""What `wasmgrad run` does between its options and its printing: files to inputs, outputs to classes and files."""

from __future__ import annotations

import io
import os
import statistics
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .._errors import Error, InvalidArgument, InvalidEncoding, NotFound, RuntimeFailure
from .._files import write_atomic
from . import pictures
from .format.metadata import GraphMetadata, PlanInfo, TensorInfo
from .pictures import Classified
from .pool import Outcome

__all__ = [
    "ARRAYS",
    "AnyInput",
    "InputReader",
    "ProfileRow",
    "Result",
    "check_output",
    "listed",
    "picture_input",
    "profile",
    "read_arrays",
    "write_outputs",
]

ARRAYS = (".npy", ".npz")
"""Suffixes of files that hold arrays; all others are pictures."""

_IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Result:
    """What one input file gave: the outputs, and of a picture its sizes (width, height) and most probable classes."""

    path: Path
    outputs: dict[str, NDArray[Any]]
    seconds: float
    original: tuple[int, int] | None = None
    resized: tuple[int, int] | None = None
    classes: tuple[Classified, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON: everything but the outputs' elements."""
        return {
            "input": str(self.path),
            "seconds": self.seconds,
            "original": self.original,
            "resized": self.resized,
            "classes": [found._asdict() for found in self.classes],
            "outputs": {
                name: {"dtype": str(array.dtype), "shape": array.shape}
                for name, array in self.outputs.items()
            },
        }


class Model(Protocol):
    """What a `GraphModule` is here."""

    @property
    def metadata(self) -> GraphMetadata:
        """What the module says about itself."""

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """Of the inputs, in order."""

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """Of the outputs, in order."""

    @property
    def plan(self) -> PlanInfo:
        """The plan that was fed last."""

    def __call__(self, /, *arrays: Any, **named: Any) -> NDArray[Any] | tuple[NDArray[Any], ...]:
        """Run on arrays."""

    def feed(self, /, *arrays: Any, **named: Any) -> None:
        """Take arrays."""

    def run(self) -> float:
        """Run on what was fed; the seconds it took."""

    def results(self) -> NDArray[Any] | tuple[NDArray[Any], ...]:
        """Give the outputs."""

    def profile_run(self) -> list[float]:
        """Run call by call; the seconds of each."""

    def close(self) -> None:
        """Free the instance."""


class ProfileRow(NamedTuple):
    """One call of the plan: its time, its speed, and its share of the whole time."""

    name: str
    kernel: str
    seconds: float
    gflops: float
    share: float


class AnyInput:
    """Runs a module on what `GraphModule.map` takes: arrays, or files as they are."""

    def __init__(self, module: Model) -> None:
        self._module = module
        self._reader = InputReader(module, None, None)

    def run(self, given: Any) -> Any:
        """What a call gives for arrays, a `Result` for a path."""
        if isinstance(given, str | os.PathLike):
            return self._reader.run(Path(given))
        if isinstance(given, Mapping):
            return self._module(**given)
        return self._module(*given) if isinstance(given, tuple) else self._module(given)

    def close(self) -> None:
        """Frees the module."""
        self._module.close()


class InputReader:
    """Runs a module on files. `preprocess` and `labels` replace what the module says about pictures and classes.

    Errors, of the constructor too: `NotFound`, `InvalidEncoding`, `InvalidArgument`, each naming the file.
    """

    def __init__(self, module: Model, preprocess: str | None, labels: Path | None) -> None:
        self._module = module
        self._choice = preprocess
        self._labels = module.metadata.labels if labels is None else pictures.read_labels(labels)

    def run_all(self, paths: Iterable[Path]) -> Iterator[Outcome]:
        """One file after the other; one that fails does not end the others."""
        for path in paths:
            try:
                yield Outcome(path, self.run(path))
            except Error as error:
                yield Outcome(path, error=error)

    def run(self, path: Path) -> Result:
        """Feeds one file and runs the module."""
        if path.suffix not in ARRAYS:
            return self._run_picture(path)
        self._module.feed(**read_arrays(path, self._module.metadata.inputs))
        seconds = self._module.run()
        return Result(path, self._outputs(), seconds)

    def close(self) -> None:
        """Frees the module."""
        self._module.close()

    def _run_picture(self, path: Path) -> Result:
        info = picture_input(path, self._module.metadata.inputs)
        how = self._module.metadata.preprocess
        if self._choice is not None or how is None:
            how = pictures.preprocessing(self._choice or "imagenet", info)
        image = pictures.open_image(path)
        self._module.feed(pictures.to_tensor(image, how, info))
        seconds = self._module.run()
        outputs = self._outputs()
        scores = next(iter(outputs.values()))
        labels = self._labels
        if labels is None and scores.size == _IMAGENET_CLASSES:
            labels = pictures.imagenet_labels()
        classes = pictures.classify(scores, labels) if scores.size else []
        return Result(path, outputs, seconds, image.size, (how.crop[1], how.crop[0]), tuple(classes))

    def _outputs(self) -> dict[str, NDArray[Any]]:
        values = self._module.results()
        names = [info.name for info in self._module.outputs]
        return dict(zip(names, values if isinstance(values, tuple) else (values,), strict=True))


def listed(inputs: Sequence[Path]) -> list[Path]:
    """The inputs with the arrays and pictures of a folder, by name, in its place.

    Errors: `InvalidArgument` for a folder without any, `RuntimeFailure` for one that cannot be read.
    """
    files = []
    for path in inputs:
        if not path.is_dir():
            files.append(path)
            continue
        try:
            found = sorted(
                file for file in path.iterdir() if pictures.is_picture(file) or file.suffix in ARRAYS
            )
        except OSError as error:
            raise RuntimeFailure(f"{path}: cannot be read: {error.strerror or error}") from error
        if not found:
            raise InvalidArgument(f"{path}: this folder has no pictures and no .npy or .npz files")
        files += found
    return files


def picture_input(path: Path, inputs: Sequence[TensorInfo]) -> TensorInfo:
    """The input that the picture `path` becomes. Errors: `InvalidArgument` unless there is one, of batch 1."""
    info = inputs[0] if len(inputs) == 1 else None
    if info is None or not info.shape or info.shape[0] != 1:
        listed = ", ".join(map(str, inputs))
        raise InvalidArgument(f"{path}: a picture needs a model with one input of batch 1, not {listed}")
    return info


def read_arrays(path: Path, inputs: Sequence[TensorInfo]) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by their names, or that of an .npy file by the name of the only input.

    Errors: `NotFound`, `InvalidEncoding`, `RuntimeFailure` when it cannot be read, `InvalidArgument` for one array and
    several inputs.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: this file does not exist") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidEncoding(f"{path}: not an array file of NumPy: {error}") from error
    except OSError as error:
        raise RuntimeFailure(f"{path}: cannot be read: {error.strerror or error}") from error
    if isinstance(loaded, np.ndarray):
        if len(inputs) != 1:
            listed = ", ".join(map(str, inputs))
            raise InvalidArgument(f"{path}: one array for a model with the inputs {listed}; expected an .npz")
        return {inputs[0].name: loaded}
    with loaded:
        try:
            return dict(loaded)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InvalidEncoding(f"{path}: not an array file of NumPy: {error}") from error


def profile(module: Model, repeat: int) -> list[ProfileRow]:
    """The time of each call of the plan on the inputs last fed; medians of `repeat` runs."""
    runs = [module.profile_run() for _ in range(repeat)]
    medians = [statistics.median(times) for times in zip(*runs, strict=True)]
    whole = max(sum(medians), 1e-12)
    return [
        ProfileRow(entry.name, entry.kernel, seconds, entry.flops / max(seconds, 1e-9) / 1e9, seconds / whole)
        for entry, seconds in zip(module.plan.plan, medians, strict=True)
    ]


def check_output(path: Path, module: Model) -> None:
    """Errors: `InvalidArgument` when the module's outputs cannot go to a file of that name."""
    if path.suffix not in ARRAYS:
        raise InvalidArgument(f"--output {path}: expected a name that ends in .npy or .npz")
    if path.suffix == ".npy" and len(module.outputs) != 1:
        raise InvalidArgument(
            f"--output {path}: the model has {len(module.outputs)} outputs; expected an .npz"
        )


def write_outputs(path: Path, module: Model, results: list[Result]) -> None:
    """Writes the outputs, those of several inputs joined along the first axis.

    Errors: `InvalidArgument` where shapes do not allow that, `RuntimeFailure`.
    """
    joined = {info.name: _joined(info.name, path, results) for info in module.outputs}
    buffer = io.BytesIO()
    if path.suffix == ".npy":
        np.save(buffer, joined[module.outputs[0].name])
    else:
        np.savez(buffer, allow_pickle=False, **joined)
    write_atomic(path, buffer.getvalue())


def _joined(name: str, path: Path, results: list[Result]) -> NDArray[Any]:
    arrays = [result.outputs[name] for result in results]
    if len(arrays) == 1:
        return arrays[0]
    arrays = list(map(np.atleast_1d, arrays))
    if len({array.shape[1:] for array in arrays}) > 1:
        shapes = ", ".join(str(list(array.shape)) for array in arrays)
        raise InvalidArgument(f"--output {path}: {name} has the shapes {shapes}, which cannot be joined")
    return np.concatenate(arrays)
