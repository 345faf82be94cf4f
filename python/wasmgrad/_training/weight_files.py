"""Weights that go into a run and come out of it, as safetensors files of parameters and buffers under their names.

Read without torch: in types that NumPy lacks, values are float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import InvalidEncoding, NotFound, RuntimeFailure
from .arrays import state_array
from .options import text
from .weights import read_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tensors = Mapping[str, NDArray[Any]]

__all__ = ["check_update", "read_tensors", "update_norm", "weight_bytes", "write_tensors"]

_TYPES = {
    "BOOL": "bool", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2",
}  # fmt: skip


def weight_bytes(source: str | Path | bytes | Mapping[str, Any]) -> bytes:
    """The safetensors file of weights that are one, its path, or tensors by name.

    Errors: `NotFound` for a file that cannot be read, `InvalidArgument` for anything else.
    """
    if isinstance(source, bytes):
        return source
    if isinstance(source, (str, Path)):
        try:
            return Path(source).read_bytes()
        except OSError as error:
            raise NotFound(f"{source}: cannot be read: {error.strerror}") from None
    return write_tensors({name: state_array(name, value) for name, value in read_weights(source).items()})


def write_tensors(tensors: Tensors) -> bytes:
    """A safetensors file. Errors: `InvalidArgument` for a name that is no text."""
    import numpy as np
    import safetensors.numpy

    dense = {text("a name of the weights", name): np.asarray(a, order="C") for name, a in tensors.items()}
    return safetensors.numpy.save(dense)


def read_tensors(file: bytes, where: str = "the weights") -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file, which may not be written to. Errors: `InvalidEncoding`."""
    import numpy as np
    import safetensors

    try:
        entries = safetensors.deserialize(file)  # type: ignore[no-untyped-call]
    except (safetensors.SafetensorError, ValueError, TypeError) as error:
        raise InvalidEncoding(f"{where}: not a safetensors file: {error}") from error
    tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in _TYPES:
            raise InvalidEncoding(
                f"{where}: tensor '{name}' has the type {entry['dtype']}, which is not known here"
            )
        values = np.frombuffer(entry["data"], _TYPES[entry["dtype"]]).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            values = (values.astype("<u4") << 16).view("<f4")
        tensors[name] = values
    return tensors


def check_update(before: Tensors, after: Tensors, who: str) -> None:
    """Whether `after` may take the place of `before`.

    Errors: `RuntimeFailure`, naming the tensor, when one is missing, unknown or of another shape, or has a number
    that is not finite where there was one that is.
    """
    import numpy as np

    if set(before) != set(after):
        strange = sorted(set(before) ^ set(after))[0]
        raise RuntimeFailure(f"{who}: trained another model: '{strange}' is a tensor of only one of them")
    for name, old, new in _pairs(before, after):
        if old.shape != new.shape:
            raise RuntimeFailure(f"{who}: tensor '{name}' has shape {new.shape} in place of {old.shape}")
        if new.dtype.kind == "f" and not np.all(np.isfinite(new) | ~np.isfinite(old)):
            raise RuntimeFailure(f"{who}: tensor '{name}' is not finite after the training")


def update_norm(before: Tensors, after: Tensors) -> float:
    """Euclidean length of the change of all tensors of floating point together, computed in float64."""
    import numpy as np

    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for _, old, new in _pairs(before, after):
            if new.dtype.kind == "f":
                change = new.astype("f8") - old.astype("f8")
                total += float(np.sum(np.square(change), where=np.isfinite(change)))
    return math.sqrt(total)


def _pairs(before: Tensors, after: Tensors) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    for name, old in before.items():
        yield name, old, after[name]
