"""The engines that run graph modules, behind one protocol. Each is a module of its own, imported when it is chosen.

An engine knows nothing of arrays' meaning or of pictures; the module it is given has been checked as a file, but
every address that its code returns is checked by the engine.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..._errors import InvalidArgument
from ..format.file import GraphFile
from .native import NativeEngine, NativeFile

__all__ = ["ENGINES", "Engine", "NativeFile", "create"]

ENGINES = ("wasmtime", "wasmedge", "node", "native")


class Engine(Protocol):
    """An instance of one graph module. Errors of all: `RuntimeFailure` for a trap or a kernel's own error."""

    def write_input(self, index: int, array: NDArray[Any]) -> None:
        """Copies an array of the input's dtype and shape, however it is strided, into the module."""

    def run(self) -> float:
        """Runs the plan; the seconds it took."""

    def call(self, index: int) -> float:
        """Runs one call of the plan; the seconds it took."""

    def read_output(self, index: int) -> NDArray[Any]:
        """A copy of an output."""

    def close(self) -> None:
        """Frees the instance. Nothing else may be called after it."""


def create(engine: str, graph: GraphFile | NativeFile) -> Engine:
    """Instantiates a module in an engine, with its weights in place.

    Errors: `InvalidArgument` for an unknown engine, `NotFound` for one that is not installed, `InvalidEncoding` for a
    module that the engine refuses or whose addresses are outside its memory.
    """
    if isinstance(graph, NativeFile):
        return NativeEngine(graph)
    if engine == "wasmtime":
        from .wasmtime import WasmtimeEngine

        return WasmtimeEngine(graph)
    if engine == "node":
        from .node import NodeEngine

        return NodeEngine(graph)
    if engine == "wasmedge":
        from .wasmedge import WasmEdgeEngine

        return WasmEdgeEngine(graph)
    raise InvalidArgument(f"engine {engine!r}: expected one of {', '.join(ENGINES)}")


def packed(array: NDArray[Any]) -> memoryview:
    """The bytes of an array, dense and row-major; copied only when it is not so already."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
