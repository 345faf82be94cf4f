"""Zip files written byte by byte, so that they can say things that no library would write."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import ZipFile


@dataclass(frozen=True)
class Entry:
    """One record, and the lies that its headers tell.

    `None` means the truth. `data` are the bytes before compression.
    """

    name: str
    data: bytes
    deflate: bool = False
    flags: int = 0
    crc: int | None = None
    size: int | None = None
    local_name: str | None = None


def read(path: Path) -> list[Entry]:
    """The records of an archive with their full names, in order."""
    with ZipFile(path) as archive:
        return [
            Entry(info.filename, archive.read(info), info.compress_type == 8) for info in archive.infolist()
        ]


def with_record(entries: list[Entry], suffix: str, data: bytes) -> list[Entry]:
    """`entries`, where the record whose name ends in "/" + `suffix` holds `data` instead."""
    assert any(entry.name.endswith("/" + suffix) for entry in entries), suffix
    return [replace(entry, data=data) if entry.name.endswith("/" + suffix) else entry for entry in entries]


def record(entries: list[Entry], suffix: str) -> bytes:
    """The bytes of the record whose name ends in "/" + `suffix`."""
    return next(entry.data for entry in entries if entry.name.endswith("/" + suffix))


def build(entries: list[Entry]) -> bytes:
    """A zip file of `entries`."""
    body = bytearray()
    directory = bytearray()
    for entry in entries:
        stored = entry.data
        if entry.deflate:
            compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
            stored = compressor.compress(entry.data) + compressor.flush()
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        size = len(entry.data) if entry.size is None else entry.size
        stored_size = len(stored) if entry.deflate else size
        method = 8 if entry.deflate else 0
        name = entry.name.encode()
        local_name = name if entry.local_name is None else entry.local_name.encode()
        fields = (entry.flags, method, 0, 0, crc, stored_size, size)
        offset = len(body)
        body += struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, *fields, len(local_name), 0) + local_name + stored
        directory += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, *fields, len(name), 0, 0, 0, 0, 0, offset
        )
        directory += name
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(entries), len(entries), len(directory), len(body), 0)
    return bytes(body + directory + end)
