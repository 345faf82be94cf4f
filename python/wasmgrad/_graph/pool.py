"""One model on many inputs: an instance in each of some threads, what comes of the inputs in their order."""

from __future__ import annotations

import os
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from .._errors import Error, InvalidArgument

__all__ = ["Outcome", "Runner", "run_all"]

_AHEAD = 2  # inputs that wait for each instance: more would only take memory


@dataclass(frozen=True)
class Outcome:
    """What came of one input: a result, or the error instead of it."""

    input: Any
    result: Any = None
    error: Error | None = None

    def get(self) -> Any:
        """The result. Errors: the input's own."""
        if self.error is not None:
            raise self.error
        return self.result


class Runner(Protocol):
    """An instance that runs one input at a time."""

    def run(self, given: Any) -> Any:
        """What the model makes of an input. Errors: `Error`."""

    def close(self) -> None:
        """Frees the instance."""


def run_all(make: Callable[[], Runner], inputs: Iterable[Any], workers: int | None) -> Iterator[Outcome]:
    """Runs every input in one of `workers` instances, as many as there are usable cores when None.

    Inputs are taken as they are needed, so there may be any number of them. One that fails does not end the others.
    Errors: `InvalidArgument` for less than one worker; what `make` raises.
    """
    count = len(os.sched_getaffinity(0)) if workers is None else workers
    if count < 1:
        raise InvalidArgument(f"workers: {count} are too few; expected 1 or more")
    idle: queue.SimpleQueue[Runner] = queue.SimpleQueue()
    instances = []
    try:
        for _ in range(count):
            instances.append(make())
            idle.put(instances[-1])
        yield from _in_order(idle, inputs, count)
    finally:
        for instance in instances:
            instance.close()


def _in_order(idle: queue.SimpleQueue[Runner], inputs: Iterable[Any], count: int) -> Iterator[Outcome]:
    def run(given: Any) -> Outcome:
        instance = idle.get()
        try:
            return Outcome(given, instance.run(given))
        except Error as error:
            return Outcome(given, error=error)
        finally:
            idle.put(instance)

    with ThreadPoolExecutor(count, thread_name_prefix="wasmgrad") as threads:
        waiting: deque[Future[Outcome]] = deque()
        try:
            for given in inputs:
                waiting.append(threads.submit(run, given))
                if len(waiting) > _AHEAD * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
