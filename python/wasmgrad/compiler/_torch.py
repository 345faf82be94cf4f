"""Torch models as ONNX models, by torch's own exporters.

TorchScript is vetted before it is loaded, because loading it runs code.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch

from .._errors import Error, InvalidArgument, InvalidEncoding, Unsupported

__all__ = ["from_torch", "load_program", "load_torchscript"]

_OPSET = 18
_SHOWN = 300  # characters of an exporter's message


def load_torchscript(path: Path) -> torch.jit.ScriptModule:
    """Vets and loads a TorchScript file. Errors: `SecurityError`, `InvalidEncoding`, `TooLarge`."""
    from .. import _core

    archive = path.read_bytes()
    try:
        _core.vet_torchscript(archive)
        loaded = torch.jit.load(io.BytesIO(archive), map_location="cpu")  # type: ignore[no-untyped-call]
    except Error as error:
        raise type(error)(f"{path}: {error.message}") from error
    except RuntimeError as error:
        raise InvalidEncoding(f"{path}: torch cannot load it: {_first_line(error)}") from error
    assert isinstance(loaded, torch.jit.ScriptModule)
    return loaded


def load_program(path: Path) -> torch.export.ExportedProgram:
    """Loads what `torch.export.save` wrote. Errors: `InvalidEncoding`."""
    try:
        return torch.export.load(path)
    except Exception as error:
        raise InvalidEncoding(
            f"{path}: not a program that torch.export saved: {_first_line(error)}"
        ) from error


def from_torch(model: Any, shapes: Mapping[str, Sequence[int]], name: str) -> tuple[onnx.ModelProto, str]:
    """Exports a torch module, TorchScript or `torch.export` program; returns it and the name of its format.

    shapes: of the float32 inputs, by the names of `forward`'s parameters; a program knows its own.
    Errors: `InvalidArgument` when a shape is missing, `Unsupported` in the exporter's words.
    """
    try:
        with _quiet():
            if isinstance(model, torch.export.ExportedProgram):
                return _export_program(model), "torch.export"
            if isinstance(model, torch.nn.Module):
                return _export_module(model, shapes, name), "torchscript"
    except Error:
        raise
    except Exception as error:
        raise Unsupported(f"{name}: torch cannot export it to ONNX: {_first_line(error)}") from error
    raise InvalidArgument(
        f"a model is a path, an onnx.ModelProto, a torch module or an exported program, not {type(model)}"
    )


def _export_program(model: torch.export.ExportedProgram) -> onnx.ModelProto:
    program = torch.onnx.export(model, dynamo=True, opset_version=_OPSET)
    assert program is not None, "without a file name, the exporter returns a program"
    return program.model_proto


def _export_module(model: torch.nn.Module, shapes: Mapping[str, Sequence[int]], name: str) -> onnx.ModelProto:
    names, examples = _examples(model, shapes, name)
    with tempfile.TemporaryDirectory(prefix="wasmgrad-") as directory:
        path = Path(directory, "model.onnx")
        torch.onnx.export(
            model.eval(),
            examples,
            path,
            dynamo=False,
            opset_version=_OPSET,
            input_names=names,
            external_data=False,
        )
        return onnx.load(path)


def _examples(
    model: torch.nn.Module, shapes: Mapping[str, Sequence[int]], name: str
) -> tuple[list[str], tuple[torch.Tensor, ...]]:
    names = _parameters(model)
    unknown = [given for given in shapes if given not in names]
    missing = [wanted for wanted in names if wanted not in shapes]
    if unknown or missing:
        hint = " ".join(f"--input {wanted}=..." for wanted in names)
        raise InvalidArgument(
            f"{name}: the inputs are {', '.join(names)}, and a torch module does not say their shapes: "
            f"give each its own (such as {hint}, 1x3x224x224)"
        )
    return names, tuple(torch.zeros(*shapes[wanted]) for wanted in names)


def _parameters(model: torch.nn.Module) -> list[str]:
    """Names of what `forward` takes, without those that have a default."""
    if isinstance(model, torch.jit.ScriptModule):
        forward: Any = model.forward
        arguments = forward.schema.arguments[1:]
        return [argument.name for argument in arguments if not argument.has_default_value()]
    import inspect

    parameters = inspect.signature(model.forward).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' notes on deprecation and progress."""
    with (
        warnings.catch_warnings(),
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:_SHOWN]
