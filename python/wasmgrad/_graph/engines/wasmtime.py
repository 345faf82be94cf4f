"""Graph modules in wasmtime, in this process.

Compiled code is kept in the user's cache. Weights do not pass the compiler: they are copied from the file.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..._errors import InvalidEncoding, NotFound, RuntimeFailure
from ..._files import cache_dir, keep_recent, mark_used, write_atomic
from ..format.file import GraphFile
from ..format.metadata import TensorInfo

try:
    import wasmtime
    from wasmtime._instance import InstanceExports

    from .wasmtime_threads import SharedMemory, Threads
except ImportError as error:
    raise NotFound("the engine wasmtime is not installed; install it with `pip install wasmtime`") from error

__all__ = ["WasmtimeEngine"]

_SETTINGS = "speed, relaxed SIMD"  # part of the cache key: what Config says below
_THREAD_SETTINGS = f"{_SETTINGS}, threads"
_Made = TypeVar("_Made")
_MAX_TABLE = 1 << 20
_MAX_CACHE = 2 << 30  # bytes of compiled code that are kept
_SIGNATURES = {
    "_initialize": ([], []),
    "graph_input": (["i32"], ["i32"]),
    "graph_output": (["i32"], ["i32"]),
    "graph_weights": ([], ["i32"]),
    "graph_run": ([], ["i32"]),
    "graph_call": (["i32"], ["i32"]),
}
_OF_STATES = {"graph_state": (["i32"], ["i32"])}  # where the metadata has any
_OF_PLANS = {"graph_select": (["i32", "i32"], ["i32"])}  # where there is something to choose
_THREAD_SIGNATURES = {
    "graph_thread": (["i32"], ["i32"]),
    "graph_stop": ([], []),
    "graph_spin": ([], []),
}


class WasmtimeEngine:
    """See `Engine`. Tensors are views of the instance's memory, whose size is fixed."""

    def __init__(self, graph: GraphFile, threads: int) -> None:
        self._name = graph.module.name
        shared = graph.metadata.options.threads > 1
        engine = wasmtime.Engine(_config(shared))
        module = _compiled(engine, graph.contents.code, _THREAD_SETTINGS if shared else _SETTINGS, self._name)
        memories = [self._shared_memory(engine, graph)] if shared else []
        instantiate = functools.partial(_instance, engine, module, memories, graph.contents.memory)
        self._store, exports = self._instantiated(instantiate)
        metadata = graph.metadata
        expected = {
            **_SIGNATURES,
            **(_OF_STATES if metadata.states else {}),
            **(_OF_PLANS if metadata.selects else {}),
            **(_THREAD_SIGNATURES if shared else {}),
        }
        self._functions = {
            name: self._function(exports[name], name, signature) for name, signature in expected.items()
        }
        self._memory: NDArray[np.uint8] = self._bytes(memories[0] if shared else exports["memory"])
        for segment in graph.contents.segments:
            where = self._range(segment.address, segment.size, "a data segment")
            graph.module.read_into(where.data, segment.offset)
        self._invoke("_initialize")
        if graph.weights is not None:
            address = self._invoke("graph_weights")
            where = self._range(address, graph.weights.size, "graph_weights()")
            graph.weights.read_into(where.data)
            graph.check_weights(where.data)
        self._threads: Threads | None = None
        self._plans = metadata.plans
        for number in reversed(range(len(self._plans))):
            self.select(number, 0)
        self._states = self._tensors("state", metadata.states) if metadata.states else []
        if threads > 1:
            stop = functools.partial(self._functions["graph_stop"], self._store)
            self._threads = self._instantiated(lambda: Threads(instantiate, threads, stop))

    def select(self, number: int, batch: int) -> None:
        """See `Engine`."""
        if len(self._plans) > 1 or self._plans[0].batch is not None:
            self._timed("graph_select", number, batch)
        plan = self._plans[number].of_batch(batch)
        self._inputs = self._tensors("input", plan.inputs)
        self._outputs = self._tensors("output", plan.outputs)

    def write_input(self, index: int, array: NDArray[Any]) -> None:
        """See `Engine`."""
        self._inputs[index][...] = array

    def run(self) -> float:
        """See `Engine`."""
        return self._timed("graph_run")

    def call(self, index: int) -> float:
        """See `Engine`."""
        return self._timed("graph_call", index)

    def read_output(self, index: int) -> NDArray[Any]:
        """See `Engine`."""
        return self._outputs[index].copy()

    def write_state(self, index: int, array: NDArray[Any]) -> None:
        """See `Engine`."""
        self._states[index][...] = array

    def read_state(self, index: int) -> NDArray[Any]:
        """See `Engine`."""
        return self._states[index].copy()

    def close(self) -> None:
        """See `Engine`."""
        if self._threads is not None:
            self._threads.end()
        self._inputs, self._outputs, self._states, self._memory = [], [], [], np.empty(0, np.uint8)
        self._store.close()

    def _instantiated(self, make: Callable[[], _Made]) -> _Made:
        """What `make` returns. Errors: those of making an instance, in words."""
        try:
            return make()
        except wasmtime.WasmtimeError as error:
            raise RuntimeFailure(f"{self._name}: cannot be instantiated: {_reason(error)}") from error
        except wasmtime.Trap as error:
            raise InvalidEncoding(f"{self._name}: cannot be instantiated: {_reason(error)}") from error

    def _shared_memory(self, engine: wasmtime.Engine, graph: GraphFile) -> SharedMemory:
        pages = graph.contents.pages
        kind = wasmtime.MemoryType(wasmtime.Limits(pages, pages), shared=True)
        return self._instantiated(lambda: SharedMemory(engine, kind))

    def _bytes(self, memory: Any) -> NDArray[np.uint8]:
        if isinstance(memory, SharedMemory):
            address = ctypes.addressof(memory.data_ptr().contents)
            shared = (ctypes.c_uint8 * memory.data_len()).from_address(address)
            shared.owner = memory  # type: ignore[attr-defined]
            return np.frombuffer(memoryview(shared), np.uint8)
        assert isinstance(memory, wasmtime.Memory)  # GraphFile has checked its kind
        return np.frombuffer(memoryview(memory.get_buffer_ptr(self._store)), np.uint8)

    def _function(self, export: Any, name: str, expected: tuple[list[str], list[str]]) -> wasmtime.Func:
        kind = export.type(self._store)
        if ([str(part) for part in kind.params], [str(part) for part in kind.results]) != expected:
            raise InvalidEncoding(f"{self._name}: not a graph module: {name} has another signature")
        assert isinstance(export, wasmtime.Func)
        return export

    def _invoke(self, name: str, *arguments: int) -> int:
        try:
            return int(self._functions[name](self._store, *arguments) or 0)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            shown = ", ".join(map(str, arguments))
            raise RuntimeFailure(f"{self._name}: {name}({shown}) failed: {_reason(error)}") from error

    def _timed(self, name: str, *arguments: int) -> float:
        start = time.perf_counter()
        code = self._invoke(name, *arguments)
        seconds = time.perf_counter() - start
        if code != 0:
            shown = ", ".join(map(str, arguments))
            why = [] if self._threads is None else self._threads.failures[:1]
            raise RuntimeFailure("; ".join([f"{self._name}: {name}({shown}) failed with code {code}", *why]))
        return seconds

    def _range(self, address: int, size: int, what: str) -> NDArray[np.uint8]:
        """The memory of an address that the module gave, over its full extent."""
        address %= 1 << 32
        if address + size > len(self._memory):
            raise InvalidEncoding(
                f"{self._name}: {what}: {size:,} bytes at {address:#x} run past the end of the memory "
                f"({len(self._memory):,} bytes)"
            )
        return self._memory[address : address + size]

    def _tensors(self, side: str, infos: Sequence[TensorInfo]) -> list[NDArray[Any]]:
        """Views of all inputs, outputs or states in memory."""
        function = f"graph_{side}"
        if self._invoke(function, len(infos)) != 0:
            raise InvalidEncoding(
                f"{self._name}: the module has more {side}s than the {len(infos)} of its metadata"
            )
        views = []
        for index, info in enumerate(infos):
            address = self._invoke(function, index)
            if address == 0:
                raise InvalidEncoding(f"{self._name}: {function}({index}) is 0, but the metadata has {info}")
            place = self._range(address, info.nbytes, f"{function}({index}), {info}")
            views.append(place.view(info.numpy_dtype).reshape(info.shape))
        return views


