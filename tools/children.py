"""Runs a function on many things, each in a forked child process with a limit of processor time and of memory.

What the function gives is pickled; whatever else becomes of a child is told in words. It must not know what runs.
"""

from __future__ import annotations

import gc
import math
import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Failed", "run_each"]

_PATIENCE = (
    20  # times its processor time that a child may take by the clock, so that one that waits for ever ends
)

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failed:
    """A child gave no result, for this reason."""

    reason: str


@dataclass(frozen=True)
class _Child(Generic[Task]):
    task: Task
    process: Any
    reader: Any
    start: float


def run_each(
    tasks: Sequence[Task], work: Callable[[Task], Result], jobs: int, seconds: float, memory: int
) -> Iterator[tuple[Task, Result | Failed]]:
    """Each task with what `work` makes of it, in the order in which they end.

    jobs: how many at a time. seconds, memory: of one child; seconds are processor time, of which a busy machine takes
    none away, and memory counts the bytes of its data. What the caller has loaded, children need not load again.
    """
    gc.freeze()  # or every child would copy the pages that its collector touches
    context = multiprocessing.get_context("fork")
    waiting = list(reversed(tasks))
    running: list[_Child[Task]] = []
    while waiting or running:
        while waiting and len(running) < max(1, jobs):
            task = waiting.pop()
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(task, work, seconds, memory, writer))
            process.start()
            writer.close()
            running.append(_Child(task, process, reader, time.monotonic()))
        multiprocessing.connection.wait([child.reader for child in running], timeout=1)
        for child in list(running):
            late = time.monotonic() - child.start > _PATIENCE * seconds
            if not child.reader.poll() and child.process.is_alive() and not late:
                continue
            result = _received(child.reader)
            if late:
                child.process.kill()
            child.process.join()
            running.remove(child)
            yield child.task, _failed(child.process.exitcode, seconds, late) if result is None else result


def _failed(status: int, seconds: float, late: bool) -> Failed:
    if late:
        return Failed(f"no result in {_PATIENCE * seconds:g} s")
    if status == -signal.SIGXCPU:
        return Failed(f"no result in {seconds:g} s of processor time")
    return Failed(f"the process ended with {status}")


def _received(reader: Any) -> Any:
    try:
        return reader.recv() if reader.poll() else None
    except EOFError:
        return None


def _child(task: Any, work: Callable[[Any], Any], seconds: float, memory: int, writer: Any) -> None:
    allowed = math.ceil(seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (allowed, allowed + 10))  # then it cannot be ignored any more
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))  # of addresses, engines and torch reserve more
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    warnings.simplefilter("ignore")
    try:
        writer.send(work(task))
    except BaseException as error:  # the parent reports whatever it was
        writer.send(Failed(f"{type(error).__name__}: {error}"[-300:]))
