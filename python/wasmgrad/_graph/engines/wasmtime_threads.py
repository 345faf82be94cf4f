"""The other threads of a graph module in wasmtime: each runs an instance of its own over the same memory.

A thread sleeps inside the module until there is work. One that fails makes the run fail that it took part in.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime._instance import InstanceExports

__all__ = ["SharedMemory", "Threads"]

_PATIENCE = 10.0  # seconds that a thread is given to end


class SharedMemory(wasmtime.SharedMemory):
    """One that can be imported: wasmtime 50 hands over the address of its pointer to it."""

    def _as_extern(self) -> ffi.wasmtime_extern_t:
        union = ffi.wasmtime_extern_union(sharedmemory=self.ptr())
        return ffi.wasmtime_extern_t(ffi.WASMTIME_EXTERN_SHAREDMEMORY, union)


class Threads:
    """Threads 1 to `count` - 1 of a module, until `stop`, which is the main instance's `graph_stop`.

    Errors: `wasmtime.WasmtimeError` and `wasmtime.Trap` of an instance that cannot be made.
    """

    def __init__(
        self,
        instance: Callable[[], tuple[wasmtime.Store, InstanceExports]],
        count: int,
        stop: Callable[[], object],
    ) -> None:
        self.failures: list[str] = []
        made = [instance() for _ in range(1, count)]
        self._threads = [
            threading.Thread(target=_serve, args=(*each, index, self.failures), daemon=True)
            for index, each in enumerate(made, start=1)
        ]
        for thread in self._threads:
            thread.start()
        self.end = weakref.finalize(self, _end, stop, self._threads)
        """Makes all of them return, and waits for it, but not long for a module that does not do so. It is also called
        when nobody needs them any more."""


def _serve(store: wasmtime.Store, exports: InstanceExports, index: int, failures: list[str]) -> None:
    graph_thread, graph_stop = exports["graph_thread"], exports["graph_stop"]
    assert isinstance(graph_thread, wasmtime.Func)
    assert isinstance(graph_stop, wasmtime.Func)
    try:
        code = graph_thread(store, index)
        if code != 0:
            failures.append(f"graph_thread({index}) failed with code {code}")
    except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
        failures.append(f"graph_thread({index}) failed: {str(error).strip().splitlines()[-1].strip()}")
        graph_stop(store)  # or the run would wait for this thread


def _end(stop: Callable[[], object], threads: list[threading.Thread]) -> None:
    with contextlib.suppress(wasmtime.Trap, wasmtime.WasmtimeError):  # of a module that fails at that, too
        stop()
    for thread in threads:
        thread.join(_PATIENCE)