def _config(shared: bool) -> wasmtime.Config:
    config = wasmtime.Config()
    config.wasm_relaxed_simd = True
    config.cranelift_opt_level = "speed"
    config.wasm_threads = shared
    config.shared_memory = shared
    return config


def _instance(
    engine: wasmtime.Engine, module: wasmtime.Module, imports: Sequence[SharedMemory], memory_bytes: int
) -> tuple[wasmtime.Store, InstanceExports]:
    store = wasmtime.Store(engine)
    store.set_limits(memory_size=memory_bytes, table_elements=_MAX_TABLE, instances=1, tables=8, memories=1)
    return store, wasmtime.Instance(store, module, imports).exports(store)


def _reason(error: Exception) -> str:
    """The last line of a report that may hold a backtrace: the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("wasm trap: ") if lines else type(error).__name__


def _compiled(engine: wasmtime.Engine, code: bytes, settings: str, name: str) -> wasmtime.Module:
    """The module, from the cache when it has been compiled before for this machine and version."""
    folder = _private_folder()
    key = hashlib.sha256(f"{version('wasmtime')} {platform.machine()} {settings}\n".encode() + code)
    cached = folder / f"{key.hexdigest()}.cwasm" if folder else None
    if cached is not None and cached.is_file():
        mark_used(cached)
        with contextlib.suppress(wasmtime.WasmtimeError):  # of another processor: compiled again and replaced
            return wasmtime.Module.deserialize_file(engine, str(cached))
    try:
        module = wasmtime.Module(engine, code)
    except wasmtime.WasmtimeError as error:
        raise InvalidEncoding(f"{name}: wasmtime refuses the module: {_reason(error)}") from error
    if cached is not None:
        with contextlib.suppress(RuntimeFailure):  # a full disk costs the next load some time, nothing else
            write_atomic(cached, bytes(module.serialize()))
            keep_recent(cached.parent, "*.cwasm", _MAX_CACHE)
    return module


def _private_folder() -> Path | None:
    """Where compiled code is kept, or None when others could write there: it is trusted like a program."""
    folder = cache_dir() / "wasmtime"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat(follow_symlinks=False)
    except OSError:
        return None
    return folder if state.st_uid == os.getuid() and state.st_mode & 0o077 == 0 else None
