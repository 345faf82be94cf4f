"""What a guest in wasmtime writes to its console, as events.

Through pipes, into which the engine writes before the guest goes on. A function of ours as the stream would be called
later, from a thread of the engine: after the guest's end, or while Python shuts down.
"""

from __future__ import annotations

import codecs
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import wasmtime

from .._result import Event

__all__ = ["console_events"]

_CHUNK = 65536


@contextmanager
def console_events(wasi: wasmtime.WasiConfig, on_event: Callable[[Event], None]) -> Iterator[None]:
    """While it lasts, what is written to the streams of `wasi` arrives as events, in a thread a stream.

    All of it has arrived at the end, for which the store that took `wasi` must be closed. What `on_event` raises
    first is raised then.
    """
    readers = []
    raised: list[Exception] = []
    for stream in ("stdout", "stderr"):
        source, sink = os.pipe()
        setattr(wasi, f"{stream}_file", f"/proc/self/fd/{sink}")
        os.close(sink)  # the engine has opened one of its own, whose closing ends the reader
        reader = threading.Thread(target=_report, args=(source, stream, on_event, raised), daemon=True)
        reader.start()
        readers.append(reader)
    try:
        yield
    finally:
        for reader in readers:
            reader.join()
    if raised:
        raise raised[0]


def _report(source: int, stream: str, on_event: Callable[[Event], None], raised: list[Exception]) -> None:
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    with open(source, "rb", buffering=0) as pipe:
        data = b"."
        while data:  # to the end in any case: the guest would wait for room in the pipe
            data = pipe.read(_CHUNK)
            text = decode(data, final=not data)
            if text and not raised:
                try:
                    on_event({"event": "console", "stream": stream, "text": text})
                except Exception as error:
                    raised.append(error)
