"""From what a caller hands in to the functions of a training step: the model is vetted, as on the training host."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ... import _core
from ..._errors import Error, InvalidArgument, Unsupported
from ..._graph.format.pt2 import read_exported
from ..._training.model_bytes import model_bytes
from ..._training.step_options import TrainOptions
from ..frontend.torch import quiet, unspecialized
from ..frontend.torch_program import Argument
from .model import TrainedModel
from .step import TrainingStep

__all__ = ["open_step"]

_RECORD = "wasmgrad_names.json"


def open_step(model: Any, shapes: Mapping[str, Sequence[int]], options: TrainOptions) -> TrainingStep:
    """The step of a model: a path (.pt, .pt2), a torch module, TorchScript, or a `torch.export` program.

    shapes: of its inputs, the batch first, where the model does not say them. Errors: `SecurityError`,
    `InvalidEncoding`, `NotFound`; `InvalidArgument` for a shape that is missing or does not fit; `Unsupported`.
    """
    archive, where = model_bytes(model)
    try:
        safe = _core.torchscript_for_inference(archive)
        exported = read_exported(archive, Path(where)) if _is_exported(archive) else None
        arguments, names = _names(safe)
        if exported is not None:
            known = {
                name: Argument(name, getattr(torch, each.dtype), each.shape)
                for name, each in zip(arguments, exported.inputs, strict=True)
            }
        else:
            known = {name: Argument(name) for name in arguments}
        keys = None if exported is None else exported.keys
        trained = TrainedModel(safe, names, keys, options.freeze)
        kind = "torchscript" if exported is None else "torch.export"
        sized = _sized(list(known.values()), shapes, options)
        return _of_first_types(trained, options, sized, kind, hashlib.sha256(archive).hexdigest())
    except Error as error:
        raise type(error)(f"{where}: {error.message}") from error


def _is_exported(archive: bytes) -> bool:
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(archive)) as file:
        return any(name.rpartition("/")[2] == "archive_format" for name in file.namelist())
    return False


def _names(archive: bytes) -> tuple[list[str], dict[str, str]]:
    """The arguments of the model, and the names of its tensors by those that TorchScript carries."""
    records = {_RECORD: ""}  # to be filled
    module = torch.jit.load(io.BytesIO(archive), map_location="cpu", _extra_files=records)  # type: ignore[no-untyped-call]
    record = json.loads(records[_RECORD]) if records[_RECORD] else {}
    carried = [each.name for each in module.forward.schema.arguments[1:] if not each.has_default_value()]
    own = record.get("arguments", {})
    return [own.get(name, name) for name in carried], record.get("tensors", {})


def _sized(
    arguments: Sequence[Argument], shapes: Mapping[str, Sequence[int]], options: TrainOptions
) -> list[Argument]:
    names = [each.name for each in arguments]
    unknown = [name for name in shapes if name not in names]
    missing = [each.name for each in arguments if each.shape is None and each.name not in shapes]
    batch = options.batch_size
    if not arguments:
        raise InvalidArgument("the model has no input")
    if unknown or missing:
        rows = batch or 32
        raise InvalidArgument(
            f"the inputs are {', '.join(names)}, and a torch module does not say their shapes: give each its own, the "
            f"batch first (such as {' '.join(f'--input {name}={rows}x...' for name in names)})"
        )
    sized = []
    for each in arguments:
        given = tuple(shapes[each.name]) if each.name in shapes else None
        extents = _extents(each, given, batch)
        sized.append(Argument(each.name, each.dtype, extents))
    batches = {each.shape[0] if each.shape else 0 for each in sized}
    if len(batches) != 1 or 0 in batches:
        raise InvalidArgument(
            "the first extent of every input is the batch, the same for all: "
            + ", ".join(f"{each.name} has {list(each.shape or ())}" for each in sized)
        )
    if batch is not None and batches != {batch}:
        raise InvalidArgument(f"the inputs have a batch of {batches.pop()}, and batch_size is {batch}")
    return sized


def _extents(argument: Argument, given: tuple[int, ...] | None, batch: int | None) -> tuple[int, ...]:
    known = argument.shape
    if known is None:
        assert given is not None
        return given
    if given is not None:
        fits = len(given) == len(known) and all(
            isinstance(extent, str) or extent == size for extent, size in zip(known, given, strict=True)
        )
        if not fits:
            raise InvalidArgument(f"input {argument.name!r} has shape {list(known)}, not {list(given)}")
        return given
    extents = [
        batch if i == 0 and isinstance(extent, str) and batch else extent for i, extent in enumerate(known)
    ]
    if any(isinstance(extent, str) for extent in extents):
        raise InvalidArgument(
            f"input {argument.name!r} has shape {list(known)}: give batch_size, or the whole shape"
        )
    return tuple(int(extent) for extent in extents)


def _of_first_types(
    model: TrainedModel, options: TrainOptions, inputs: Sequence[Argument], kind: str, digest: str
) -> TrainingStep:
    """With the first element types that the model runs with, where it does not say them."""
    choices = [(torch.float32, torch.int64) if each.dtype is None else (each.dtype,) for each in inputs]
    failure: Exception | None = None
    for chosen in itertools.islice(itertools.product(*choices), 64):
        typed = [Argument(each.name, dtype, each.shape) for each, dtype in zip(inputs, chosen, strict=True)]
        try:
            with unspecialized(), quiet():
                return TrainingStep.of(model, options, typed, kind, digest)
        except Error:
            raise
        except Exception as error:  # torch's own, of many classes
            failure = failure or error
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    raise Unsupported(f"the model does not run on its inputs: {lines[-1] if lines else failure}") from failure


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Around what records a step."""
    with unspecialized(), quiet():
        yield
