"""Collects attacks on vetting: the files, and what has to be said to each."""

from __future__ import annotations

from pathlib import Path

import hostile_archives as archives
import torch
from hostile_archives import Entry


class Book:
    """Collects the attacks and writes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refuse: list[dict[str, str]] = []

    def model(self, name: str, module: torch.nn.Module, word: str, errc: str = "security") -> None:
        """A model saved by PyTorch."""
        torch.jit.script(module).save(str(self.folder / f"{name}.pt"))
        self.expect(name, errc, word)

    def raw(self, name: str, data: bytes, errc: str, word: str) -> None:
        """A file of `data`."""
        (self.folder / f"{name}.pt").write_bytes(data)
        self.expect(name, errc, word)

    def archive(self, name: str, entries: list[Entry], errc: str, word: str) -> None:
        """A zip file of `entries`."""
        self.raw(name, archives.build(entries), errc, word)

    def expect(self, name: str, errc: str, word: str) -> None:
        """Notes what vetting has to say to the file `name`."""
        self.refuse.append({"file": f"{name}.pt", "errc": errc, "word": word})


def swap(data: bytes, old: bytes, new: bytes) -> bytes:
    """`data` with its first `old` replaced, which must be there."""
    assert old in data, old
    return data.replace(old, new, 1)
