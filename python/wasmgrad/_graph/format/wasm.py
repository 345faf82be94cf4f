"""Editing WebAssembly files by section, without decoding what the sections hold: how the compiler finishes a module.

Payloads are slices of the file, so a module with a hundred megabytes of weights costs one copy an edit. Nothing
here knows what a graph module is, or reads what strangers made: the native reader does that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..._errors import InvalidArgument, InvalidEncoding

__all__ = [
    "PAGE",
    "Section",
    "assemble",
    "memory_pages",
    "sections",
    "with_custom",
    "with_data",
    "with_memory",
    "with_shared_memory",
]

PAGE = 65536
_HEADER = b"\0asm\x01\0\0\0"
_CUSTOM, _TYPE, _IMPORT, _MEMORY, _DATA, _DATA_COUNT = 0, 1, 2, 5, 11, 12
_IMPORTED_MEMORY = b"\3env\6memory\2"
_BOUNDED, _SHARED = 1, 2
_ACTIVE, _I32_CONST, _END = 0, 0x41, 0x0B
_ADDRESS_SPACE = 1 << 32

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its `id`, the `name` of a custom section (else None), and what follows, in one part or two."""

    id: int
    name: str | None
    payload: memoryview
    end: Buffer = b""


class _Reader:
    """A position in a part of a file. Errors: `InvalidEncoding` when the part ends before."""

    def __init__(self, data: Buffer) -> None:
        self._rest = memoryview(data)

    @property
    def at_end(self) -> bool:
        return len(self._rest) == 0

    def take(self, size: int) -> memoryview:
        if size > len(self._rest):
            raise InvalidEncoding(
                f"not a whole WebAssembly module: {size} bytes expected and {len(self._rest)} present"
            )
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def u32(self) -> int:
        value = shift = 0
        while (byte := self.take(1)[0]) >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def rest(self) -> memoryview:
        return self.take(len(self._rest))


def _unsigned(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _signed(value: int) -> bytes:
    encoded = bytearray()
    while not -0x40 <= value < 0x40:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value & 0x7F)
    return bytes(encoded)


def _active(address: int) -> bytes:
    """The start of a data segment for that address, up to its size."""
    signed = address - _ADDRESS_SPACE if address >= _ADDRESS_SPACE // 2 else address
    return bytes([_ACTIVE, _I32_CONST]) + _signed(signed) + bytes([_END])


def sections(data: Buffer) -> list[Section]:
    """The sections of a module, in the order of the file.

    Errors: `InvalidEncoding` when `data` is not a module of WebAssembly 1 or a section runs past the end.
    """
    view = memoryview(data).cast("B")
    if view[: len(_HEADER)] != _HEADER:
        raise InvalidEncoding("not a WebAssembly module, of version 1")
    reader = _Reader(view[len(_HEADER) :])
    found = []
    while not reader.at_end:
        identifier = reader.take(1)[0]
        inner = _Reader(reader.take(reader.u32()))
        name = str(inner.take(inner.u32()), "utf-8") if identifier == _CUSTOM else None
        found.append(Section(identifier, name, inner.rest()))
    return found


def assemble(parts: Iterable[Section]) -> bytes:
    """The module that consists of these sections. They are taken as they are, in this order."""
    pieces: list[Buffer] = [_HEADER]
    for part in parts:
        name = b"" if part.name is None else part.name.encode()
        head = b"" if part.name is None else _unsigned(len(name)) + name
        pieces += [
            bytes([part.id]),
            _unsigned(len(head) + len(part.payload) + len(part.end)),
            head,
            part.payload,
            part.end,
        ]
    return b"".join(pieces)


def with_custom(data: Buffer, name: str, payload: Buffer) -> bytes:
    """The module with exactly one custom section of that name, at its begin: it has been read before all others."""
    kept = [part for part in sections(data) if part.name != name]
    return assemble([Section(_CUSTOM, name, memoryview(payload).cast("B")), *kept])


def _only(parts: list[Section], identifier: int) -> Section | None:
    return next((part for part in parts if part.id == identifier), None)


def memory_pages(data: Buffer) -> tuple[int, int | None] | None:
    """Minimum and maximum pages of the memory that the module defines; None when it defines none.

    Errors: `InvalidEncoding`, also when there are several memories or the memory is shared or has 64-bit addresses.
    """
    part = _only(sections(data), _MEMORY)
    if part is None:
        return None
    reader = _Reader(part.payload)
    count, flags = reader.u32(), reader.u32()
    if count != 1 or flags > 1:
        raise InvalidEncoding("expected a module with one plain 32-bit memory")
    minimum = reader.u32()
    return minimum, reader.u32() if flags == 1 else None


def with_memory(data: Buffer, pages: int) -> bytes:
    """The module whose one memory has exactly that many pages, minimum and maximum.

    Errors: `InvalidArgument` when it is more than 4 GiB; `InvalidEncoding` when the module has no memory.
    """
    if not 0 <= pages <= PAGE:
        raise InvalidArgument(f"{pages} pages: a 32-bit memory has at most {PAGE}")
    if memory_pages(data) is None:
        raise InvalidEncoding("the module defines no memory")
    payload = memoryview(b"\x01\x01" + _unsigned(pages) * 2)
    return assemble(
        Section(_MEMORY, None, payload) if part.id == _MEMORY else part for part in sections(data)
    )


def with_shared_memory(data: Buffer, pages: int) -> bytes:
    """The module that imports a shared memory of exactly that many pages as `env` `memory`, in place of its own.

    Errors: as `with_memory`, and `InvalidEncoding` when the module imports something.
    """
    kept = sections(with_memory(data, pages))
    if _only(kept, _IMPORT) is not None:
        raise InvalidEncoding("the module has imports")
    limits = bytes([_BOUNDED | _SHARED]) + _unsigned(pages) * 2
    imported = Section(_IMPORT, None, memoryview(b"\1" + _IMPORTED_MEMORY + limits))
    position = next((i for i, part in enumerate(kept) if part.id not in (_CUSTOM, _TYPE)), len(kept))
    kept.insert(position, imported)
    return assemble(part for part in kept if part.id != _MEMORY)


def with_data(data: Buffer, address: int, payload: Buffer) -> bytes:
    """The module that also fills its memory from `address` on with `payload` when it is instantiated.

    The segment is appended to the data section, so that the engine writes it last. A data count section is
    kept true. Errors: `InvalidArgument` when the payload leaves the 32-bit address space.
    """
    extra = memoryview(payload).cast("B")
    if not 0 <= address <= _ADDRESS_SPACE - len(extra):
        raise InvalidArgument(f"data of {len(extra)} bytes at address {address} leaves the 32-bit memory")
    parts = sections(data)
    old = _only(parts, _DATA)
    reader = _Reader(old.payload if old else b"\0")
    count = reader.u32() + 1
    before = b"".join([_unsigned(count), reader.rest(), _active(address), _unsigned(len(extra))])
    segments = Section(_DATA, None, memoryview(before), extra)
    edited = []
    for part in parts:
        if part.id == _DATA_COUNT:
            edited.append(Section(_DATA_COUNT, None, memoryview(_unsigned(count))))
        elif part is old:
            edited.append(segments)
        else:
            edited.append(part)
    if old is None:
        after_last = max((i + 1 for i, part in enumerate(edited) if part.id != _CUSTOM), default=0)
        edited.insert(after_last, segments)
    return assemble(edited)
