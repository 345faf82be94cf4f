"""
The native core of wasmgrad that runs graph modules. Use it through the package.
"""

from typing import Any

import numpy.typing


class GraphExecutor:
    """A graph module, compiled and loaded by WasmEdge."""

    def __init__(self, module: int | memoryview, weights: int | memoryview | None, cache_dir: str, max_pages: int) -> None:
        """
        An int is the descriptor of an open file, which is read rather than kept in memory.
        """

    def write_input(self, index: int, data: bytes | bytearray | memoryview | numpy.typing.NDArray[Any]) -> None: ...

    def select(self, number: int, batch: int) -> None: ...

    def run(self) -> None: ...

    def call(self, index: int) -> None: ...

    def read_output(self, index: int, data: bytearray | memoryview | numpy.typing.NDArray[Any]) -> None: ...

    def write_state(self, index: int, data: bytes | bytearray | memoryview | numpy.typing.NDArray[Any]) -> None: ...

    def read_state(self, index: int, data: bytearray | memoryview | numpy.typing.NDArray[Any]) -> None: ...
