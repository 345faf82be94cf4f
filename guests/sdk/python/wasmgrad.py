"""What a guest in Python needs besides the training interface: arguments, and tensors from numbers.

Files and the console are Python's own: `open`, `print`. This module is part of the guest, not of the host.
"""

from __future__ import annotations

import sys
import traceback
from array import array
from collections.abc import Callable, Iterable, Sequence
from math import prod

from componentize_py_types import Err
from wit_world.imports import environment
from wit_world.imports.training import (
    Dataset,
    Encoding,
    Errno,
    Error,
    ExecutionTarget,
    FitReport,
    Metrics,
    Model,
    NamedTensor,
    Progress,
    Tensor,
    TensorType,
    Trainer,
)

__all__ = [
    "Dataset",
    "Encoding",
    "Err",
    "Errno",
    "Error",
    "ExecutionTarget",
    "FitReport",
    "Metrics",
    "Model",
    "NamedTensor",
    "Progress",
    "Tensor",
    "TensorType",
    "Trainer",
    "args",
    "tensor",
]

_CODES = {
    TensorType.F32: "f",
    TensorType.F64: "d",
    TensorType.U8: "B",
    TensorType.I32: "i",
    TensorType.I64: "q",
}


def args() -> list[str]:
    """What follows the guest's file name on the command line. `sys.argv` is that of the build."""
    return environment.get_arguments()[1:]


def tensor(kind: TensorType, dims: Sequence[int], values: Iterable[float], name: str = "") -> NamedTensor:
    """A tensor of these dimensions, row by row. `ValueError` when there are more or fewer values."""
    data = array(_CODES[kind], values)
    if len(data) != prod(dims):
        raise ValueError(f"a tensor of {list(dims)} has {prod(dims)} elements, not {len(data)}")
    return NamedTensor(name, Tensor(list(dims), kind, data.tobytes()))


def run_program(main: Callable[[], None]) -> None:
    """What the entry point does: calls `main`, and tells the host how it ended."""
    try:
        main()
    except SystemExit as exit_:
        if exit_.code not in (None, 0):
            if isinstance(exit_.code, str):
                print(exit_.code, file=sys.stderr)
            raise Err(None) from None
    except Err as refused:
        error = refused.value
        if not isinstance(error, Error):
            raise
        interrupted = error.code == Errno.INTERRUPTED  # the owner's wish to stop is no failure
        print(error.message if interrupted else f"error: {error.message}", file=sys.stderr)
        if not interrupted:
            raise Err(None) from None
    except BaseException:
        traceback.print_exc()
        raise Err(None) from None
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
