"""Numbers of bytes as options have them (1048576, 512MiB), read as the native tools do; and options with old names."""

from __future__ import annotations

import re
import sys

from .._errors import InvalidArgument

__all__ = ["byte_size_text", "memory_text", "read_byte_size", "read_memory", "tell_old_spelling"]

_UNITS = {"TiB": 40, "GiB": 30, "MiB": 20, "KiB": 10, "": 0}
_PAGE = 1 << 16


def read_byte_size(option: str, text: str) -> int:
    """Errors: `InvalidArgument`, naming the option."""
    found = re.fullmatch(r"([0-9]+)(TiB|GiB|MiB|KiB|)", text)
    size = int(found[1]) << _UNITS[found[2]] if found else 1 << 64
    if size >= 1 << 64:
        raise InvalidArgument(
            f"{option}: {text!r} is no number of bytes; expected one such as 1048576 or 512MiB"
        )
    return size


def read_memory(option: str, text: str) -> int:
    """The memory of a module, in pages of 64 KiB. Errors: `InvalidArgument`, naming the option."""
    size = read_byte_size(option, text)
    if not 0 < size <= 1 << 32 or size % _PAGE:
        raise InvalidArgument(
            f"{option}: {text!r} is no size of a memory; expected a multiple of 64KiB up to 4GiB"
        )
    return size // _PAGE


def byte_size_text(size: int) -> str:
    """With the largest unit of which it is a multiple."""
    if size == 0:
        return "0"
    unit, shift = next((unit, shift) for unit, shift in _UNITS.items() if size % (1 << shift) == 0)
    return f"{size >> shift}{unit}"


def memory_text(pages: int) -> str:
    """The size of a memory of so many pages."""
    return byte_size_text(pages * _PAGE)


def tell_old_spelling(old: str, now: str) -> None:
    """Says on standard error what an option is called now."""
    print(f"wasmgrad: {old} is now {now}; the old spelling goes with the next release", file=sys.stderr)
