"""Models compiled with `--target native`: shared libraries, called in this process. They are not sandboxed.

Each instance loads a copy of its own, because a library that is loaded twice has its data once.
"""

from __future__ import annotations

import _ctypes
import ctypes
import struct
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._errors import InvalidEncoding, RuntimeFailure, Unsupported
from ..format.cpu import LEVELS, missing
from ..format.file import Blob, Source
from ..format.metadata import GraphMetadata, StateInfo, TensorInfo

__all__ = ["NativeEngine", "NativeFile"]

_ELF = b"\x7fELF"
_EXPORTS = (
    "graph_initialize",
    "graph_metadata",
    "graph_input",
    "graph_output",
    "graph_run",
    "graph_call",
    "graph_close",
)


class NativeFile:
    """A native graph library, loaded: what `GraphFile` is for WebAssembly.

    Errors: `NotFound`, `InvalidEncoding` when it is no library that wasmgrad made for this kind of computer.
    """

    def __init__(self, source: Source) -> None:
        self.module = Blob(source, "graph library")
        self.weights: Blob | None = None
        _check_whole(self.module)
        try:
            with tempfile.NamedTemporaryFile(suffix=".so") as copy:
                copy.write(self.module.read())
                copy.flush()
                self.library = ctypes.CDLL(copy.name)
            for name in _EXPORTS:
                getattr(self.library, name)
        except (OSError, AttributeError) as error:
            raise InvalidEncoding(
                f"{self.module.name}: not a graph library for this computer: {error}"
            ) from error
        self.library.graph_metadata.restype = ctypes.c_char_p
        self.metadata = GraphMetadata.from_json(self.library.graph_metadata())
        self._check_cpu()

    def _check_cpu(self) -> None:
        """Errors: `Unsupported` where its code would end the process for instructions that the CPU lacks."""
        level = self.metadata.options.simd
        if level not in LEVELS:
            raise InvalidEncoding(f"{self.module.name}: says that it is no library but WebAssembly ({level})")
        if lacking := missing(level):
            raise Unsupported(
                f"{self.module.name}: is compiled for a CPU with {', '.join(sorted(lacking))}, which this one has not; "
                "compile the model on this computer"
            )

    def close(self) -> None:
        """Closes the file and unloads the library."""
        self.module.close()
        _ctypes.dlclose(self.library._handle)


def _check_whole(library: Blob) -> None:
    """Errors: `InvalidEncoding` unless it is an ELF file with all its parts, whose last is the section table.

    The system's loader ends the process on one that was cut short.
    """
    header = bytes(library.read(0, min(64, library.size)))
    if header[:4] != _ELF:
        raise InvalidEncoding(
            f"{library.name}: not a shared library; WebAssembly modules need another engine"
        )
    if len(header) == 64:
        (table,), (entry, count) = struct.unpack_from("<Q", header, 40), struct.unpack_from("<HH", header, 58)
        if table + entry * count <= library.size:
            return
    raise InvalidEncoding(f"{library.name}: not a graph library for this computer: it has been cut short")


class NativeEngine:
    """See `Engine`. Tensors are views of the library's memory."""

    def __init__(self, graph: NativeFile, threads: int) -> None:
        self._library = graph.library
        self._name = graph.module.name
        for name in ("graph_input", "graph_output"):
            getattr(self._library, name).restype = ctypes.c_void_p
        if self._library.graph_initialize() != 0:
            raise RuntimeFailure(f"{self._name}: not enough memory for {graph.metadata.memory.bytes:,} bytes")
        self._plans = graph.metadata.plans
        for number in reversed(range(len(self._plans))):
            self.select(number, 0)
        self._states = self._state_views(graph.metadata.states)
        if threads > 1:
            self._library.graph_start_threads(threads - 1)

    def select(self, number: int, batch: int) -> None:
        """See `Engine`."""
        if len(self._plans) > 1 or self._plans[0].batch is not None:
            self._elapsed(time.perf_counter(), self._library.graph_select(number, batch))
        plan = self._plans[number].of_batch(batch)
        self._inputs = self._views("graph_input", plan.inputs)
        self._outputs = self._views("graph_output", plan.outputs)

    def write_input(self, index: int, array: NDArray[Any]) -> None:
        """See `Engine`."""
        np.copyto(self._inputs[index], array)

    def run(self) -> float:
        """See `Engine`."""
        begin = time.perf_counter()
        status = self._library.graph_run()
        return self._elapsed(begin, status)

    def call(self, index: int) -> float:
        """See `Engine`."""
        begin = time.perf_counter()
        status = self._library.graph_call(index)
        return self._elapsed(begin, status)

    def read_output(self, index: int) -> NDArray[Any]:
        """See `Engine`."""
        return self._outputs[index].copy()

    def write_state(self, index: int, array: NDArray[Any]) -> None:
        """See `Engine`."""
        np.copyto(self._states[index], array)

    def read_state(self, index: int) -> NDArray[Any]:
        """See `Engine`."""
        return self._states[index].copy()

    def close(self) -> None:
        """See `Engine`."""
        self._inputs, self._outputs, self._states = [], [], []
        self._library.graph_close()

    def _elapsed(self, begin: float, status: int) -> float:
        elapsed = time.perf_counter() - begin
        if status != 0:
            raise RuntimeFailure(f"{self._name}: the model failed with error {status}")
        return elapsed

    def _state_views(self, states: tuple[StateInfo, ...]) -> list[NDArray[Any]]:
        """An older library has no function that tells where they are, and none."""
        if not states:
            return []
        try:
            self._library.graph_state.restype = ctypes.c_void_p
        except AttributeError as error:
            raise InvalidEncoding(f"{self._name}: it does not export the function 'graph_state'") from error
        return self._views("graph_state", states)

    def _views(self, function: str, tensors: Sequence[TensorInfo]) -> list[NDArray[Any]]:
        views = []
        for index, info in enumerate(tensors):
            address = getattr(self._library, function)(index)
            if address is None:
                raise InvalidEncoding(f"{self._name}: {function}({index}) returns no address")
            memory = (ctypes.c_uint8 * info.nbytes).from_address(address)
            views.append(
                np.frombuffer(memoryview(memory), np.uint8).view(info.numpy_dtype).reshape(info.shape)
            )
        return views
