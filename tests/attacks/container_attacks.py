"""Zip containers that are not what they seem."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

import hostile_archives as archives
from attack_book import Book
from hostile_archives import Entry


def container_attacks(book: Book, entries: list[Entry]) -> None:
    """The records `entries` of a model in other containers."""
    good = archives.build(entries)
    last = entries[-1]
    top = last.name.split("/", 1)[0]

    def changed(suffix: str, change: Callable[[Entry], Entry]) -> list[Entry]:
        return [change(entry) if entry.name.endswith("/" + suffix) else entry for entry in entries]

    def extra(name: str, data: bytes = b"x") -> list[Entry]:
        return [*entries, Entry(name, data)]

    bomb = Entry(f"{top}/code/__torch__/bomb.py", b"\n" * (64 << 20), deflate=True)
    book.archive("zip-bomb", [*entries, bomb], "too_large", "code")
    book.archive(
        "zip-bomb-that-lies", [*entries, replace(bomb, size=100)], "invalid_encoding", "compressed data"
    )
    book.archive(
        "deflated-tensor",
        changed("data/0", lambda e: replace(e, deflate=True)),
        "invalid_encoding",
        "compressed",
    )
    book.archive("duplicate-record", [*entries, entries[0]], "invalid_encoding", "duplicate")
    book.archive("duplicate-by-case", extra(f"{top}/DATA.PKL"), "invalid_encoding", "duplicate")
    book.archive("second-top-folder", extra("other/data.pkl"), "security", "plain path")
    book.archive("path-with-dots", extra(f"{top}/../../etc/passwd"), "security", "plain path")
    book.archive("path-absolute", [Entry("/etc/passwd", b"x"), *entries], "security", "top folder")
    book.archive("path-backslash", extra(f"{top}/extra\\..\\x"), "security", "plain path")
    book.archive("unknown-record", extra(f"{top}/model.json", b"{}"), "security", "model.json")
    book.archive("path-with-zero-byte", extra(f"{top}/extra/a\0b"), "security", "plain path")
    book.archive("path-look-alike", extra(f"{top}/d\u0430ta.pkl"), "security", "plain path")
    book.archive("path-empty", extra(f"{top}/"), "security", "plain path")
    book.archive(
        "path-to-device", extra(f"{top}/code/__torch__/../../../dev/stdin.py"), "security", "plain path"
    )
    book.archive("path-very-long", extra(f"{top}/extra/" + "a" * 60_000), "security", "plain path")
    book.archive("nested-archive", extra(f"{top}/code/__torch__/inner.pt", good), "security", "inner.pt")
    book.raw("two-directories", good + good, "invalid_encoding", "central directory")
    book.raw(
        "end-record-in-comment",
        good[:-2] + struct.pack("<H", len(good[-22:])) + good[-22:],
        "invalid_encoding",
        "central directory",
    )
    book.archive(
        "encrypted", changed("data.pkl", lambda e: replace(e, flags=1)), "invalid_encoding", "encrypted"
    )
    book.archive("crc-wrong", changed("data/0", lambda e: replace(e, crc=1)), "invalid_encoding", "CRC-32")
    book.archive(
        "crc-of-code-wrong",
        changed("hostile_models.py", lambda e: replace(e, crc=1)),
        "invalid_encoding",
        "CRC-32",
    )
    book.archive(
        "headers-disagree",
        changed("data.pkl", lambda e: replace(e, local_name=f"{top}/dada.pkl")),
        "invalid_encoding",
        "differently",
    )
    book.archive(
        "record-past-the-end",
        changed("data/0", lambda e: replace(e, size=1 << 30)),
        "invalid_encoding",
        "past",
    )
    book.archive(
        "records-overlap",
        changed("data/0", lambda e: replace(e, size=len(e.data) + 40)),
        "invalid_encoding",
        "",
    )
    book.archive(
        "big-endian",
        changed("byteorder", lambda e: replace(e, data=b"big")),
        "invalid_encoding",
        "byte order",
    )
    book.archive(
        "version-from-the-future",
        changed("version", lambda e: replace(e, data=b"99\n")),
        "invalid_encoding",
        "version",
    )
    book.archive(
        "no-data", [e for e in entries if not e.name.endswith("/data.pkl")], "invalid_encoding", "data.pkl"
    )
    book.archive(
        "no-constants",
        [e for e in entries if not e.name.endswith("/constants.pkl")],
        "invalid_encoding",
        "constants.pkl",
    )
    book.archive(
        "no-version", [e for e in entries if not e.name.endswith("/version")], "invalid_encoding", "version"
    )
    book.archive("no-code", [e for e in entries if "/code/" not in e.name], "invalid_encoding", "not defined")
    book.archive(
        "too-many-records",
        [*entries, *(Entry(f"{top}/extra/{i}", b"") for i in range(60_000))],
        "too_large",
        "records",
    )
    book.raw("truncated", good[: len(good) // 2], "invalid_encoding", "truncated")
    book.raw("bytes-behind", good + b"x", "invalid_encoding", "end record")
    book.raw("bytes-before", b"#!/bin/sh\n" + good, "invalid_encoding", "zip")
    book.raw("not-a-zip", b"none of it" * 100, "invalid_encoding", "zip")
    book.raw("bare-pickle", b"\x80\x02}q\x00." * 100, "invalid_encoding", "torch.save")
    book.raw("empty", b"", "invalid_encoding", "zip")
