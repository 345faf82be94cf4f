"""Reading and editing WebAssembly files by section, without decoding what the sections hold.

Payloads are slices of the file, so a module with a hundred megabytes of weights costs one copy an edit. Nothing
here knows what a graph module is, or validates code: an engine does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..._errors import InvalidArgument, InvalidEncoding

__all__ = [
    "PAGE",
    "Section",
    "Segment",
    "assemble",
    "custom",
    "exports",
    "import_count",
    "memory_pages",
    "sections",
    "with_custom",
    "with_data",
    "with_memory",
    "without_large_data",
]

PAGE = 65536
_HEADER = b"\0asm\x01\0\0\0"
_CUSTOM, _IMPORT, _MEMORY, _EXPORT, _START, _DATA, _DATA_COUNT = 0, 2, 5, 7, 8, 11, 12
_ACTIVE, _PASSIVE, _I32_CONST, _END = 0, 1, 0x41, 0x0B
_NUMBER_BYTES = 5  # of the longest number of 32 bits
_ADDRESS_SPACE = 1 << 32

Buffer = bytes | bytearray | memoryview
Fetch = Callable[[int, int], Buffer]
"""Gives what is between two offsets of a file."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its `id`, the `name` of a custom section (else None), and what follows."""

    id: int
    name: str | None
    payload: memoryview
    offset: int = 0  # of the payload in the file it was read from


@dataclass(frozen=True, slots=True)
class Segment:
    """`size` bytes at `offset` of a file, to be copied to `address` of the memory before anything runs."""

    address: int
    offset: int
    size: int


class _Reader:
    """A position in a part of a file that begins at `base`. Errors: `InvalidEncoding` with the place in the file."""

    def __init__(self, data: Buffer, base: int = 0) -> None:
        self._data = memoryview(data)
        self._base = base
        self._position = 0

    @property
    def offset(self) -> int:
        return self._base + self._position

    @property
    def at_end(self) -> bool:
        return self._position == len(self._data)

    def fail(self, problem: str) -> InvalidEncoding:
        return InvalidEncoding(f"not a valid WebAssembly module: {problem} at byte {self.offset}")

    def take(self, size: int) -> memoryview:
        start = self._position
        if size > len(self._data) - start:
            raise self.fail(f"{size} bytes expected and {len(self._data) - start} present")
        self._position = start + size
        return self._data[start : self._position]

    def byte(self) -> int:
        return self.take(1)[0]

    def _leb128(self) -> tuple[int, int]:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, shift + 7
        raise self.fail("no end of a 32-bit number")

    def u32(self) -> int:
        value, _ = self._leb128()
        if value >= _ADDRESS_SPACE:
            raise self.fail("a number of more than 32 bits")
        return value

    def i32(self) -> int:
        value, bits = self._leb128()
        return value - (1 << bits) if value >> (bits - 1) else value

    def name(self) -> str:
        raw = self.take(self.u32())
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError as error:
            raise self.fail("a name that is not UTF-8 ends") from error

    def rest(self) -> memoryview:
        return self.take(len(self._data) - self._position)


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
    _check_header(view[: len(_HEADER)])
    reader = _Reader(view[len(_HEADER) :], len(_HEADER))
    found = []
    while not reader.at_end:
        identifier = reader.byte()
        size = reader.u32()
        inner = _Reader(reader.take(size), reader.offset - size)
        name = inner.name() if identifier == _CUSTOM else None
        offset = inner.offset
        found.append(Section(identifier, name, inner.rest(), offset))
    return found


def _check_header(header: Buffer) -> None:
    if bytes(header[:4]) != _HEADER[:4]:
        raise InvalidEncoding("not a WebAssembly module: it does not begin with \\0asm")
    if bytes(header[4:]) != _HEADER[4:]:
        raise InvalidEncoding(
            f"not a WebAssembly module of version 1: its version field is {bytes(header[4:]).hex()}"
        )


def assemble(parts: Iterable[Section]) -> bytes:
    """The module that consists of these sections. They are taken as they are, in this order."""
    pieces: list[Buffer] = [_HEADER]
    for part in parts:
        name = b"" if part.name is None else part.name.encode()
        head = b"" if part.name is None else _unsigned(len(name)) + name
        pieces += [bytes([part.id]), _unsigned(len(head) + len(part.payload)), head, part.payload]
    return b"".join(pieces)


def custom(data: Buffer, name: str) -> memoryview | None:
    """What the first custom section of that name holds; None without one."""
    return next((part.payload for part in sections(data) if part.name == name), None)


def with_custom(data: Buffer, name: str, payload: Buffer) -> bytes:
    """The module with exactly one custom section of that name, at its end."""
    kept = [part for part in sections(data) if part.name != name]
    return assemble([*kept, Section(_CUSTOM, name, memoryview(payload).cast("B"))])


def _only(parts: list[Section], identifier: int) -> Section | None:
    return next((part for part in parts if part.id == identifier), None)


def memory_pages(data: Buffer) -> tuple[int, int | None] | None:
    """Minimum and maximum pages of the memory that the module defines; None when it defines none.

    Errors: `InvalidEncoding`, also when there are several memories or the memory is shared or has 64-bit addresses.
    """
    part = _only(sections(data), _MEMORY)
    if part is None:
        return None
    reader = _Reader(part.payload, part.offset)
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


