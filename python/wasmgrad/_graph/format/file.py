"""A graph module as bytes, on disk or in memory: opened, checked and read.

What holds for every engine is refused here, before any engine sees the module: by the native reader metadata that
contradicts the wasm, missing exports and imports; then more memory than allowed, weights of another model. Nothing is
run.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ... import _graph_format
from ..._errors import Error, InvalidArgument, InvalidEncoding, NotFound, RuntimeFailure, TooLarge
from .metadata import GraphMetadata
from .wasm import PAGE

__all__ = ["Blob", "GraphContents", "GraphFile", "Segment", "Source", "examine"]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview


class Blob:
    """Read-only bytes of a file or of memory; `path` is None for the latter."""

    def __init__(self, source: Source, what: str) -> None:
        self.path: Path | None = None
        self._file = None
        if isinstance(source, bytes | bytearray | memoryview):
            self._bytes = memoryview(source).cast("B").toreadonly()
            self.name, self.size = what, len(self._bytes)
            return
        self.path = Path(source)
        self.name = str(self.path)
        try:
            self._file = self.path.open("rb", buffering=0)
            self.size = os.fstat(self._file.fileno()).st_size
        except FileNotFoundError as error:
            raise NotFound(f"{self.path}: this {what} does not exist") from error
        except OSError as error:
            raise RuntimeFailure(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def origin(self) -> Path | bytes:
        """What opens it again: the whole path of its file, or its bytes."""
        return bytes(self._bytes) if self.path is None else self.path.absolute()

    def source(self) -> int | memoryview:
        """For who reads by itself what is too large to be in memory twice: the file's descriptor, or the memory."""
        return self._bytes if self._file is None else self._file.fileno()

    def read_into(self, target: memoryview, offset: int = 0) -> None:
        """Fills `target` with what begins at `offset`. Errors: `RuntimeFailure` when it is no longer there."""
        if self._file is None:
            target[:] = self._bytes[offset : offset + len(target)]
            return
        while len(target) > 0:
            count = os.preadv(self._file.fileno(), [target], offset)
            if count == 0:
                raise self._shortened()
            target = target[count:]
            offset += count

    def read(self, start: int = 0, end: int | None = None) -> bytes | memoryview:
        """What is between two offsets, of a file copied. Errors: as `read_into`."""
        end = self.size if end is None else end
        if self._file is None:
            return self._bytes[start:end]
        found = bytearray(end - start)
        self.read_into(memoryview(found), start)
        return memoryview(found).toreadonly()

    def _shortened(self) -> RuntimeFailure:
        return RuntimeFailure(f"{self.name}: the file has become shorter since it was opened")

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()


class GraphFile:
    """A graph module whose claims about itself hold, with its metadata and, when they are apart, its weights.

    `weights` names the side file, or gives its bytes; None: beside the module. `max_memory` is in bytes.
    Errors: `NotFound`, `InvalidEncoding`, `Unsupported`, `TooLarge`, `InvalidArgument`, each naming the file.
    """

    def __init__(self, source: Source, weights: Source | None = None, max_memory: int | None = None) -> None:
        self.module = Blob(source, "graph module")
        self.weights: Blob | None = None
        try:
            self.contents = examine(self.module)
            if max_memory is not None and self.contents.memory > max_memory:
                raise TooLarge(
                    f"{self.module.name}: the module needs {self.contents.memory:,} bytes of memory; "
                    f"{max_memory:,} are allowed"
                )
            self._open_weights(weights)
        except BaseException:
            self.close()
            raise

    @property
    def metadata(self) -> GraphMetadata:
        """What the module says of itself."""
        return self.contents.metadata

    def _open_weights(self, source: Source | None) -> None:
        expected = self.metadata.weights
        if expected.mode == "embed":
            if source is not None:
                raise InvalidArgument(f"{self.module.name}: holds its weights itself; weights were given too")
            return
        if source is None:
            if self.module.path is None:
                raise InvalidArgument(f"{self.module.name}: its weights are in a file, and none was given")
            source = self.module.path.with_suffix(".weights")
        self.weights = Blob(source, "weights file")
        if self.weights.size != expected.bytes:
            raise InvalidEncoding(
                f"{self.weights.name}: has {self.weights.size:,} bytes; {self.module.name} expects {expected.bytes:,}"
            )

    def check_weights(self, contents: bytes | memoryview) -> None:
        """Errors: `InvalidEncoding` when these contents of the side file are not of this model."""
        assert self.weights is not None
        found, expected = hashlib.sha256(contents).hexdigest(), self.metadata.weights.sha256
        if found != expected:
            raise InvalidEncoding(
                f"{self.weights.name}: these are not the weights of {self.module.name}: their SHA-256 is {found}, "
                f"expected {expected}"
            )

    def close(self) -> None:
        """Closes the files."""
        self.module.close()
        if self.weights is not None:
            self.weights.close()


@dataclass(frozen=True, slots=True)
class Segment:
    """`size` bytes at `offset` of a file, to be copied to `address` of the memory before anything runs."""

    address: int
    offset: int
    size: int


@dataclass(frozen=True)
class GraphContents:
    """What a graph module holds: its memory has `pages`, its `code` lacks the large data, which `segments` tell of.

    Copying the segments into the memory after instantiation, before the first call, is as good as the original: so
    weights need not pass through a compiler, nor be in memory twice.
    """

    metadata: GraphMetadata
    pages: int
    code: bytes
    segments: list[Segment]

    @property
    def memory(self) -> int:
        """Bytes of its memory."""
        return self.pages * PAGE


def examine(module: Blob) -> GraphContents:
    """The contents of what must be a graph module.

    Errors: `InvalidEncoding` for a module that is none or that lies, `Unsupported` for a newer ABI, `RuntimeFailure`
    when it cannot be read, `TooLarge` for more than 1 GiB beside the large data, each naming the file.
    """
    try:
        found = _graph_format.read_module(module.source())
    except Error as error:
        raise type(error)(f"{module.name}: {error.message}") from error
    return GraphContents(
        GraphMetadata.from_fields(found["metadata"]),
        found["pages"],
        found["code"],
        [Segment(*segment) for segment in found["segments"]],
    )
