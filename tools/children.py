"""Runs a function on many things, each in a forked child process with a time and a memory limit.

What the function gives is pickled; whatever else becomes of a child is told in words. It must not know what runs.
"""

from __future__ import annotations

import gc
import multiprocessing
import multiprocessing.connection
import os
import resource
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Failed", "run_each"]

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

    jobs: how many at a time. seconds, memory: of one child; memory counts the bytes of its data. What the caller has
    loaded, children need not load again.
    """
    gc.freeze()  # or every child would copy the pages that its collector touches
    context = multiprocessing.get_context("fork")
    waiting = list(reversed(tasks))
    running: list[_Child[Task]] = []
    while waiting or running:
        while waiting and len(running) < max(1, jobs):
            task = waiting.pop()
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(task, work, memory, writer))
            process.start()
            writer.close()
            running.append(_Child(task, process, reader, time.monotonic()))
        multiprocessing.connection.wait([child.reader for child in running], timeout=1)
        for child in list(running):
            late = time.monotonic() - child.start > seconds
            if not child.reader.poll() and child.process.is_alive() and not late:
                continue
            result = _received(child.reader)
            if late:
                child.process.kill()
            child.process.join()
            running.remove(child)
            ended = (
                f"no result in {seconds:g} s" if late else f"the process ended with {child.process.exitcode}"
            )
            yield child.task, Failed(ended) if result is None else result


def _received(reader: Any) -> Any:
    try:
        return reader.recv() if reader.poll() else None
    except EOFError:
        return None


def _child(task: Any, work: Callable[[Any], Any], memory: int, writer: Any) -> None:
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
