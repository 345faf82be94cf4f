"""The inputs that a model is calibrated and measured on: arrays and pictures from files, or random numbers.

It knows nothing of quantization.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._errors import InvalidArgument, NotFound
from ..._graph import pictures
from ..._graph.format.metadata import Preprocess, TensorInfo
from ..._graph.inputs import ARRAYS, picture_input, read_arrays

__all__ = ["Sample", "read_samples"]

Sample = dict[str, NDArray[Any]]
"""An array for each input, by name, of the input's shape and type."""


def read_samples(
    files: Sequence[str | os.PathLike[str]],
    inputs: Sequence[TensorInfo],
    preprocess: Preprocess | str | None,
) -> list[Sample]:
    """The samples in `files`: one in a picture, as many in an array as its first axis is longer than the input's.

    files: pictures, .npy and .npz files, and folders, of which all files are taken in the order of their names.
    preprocess: how pictures become the input, as in `CompileOptions`.

    Errors: `NotFound`, `InvalidEncoding`, `TooLarge`, and `InvalidArgument` for arrays that are not the model's inputs,
    pictures without `preprocess`, and empty folders; each naming the file.
    """
    samples: list[Sample] = []
    for path in _listed(files):
        if path.suffix in ARRAYS:
            samples += _cut(path, read_arrays(path, inputs), inputs)
        else:
            samples.append(_picture(path, inputs, preprocess))
    return samples


def _listed(files: Sequence[str | os.PathLike[str]]) -> list[Path]:
    listed: list[Path] = []
    for path in map(Path, files):
        if not path.is_dir():
            listed.append(path)
            continue
        found = sorted(entry for entry in path.iterdir() if entry.is_file() and entry.name[0] != ".")
        if not found:
            raise NotFound(f"{path}: this folder has no files; name one with pictures or arrays")
        listed += found
    return listed


def _picture(path: Path, inputs: Sequence[TensorInfo], preprocess: Preprocess | str | None) -> Sample:
    image = pictures.open_image(path)
    info = picture_input(path, inputs)
    if preprocess is None:
        raise InvalidArgument(f"{path}: say with preprocess how a picture becomes {info}")
    how = pictures.preprocessing(preprocess, info) if isinstance(preprocess, str) else preprocess
    return {info.name: pictures.to_tensor(image, how, info)}


def _cut(path: Path, arrays: Mapping[str, NDArray[Any]], inputs: Sequence[TensorInfo]) -> list[Sample]:
    """Samples of the inputs' own shapes, one after another along the first axis."""
    names = [info.name for info in inputs]
    if set(arrays) != set(names):
        raise InvalidArgument(
            f"{path}: holds the arrays {', '.join(arrays) or 'none'}; the model's inputs are {', '.join(names)}"
        )
    counts = {info.name: _count(path, arrays[info.name], info) for info in inputs}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise InvalidArgument(f"{path}: expected as many samples of each input, not {listed}")
    samples = range(next(iter(counts.values()), 0))
    return [
        {
            info.name: np.ascontiguousarray(arrays[info.name].reshape(-1, *info.shape)[index])
            for info in inputs
        }
        for index in samples
    ]


def _count(path: Path, array: NDArray[Any], info: TensorInfo) -> int:
    """How many samples an array holds."""
    if array.dtype != info.numpy_dtype:
        raise InvalidArgument(f"{path}: expected numbers of {info}, not {array.dtype}")
    if array.shape == info.shape:
        return 1
    fits = array.ndim == len(info.shape) > 0 and array.shape[1:] == info.shape[1:]
    if not fits or 0 in info.shape or array.shape[0] == 0 or array.shape[0] % info.shape[0]:
        raise InvalidArgument(
            f"{path}: an array of shape {list(array.shape)} does not hold whole samples of {info}"
        )
    return int(array.shape[0] // info.shape[0])
