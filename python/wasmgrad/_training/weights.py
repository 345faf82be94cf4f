"""Parameters and buffers by name: what is taken from a file or a state dict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import InvalidArgument, InvalidEncoding, RuntimeFailure
from .options import text

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["chosen_weights", "read_weights"]


def read_weights(source: str | Path | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    """Tensors by name: of a safetensors file, of its bytes, or as they are given.

    Errors: `RuntimeFailure` when the file cannot be read, `InvalidEncoding` when it is no safetensors file,
    `InvalidArgument` for anything else.
    """
    if isinstance(source, Mapping):
        return {text("a name of the weights", name): _widened(value) for name, value in source.items()}
    if not isinstance(source, (str, Path, bytes)):
        raise InvalidArgument(
            f"the weights are a {type(source).__name__}; expected a safetensors file, its bytes or a state dict"
        )
    import safetensors.torch  # which imports torch

    where = "the weights" if isinstance(source, bytes) else str(source)
    try:
        archive = source if isinstance(source, bytes) else Path(source).read_bytes()
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        raise RuntimeFailure(
            f"{where}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    try:
        return {name: _widened(value) for name, value in safetensors.torch.load(archive).items()}
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        pickled = archive[:2] in (b"PK", b"\x80\x02")  # as torch.save writes, newly and before 1.6
        hint = "; torch.load opens a .pth file, whose state dict is taken here, too" if pickled else ""
        raise InvalidEncoding(f"{where} is not a safetensors file: {error}{hint}") from error


def _widened(value: Any) -> Any:
    """NumPy has no bfloat16, and no types of eight bits."""
    narrow = str(getattr(value, "dtype", "")).startswith(("torch.bfloat16", "torch.float8"))
    return value.float() if narrow else value


def chosen_weights(
    state: Mapping[str, NDArray[Any]], source: Mapping[str, Any], only: Sequence[str], strict: bool
) -> dict[str, Any]:
    """`state`, with the values of `source` for the names that match one of the patterns `only`.

    strict: each of those names must be in `source`, and nothing else that matches. Errors: `InvalidArgument`, naming
    what is missing or unknown, or a pattern that no name matches.
    """

    def wanted(name: str) -> bool:
        return any(_matches(name, pattern) for pattern in only)

    for pattern in only:
        if not any(_matches(name, pattern) for name in state):
            raise InvalidArgument(f"no parameter or buffer matches {pattern!r}; the model has {_some(state)}")
    missing = [name for name in state if wanted(name) and name not in source]
    unknown = [name for name in source if wanted(name) and name not in state]
    if strict and (missing or unknown):
        lacks = f"the weights lack {_some(missing)}" if missing else ""
        more = f"the model has no {_some(unknown)}" if unknown else ""
        raise InvalidArgument(
            " and ".join(filter(None, (lacks, more))) + "; strict=False takes what fits by name"
        )
    taken = [name for name in state if wanted(name) and name in source]
    if not taken:
        raise InvalidArgument(f"none of the weights' names is one of the model's, which has {_some(state)}")
    return {**state, **{name: source[name] for name in taken}}


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]"))  # `*` and `?` only, as everywhere here


def _some(names: Any) -> str:
    listed = list(names)
    shown = ", ".join(repr(name) for name in listed[:3])
    return shown + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
