"""A sample model as the files that users have of one: TorchScript, and a `torch.export` program."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["NotWritten", "write_exported", "write_script"]


class NotWritten(Exception):
    """torch itself cannot write the model in this format; the text is its reason, in a line."""


def write_script(model: nn.Module, examples: Sequence[Tensor], path: Path) -> str:
    """TorchScript of `model`, scripted where torch can do that, else traced; "scripted" or "traced".

    Errors: `NotWritten`.
    """
    jit: Any = torch.jit  # untyped
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:  # a run changes buffers, hence the copies
            jit.script(copy.deepcopy(model))(*examples)  # some modules can be scripted, but not run then
            script, how = jit.script(model), "scripted"
        except Exception:  # of many classes
            traced = copy.deepcopy(model)
            try:
                script, how = jit.trace(traced, tuple(examples), check_trace=False), "traced"
            except Exception as error:
                raise NotWritten(f"torch.jit can neither script nor trace it: {_line(error)}") from error
            traced.load_state_dict(model.state_dict())
        jit.save(script, path)
    return how


def write_exported(model: nn.Module, examples: Sequence[Tensor], path: Path) -> str:
    """The `torch.export` program of `model`, whose batch is open.

    Errors: `NotWritten`.
    """
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.export.export(
                model, tuple(examples), dynamic_shapes=tuple({0: batch} for _ in examples)
            )
        except Exception as error:  # of many classes
            raise NotWritten(f"torch.export cannot export it: {_line(error)}") from error
        torch.export.save(program, path)
    return "exported"


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