def with_data(data: Buffer, address: int, payload: Buffer) -> bytes:
    """The module that also fills its memory from `address` on with `payload` when it is instantiated.

    The segment is appended to the data section, after which the engine writes it last. A data count section is
    kept true. Errors: `InvalidArgument` when the payload leaves the 32-bit address space.
    """
    extra = memoryview(payload).cast("B")
    if not 0 <= address <= _ADDRESS_SPACE - len(extra):
        raise InvalidArgument(f"data of {len(extra)} bytes at address {address} leaves the 32-bit memory")
    parts = sections(data)
    old = _only(parts, _DATA)
    reader = _Reader(old.payload, old.offset) if old else _Reader(memoryview(b"\0"))
    count = reader.u32() + 1
    segment = memoryview(
        b"".join([_unsigned(count), reader.rest(), _active(address), _unsigned(len(extra)), extra])
    )
    edited = []
    for part in parts:
        if part.id == _DATA_COUNT:
            edited.append(Section(_DATA_COUNT, None, memoryview(_unsigned(count))))
        elif part is old:
            edited.append(Section(_DATA, None, segment))
        else:
            edited.append(part)
    if old is None:
        after_last = max((i + 1 for i, part in enumerate(edited) if part.id != _CUSTOM), default=0)
        edited.insert(after_last, Section(_DATA, None, segment))
    return assemble(edited)


def without_large_data(fetch: Fetch, size: int, at_least: int) -> tuple[bytes, list[Segment]]:
    """A module of `size` bytes with its active data segments of `at_least` bytes emptied, and what they held.

    Copying the segments into the memory after instantiation, before the first call, is as good as the original: so
    weights need not pass through a compiler, nor be in memory twice. A module with a start function, or with
    addresses that are not constants, is left whole. Errors: `InvalidEncoding`, as `sections`.
    """
    parts = _extents(fetch, size)
    starts = any(part.id == _START for part in parts)
    pieces: list[Buffer] = [fetch(0, len(_HEADER))]
    segments: list[Segment] = []
    for part in parts:
        split = _split_data(fetch, part, at_least) if part.id == _DATA and not starts else None
        if split is None:
            pieces.append(fetch(part.start, part.end))
            continue
        payload, segments = split
        pieces += [bytes([_DATA]), _unsigned(sum(map(len, payload))), *payload]
    return b"".join(pieces), segments


@dataclass(frozen=True, slots=True)
class _Extent:
    """A section in a file: from `start` to `end`, what it holds from `contents` on."""

    id: int
    start: int
    contents: int
    end: int


def _extents(fetch: Fetch, size: int) -> list[_Extent]:
    """The sections of a module, without what they hold. Errors: as `sections`."""
    _check_header(fetch(0, min(len(_HEADER), size)))
    found = []
    start = len(_HEADER)
    while start < size:
        reader = _Reader(fetch(start, min(start + 1 + _NUMBER_BYTES, size)), start)
        identifier, length = reader.byte(), reader.u32()
        if length > size - reader.offset:
            raise reader.fail(f"{length} bytes expected and {size - reader.offset} present")
        found.append(_Extent(identifier, start, reader.offset, reader.offset + length))
        start = found[-1].end
    return found


def _split_data(fetch: Fetch, part: _Extent, at_least: int) -> tuple[list[Buffer], list[Segment]] | None:
    """The data section in pieces without its large segments, and these.

    None when an address is no constant, or the section goes on after its segments.
    """
    reader = _Reader(fetch(part.contents, min(part.contents + _NUMBER_BYTES, part.end)), part.contents)
    count = reader.u32()
    pieces: list[Buffer] = [_unsigned(count)]
    taken = []
    at = reader.offset
    for _ in range(count):
        reader = _Reader(fetch(at, min(at + 2 + 3 * _NUMBER_BYTES, part.end)), at)
        kind = reader.u32()
        address = 0
        if kind == _ACTIVE:
            if reader.byte() != _I32_CONST:
                return None
            address = reader.i32() % _ADDRESS_SPACE
            if reader.byte() != _END:
                return None
        elif kind != _PASSIVE:
            return None
        length, at = reader.u32(), reader.offset
        if length > part.end - at:
            raise reader.fail(f"{length} bytes expected and {part.end - at} present")
        contents: Buffer = b""
        if kind == _ACTIVE and length >= at_least:
            taken.append(Segment(address, at, length))
        else:
            contents = fetch(at, at + length)
        pieces += [_active(address) if kind == _ACTIVE else b"\x01", _unsigned(len(contents)), contents]
        at += length
    return (pieces, taken) if at == part.end else None


def exports(data: Buffer) -> dict[str, str]:
    """Name to kind of what the module exports: `func`, `table`, `memory`, `global` or `tag`."""
    part = _only(sections(data), _EXPORT)
    if part is None:
        return {}
    reader = _Reader(part.payload, part.offset)
    kinds = ("func", "table", "memory", "global", "tag")
    found = {}
    for _ in range(reader.u32()):
        name, kind, _index = reader.name(), reader.take(1)[0], reader.u32()
        if kind >= len(kinds):
            raise InvalidEncoding(
                f"not a valid WebAssembly module: export {name!r} has the unknown kind {kind}"
            )
        found[name] = kinds[kind]
    return found


def import_count(data: Buffer) -> int:
    """How many things the module imports."""
    part = _only(sections(data), _IMPORT)
    return 0 if part is None else _Reader(part.payload, part.offset).u32()
