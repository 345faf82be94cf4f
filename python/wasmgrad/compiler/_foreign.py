"""Errors of TVM and ONNX as one sentence of ours: what could not be compiled, and for which operands.

What they say themselves is of their insides: program text, stacks, paths of the computer that built them. It is kept as
the cause of our error, and shown with WASMGRAD_DEBUG=1 in the environment.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from .._errors import Unsupported

__all__ = ["described", "unsupported"]


def described(dtype: str, shape: Sequence[int]) -> str:
    """A tensor's type for people, as float32[2, 3]."""
    return f"{dtype}[{', '.join(map(str, shape))}]"


def unsupported(what: str, error: Exception) -> Unsupported:
    """The refusal of `what`, whose cause is to be the error that the tools gave."""
    told = f"\n{type(error).__name__}: {error}" if os.environ.get("WASMGRAD_DEBUG") else ""
    return Unsupported(f"{what}{told}")
