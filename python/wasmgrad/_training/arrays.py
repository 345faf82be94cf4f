"""Arrays as callers have them, to arrays as the core takes them. Nothing changes a value on the way.

Byte orders and integers that the core has no type for are converted; what has no exact form is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .._errors import InvalidArgument

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays: TypeAlias = NDArray[Any] | Mapping[str, NDArray[Any]] | Sequence[NDArray[Any]]

__all__ = ["flat_values", "named_arrays", "state_array"]

_TAKEN = ("uint8", "float16", "float32", "float64", "int32", "int64")
# An exact type that the core has. Truth values are whole numbers, so that nothing scales them as it does bytes.
_WIDER = {"bool": "int32", "int8": "int32", "int16": "int32", "uint16": "int32", "uint32": "int64"}


def named_arrays(arrays: Arrays, what: str) -> list[tuple[str, NDArray[Any]]]:
    """Names (empty for arrays by position) and arrays; `what` names them in errors, as in "inputs".

    Errors: `InvalidArgument` for what is no array, or has elements that no type of the core holds exactly.
    """
    if isinstance(arrays, Mapping):
        for name in arrays:
            if not isinstance(name, str) or not name:
                raise InvalidArgument(f"{what}: {name!r} is not the name of an array; expected text")
        return [(name, _array(array, f"{what} '{name}'")) for name, array in arrays.items()]
    if isinstance(arrays, Sequence) and not isinstance(arrays, (str, bytes, bytearray, memoryview)):
        return [("", _array(array, f"{what}[{index}]")) for index, array in enumerate(arrays)]
    return [("", _array(arrays, what))]


def flat_values(values: NDArray[np.float32], what: str) -> NDArray[np.float32]:
    """One after the other, in float32. Errors: `InvalidArgument` for another type or rank."""
    array = _array(values, what)
    if array.dtype.name != "float32" or array.ndim != 1:
        raise InvalidArgument(
            f"{what} have the type {array.dtype.name} and the shape {list(array.shape)}; expected float32 [N]"
        )
    return array


def state_array(name: str, value: Any) -> NDArray[Any]:
    """One tensor of a state dict, also as nested lists.

    Errors: `InvalidArgument` for a name that is no text, and for what has no elements that the core takes.
    """
    if not isinstance(name, str):
        raise InvalidArgument(f"state: {name!r:.80} is not the name of a tensor; expected text")
    where = f"state: '{name}'"
    if isinstance(value, (list, tuple, bool, int, float)):
        value = _from_numbers(value, where)
    return _array(value, where)


def _from_numbers(values: Any, where: str) -> NDArray[Any]:
    import numpy as np

    try:
        return np.asarray(values)
    except ValueError as error:
        raise InvalidArgument(f"{where}: NumPy has no array for this list: {error}") from None


def _array(value: Any, where: str) -> NDArray[Any]:
    import numpy as np

    if isinstance(value, np.ma.MaskedArray):
        raise InvalidArgument(f"{where} is a masked array, and masks are not taken; fill it first")
    if not isinstance(value, np.ndarray):
        value = _converted(value, where)
    name = value.dtype.name
    if name == "uint64" and (value.size == 0 or value.max() <= np.iinfo(np.int64).max):
        name, value = "int64", value.astype(np.int64)
    if name not in _TAKEN and name not in _WIDER:
        raise InvalidArgument(
            f"{where}: the array's element type is {value.dtype}; expected one of {', '.join(_TAKEN)}, "
            "or whole numbers or truth values that fit into them"
        )
    # In this machine's byte order, and row-major.
    return np.ascontiguousarray(value, dtype=_WIDER.get(name, name)).reshape(value.shape)


def _converted(value: Any, where: str) -> NDArray[Any]:
    """What another library's array or tensor holds."""
    import numpy as np

    plain = value.detach() if hasattr(value, "detach") else value
    if not any(hasattr(plain, protocol) for protocol in ("__dlpack__", "__array__", "__array_interface__")):
        raise InvalidArgument(
            f"{where} is a {type(value).__name__}; expected an array (numpy.asarray makes one; a list is one of arrays)"
        )
    try:
        return np.asarray(plain)
    except Exception as error:
        raise InvalidArgument(
            f"{where}: NumPy has no array for this {type(value).__name__}: {error}"
        ) from None
