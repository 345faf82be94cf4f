"""Any model a user may hand in, as a checked ONNX model: a file (.onnx, .pt, .pt2), or an object of onnx or torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from numpy.typing import NDArray

from ..._errors import NotFound, RuntimeFailure
from . import normalize
from .reference import Reference, onnxruntime_reference

if TYPE_CHECKING:
    from .torch_program import Program

__all__ = ["Source", "of_program", "open_source", "opener"]


@dataclass(frozen=True)
class Source:
    """A model ready for import. `shapes` has the static shape of every input that `constants` has no value of.

    `reference` computes what the compiled model should.
    """

    model: onnx.ModelProto
    shapes: dict[str, tuple[int, ...]]
    constants: dict[str, NDArray[Any]]
    name: str
    format: str
    sha256: str
    reference: Reference


def open_source(model: Any, shapes: Mapping[str, Sequence[int]], constants: Mapping[str, Any]) -> Source:
    """Reads, converts and checks a model.

    model: a path, an `onnx.ModelProto`, a torch module, TorchScript, or a `torch.export` program. shapes: of inputs
    whose own are symbolic or, for torch modules, unknown; by name. constants: values of inputs that are to become
    part of the model, arrays or numbers.

    Errors: `NotFound`, `InvalidEncoding`, `Unsupported`, `InvalidArgument`, each with what to do.
    """
    return opener(model, constants)(shapes)


def opener(model: Any, constants: Mapping[str, Any]) -> Callable[[Mapping[str, Sequence[int]]], Source]:
    """What `open_source` does, for the shapes that are to come: the model is read once.

    Errors: of reading; of the shapes when they come.
    """
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        if not path.is_file():
            raise NotFound(f"{path}: no such file")
        name, digest = path.stem, _digest(path)
        if path.suffix not in (".pt", ".pt2", ".pth"):
            return _of_onnx(normalize.read(path), constants, name, digest)
        from .torch_program import read_file

        return _of_torch(read_file(path), constants, str(path), name, digest)
    if isinstance(model, onnx.ModelProto):
        return _of_onnx(model, constants, model.graph.name or "model", None)
    from .torch_program import of_object

    name = type(model).__name__
    return _of_torch(of_object(model), constants, name, name, None)


def of_program(program: Program, name: str, digest: str) -> Source:
    """A function of tensors that says the shapes of all its arguments. Errors: `Unsupported` naming the operator."""
    return _of_torch(program, {}, name, name, digest)({})


def _of_onnx(
    proto: onnx.ModelProto, constants: Mapping[str, Any], name: str, digest: str | None
) -> Callable[[Mapping[str, Sequence[int]]], Source]:
    arrays = normalize.constant_arrays(proto, constants)
    first: list[Source] = []

    def at(shapes: Mapping[str, Sequence[int]]) -> Source:
        if first:
            return replace(first[0], shapes=normalize.static_shapes(first[0].model, shapes, arrays))
        checked, static = normalize.check(proto, shapes, arrays)
        reference = onnxruntime_reference(checked)
        first.append(Source(checked, static, arrays, name, "onnx", digest or _digest_of(proto), reference))
        return first[0]

    return at


def _of_torch(
    program: Program, constants: Mapping[str, Any], where: str, name: str, digest: str | None
) -> Callable[[Mapping[str, Sequence[int]]], Source]:
    from .torch import from_torch

    def at(shapes: Mapping[str, Sequence[int]]) -> Source:
        proto, reference = from_torch(program, shapes, constants, where)
        arrays = normalize.constant_arrays(proto, constants)
        checked, static = normalize.check(proto, {}, arrays)
        return Source(checked, static, arrays, name, program.format, digest or _digest_of(proto), reference)

    return at


def _digest_of(proto: onnx.ModelProto) -> str:
    return hashlib.sha256(proto.SerializeToString()).hexdigest()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RuntimeFailure(f"{path}: cannot be read: {error.strerror or error}") from error
