"""Just enough of ELF (64-bit little-endian): what a file needs, and dropping version requirements.

It must not know which versions are too new; its caller says so.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deps.report import FetchError

_DT_NEEDED, _DT_STRTAB = 1, 5
_DT_VERSYM, _DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFF0, 0x6FFFFFFE, 0x6FFFFFFF
_PT_LOAD, _PT_DYNAMIC = 1, 2
_SHT_DYNSYM = 11


@dataclass
class _Requirement:
    """One `(library, versions)` group of the version requirements: file offsets of its records."""

    offset: int
    versions: list[int]


class SharedObject:
    """A shared object or executable in memory."""

    def __init__(self, path: Path) -> None:
        """Read `path`.

        Raises:
            FetchError: it is not a 64-bit little-endian ELF file with a dynamic section.
        """
        self.path = path
        self.data = bytearray(path.read_bytes())
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise FetchError(f"{path} is not a 64-bit little-endian ELF file")
        (phoff,) = self._unpack("<Q", 32)
        phentsize, phnum = self._unpack("<HH", 54)
        headers = [self._unpack("<IIQQQQQQ", phoff + i * phentsize) for i in range(phnum)]
        self._loads = [(h[3], h[2], h[5]) for h in headers if h[0] == _PT_LOAD]
        dynamic = next((h for h in headers if h[0] == _PT_DYNAMIC), None)
        if dynamic is None:
            raise FetchError(f"{path} has no dynamic section")
        self._dynamic: list[tuple[int, int, int]] = []
        for offset in range(dynamic[2], dynamic[2] + dynamic[5], 16):
            tag, value = self._unpack("<QQ", offset)
            if tag == 0:
                break
            self._dynamic.append((tag, value, offset))

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        return struct.unpack_from(layout, self.data, offset)

    def _entry(self, tag: int) -> tuple[int, int] | None:
        return next(((value, offset) for t, value, offset in self._dynamic if t == tag), None)

    def _file_offset(self, address: int) -> int:
        for start, offset, size in self._loads:
            if start <= address < start + size:
                return address - start + offset
        raise FetchError(f"{self.path}: address {address:#x} is in no segment")

    def _string(self, index: int) -> str:
        table = self._entry(_DT_STRTAB)
        assert table is not None  # every dynamic section has one
        start = self._file_offset(table[0]) + index
        return self.data[start : self.data.index(0, start)].decode()

    @property
    def needed(self) -> list[str]:
        """Sonames of the libraries it names."""
        return [self._string(value) for tag, value, _ in self._dynamic if tag == _DT_NEEDED]

    def _requirements(self) -> list[_Requirement]:
        entry = self._entry(_DT_VERNEED)
        if entry is None:
            return []
        groups: list[_Requirement] = []
        offset = self._file_offset(entry[0])
        while True:
            _, count, _, first, following = self._unpack("<HHIII", offset)
            versions: list[int] = []
            position = offset + first
            for _ in range(count):
                versions.append(position)
                position += self._unpack("<I", position + 12)[0]
            groups.append(_Requirement(offset, versions))
            if following == 0:
                return groups
            offset += following

    def drop_versions(self, too_new: Callable[[str], bool]) -> set[str]:
        """Remove each version requirement that is too new, and make the symbols that carry it unversioned.

        Returns the versions that were dropped.
        """
        dropped: set[str] = set()
        indices: set[int] = set()
        kept_groups: list[_Requirement] = []
        for group in self._requirements():
            kept: list[int] = []
            for position in group.versions:
                index, name = self._unpack("<HI", position + 6)
                if too_new(self._string(name)):
                    dropped.add(self._string(name))
                    indices.add(index)
                else:
                    kept.append(position)
            if kept:
                kept_groups.append(_Requirement(group.offset, kept))
        if dropped:
            self._relink(kept_groups)
            self._unversion_symbols(indices)
        return dropped

    def _relink(self, groups: list[_Requirement]) -> None:
        """Chain the kept records of the requirement table; the others stay in the file as dead bytes."""
        head, count = self._entry(_DT_VERNEED), self._entry(_DT_VERNEEDNUM)
        if head is None or count is None or not groups:
            raise FetchError(f"{self.path}: every version requirement would be dropped")
        shift = groups[0].offset - self._file_offset(head[0])
        struct.pack_into("<Q", self.data, head[1] + 8, head[0] + shift)
        struct.pack_into("<Q", self.data, count[1] + 8, len(groups))
        for group, after in zip(groups, [*groups[1:], None], strict=True):
            struct.pack_into("<H", self.data, group.offset + 2, len(group.versions))
            struct.pack_into("<I", self.data, group.offset + 8, group.versions[0] - group.offset)
            struct.pack_into("<I", self.data, group.offset + 12, after.offset - group.offset if after else 0)
            for position, follower in zip(group.versions, [*group.versions[1:], None], strict=True):
                struct.pack_into("<I", self.data, position + 12, follower - position if follower else 0)

    def _unversion_symbols(self, indices: set[int]) -> None:
        versym = self._entry(_DT_VERSYM)
        assert versym is not None  # a file with version requirements has one
        start = self._file_offset(versym[0])
        for i in range(self._symbol_count()):
            (value,) = self._unpack("<H", start + 2 * i)
            if value & 0x7FFF in indices:
                struct.pack_into("<H", self.data, start + 2 * i, 1)  # VER_NDX_GLOBAL

    def _symbol_count(self) -> int:
        (shoff,) = self._unpack("<Q", 40)
        shentsize, shnum = self._unpack("<HH", 58)
        for i in range(shnum):
            section = self._unpack("<IIQQQQIIQQ", shoff + i * shentsize)
            if section[1] == _SHT_DYNSYM:
                return section[5] // 24
        raise FetchError(f"{self.path} has no table of dynamic symbols")
