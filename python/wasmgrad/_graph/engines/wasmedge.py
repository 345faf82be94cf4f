"""Graph modules in WasmEdge, through the native core, which checks every address."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._errors import Error, NotFound
from ..._files import cache_dir
from ..format.file import GraphFile
from .engine import packed

__all__ = ["WasmEdgeEngine"]


class WasmEdgeEngine:
    """See `Engine`."""

    def __init__(self, graph: GraphFile) -> None:
        try:
            from ... import _graph_core
        except ImportError as error:
            raise NotFound(f"the engine wasmedge is not part of this installation: {error}") from error
        self._name = graph.module.name
        self._plans = graph.metadata.plans
        self._outputs = self._plans[0].outputs
        self._states = graph.metadata.states
        weights = None if graph.weights is None else graph.weights.source()
        with self._named():
            self._executor = _graph_core.GraphExecutor(
                graph.module.source(), weights, str(cache_dir() / "wasmedge"), graph.contents.pages
            )

    def select(self, number: int, batch: int) -> None:
        """See `Engine`."""
        with self._named():
            self._executor.select(number, batch)
        self._outputs = self._plans[number].of_batch(batch).outputs

    def write_input(self, index: int, array: NDArray[Any]) -> None:
        """See `Engine`."""
        self._executor.write_input(index, packed(array))

    def run(self) -> float:
        """See `Engine`."""
        start = time.perf_counter()
        with self._named():
            self._executor.run()
        return time.perf_counter() - start

    def call(self, index: int) -> float:
        """See `Engine`."""
        start = time.perf_counter()
        with self._named():
            self._executor.call(index)
        return time.perf_counter() - start

    def read_output(self, index: int) -> NDArray[Any]:
        """See `Engine`."""
        info = self._outputs[index]
        values: NDArray[Any] = np.empty(info.shape, info.numpy_dtype)
        self._executor.read_output(index, packed(values))
        return values

    def write_state(self, index: int, array: NDArray[Any]) -> None:
        """See `Engine`."""
        self._executor.write_state(index, packed(array))

    def read_state(self, index: int) -> NDArray[Any]:
        """See `Engine`."""
        info = self._states[index]
        values: NDArray[Any] = np.empty(info.shape, info.numpy_dtype)
        self._executor.read_state(index, packed(values))
        return values

    def close(self) -> None:
        """See `Engine`."""
        del self._executor

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Puts the module's name before the core's errors."""
        try:
            yield
        except Error as error:
            raise type(error)(f"{self._name}: {error.message}") from error
