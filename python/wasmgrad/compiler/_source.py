"""Any model a user may hand in, as a checked ONNX model: a file (.onnx, .pt, .pt2), or an object of onnx or torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from .._errors import NotFound, RuntimeFailure
from . import _normalize
from ._reference import Reference, onnxruntime_reference

__all__ = ["Source", "open_source"]


@dataclass(frozen=True)
class Source:
    """A model ready for import. `shapes` has the static shape of every input.

    `reference` computes what the compiled model should.
    """

    model: onnx.ModelProto
    shapes: dict[str, tuple[int, ...]]
    name: str
    format: str
    sha256: str
    reference: Reference


def open_source(model: Any, shapes: Mapping[str, Sequence[int]], constants: Mapping[str, Any]) -> Source:
    """Reads, converts and checks a model.

    model: a path, an `onnx.ModelProto`, a torch module, TorchScript, or a `torch.export` program. shapes: of inputs
    whose own are symbolic or, for torch modules, unknown; by name. constants: values of inputs that are to become
    part of the model.

    Errors: `NotFound`, `InvalidEncoding`, `Unsupported`, `InvalidArgument`, each with what to do.
    """
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        proto, kind = _read(path, shapes)
        return _checked(proto, shapes, constants, path.stem, kind, _digest(path))
    if isinstance(model, onnx.ModelProto):
        proto, kind = model, "onnx"
    else:
        from ._torch import from_torch

        proto, kind = from_torch(model, shapes, type(model).__name__)
    digest = hashlib.sha256(proto.SerializeToString()).hexdigest()
    return _checked(proto, shapes, constants, proto.graph.name or "model", kind, digest)


def _read(path: Path, shapes: Mapping[str, Sequence[int]]) -> tuple[onnx.ModelProto, str]:
    if not path.is_file():
        raise NotFound(f"{path}: no such file")
    if path.suffix in (".pt", ".pt2"):
        from ._torch import from_torch, load_program, load_torchscript

        loaded = load_torchscript(path) if path.suffix == ".pt" else load_program(path)
        return from_torch(loaded, shapes, str(path))
    return _normalize.read(path), "onnx"


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RuntimeFailure(f"{path}: cannot be read: {error.strerror or error}") from error


def _checked(
    proto: onnx.ModelProto,
    shapes: Mapping[str, Sequence[int]],
    constants: Mapping[str, Any],
    name: str,
    kind: str,
    digest: str,
) -> Source:
    given = shapes if kind == "onnx" else {}
    checked, static = _normalize.check(proto, given, constants)
    return Source(checked, static, name, kind, digest, onnxruntime_reference(checked))
