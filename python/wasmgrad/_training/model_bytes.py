"""A model as callers have it (bytes, a file, a PyTorch object), to the bytes that the core vets and loads."""

from __future__ import annotations

import io
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .._errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    import torch

    Model: TypeAlias = bytes | str | os.PathLike[str] | torch.nn.Module | torch.export.ExportedProgram

__all__ = ["model_bytes", "read_bytes"]


def model_bytes(model: Model) -> tuple[bytes, str]:
    """The model's bytes, and what errors call it.

    A module is scripted by `torch.jit.script`, an exported program saved; both are copies. Errors: `NotFound` for
    a file that cannot be read, `InvalidArgument` for a module that cannot be scripted, and for anything else.
    """
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model), "model"
    if isinstance(model, (str, os.PathLike)):
        return read_bytes(model), os.fspath(model)
    torch: Any = sys.modules.get("torch")  # whoever has a module has imported it
    if torch is not None and isinstance(model, torch.nn.Module):
        return _scripted(torch, model), type(model).__name__
    if torch is not None and isinstance(model, torch.export.ExportedProgram):
        buffer = io.BytesIO()
        torch.export.save(model, buffer)
        return buffer.getvalue(), "model"
    raise InvalidArgument(
        f"the model is a {type(model).__name__}; expected bytes, a file, a torch.nn.Module or a "
        "torch.export.ExportedProgram"
    )


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Errors: `NotFound` with the system's reason."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise NotFound(f"{os.fspath(path)}: cannot be read: {error.strerror}") from None


def _scripted(torch: Any, module: torch.nn.Module) -> bytes:
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the format stays one of ours
            torch.jit.save(torch.jit.script(module), buffer)
    except Exception as error:
        reason = next(
            (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        raise InvalidArgument(
            f"the module {type(module).__name__} cannot be scripted by torch.jit.script: {reason} (torch.export.export "
            "makes a program of it, which is taken too)"
        ) from None
    return buffer.getvalue()
