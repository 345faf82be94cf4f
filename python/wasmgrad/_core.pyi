"""The native core of wasmgrad. Use it through the package."""

from collections.abc import Callable
from typing import Any

import numpy
import numpy.typing


class Dataset:
    """Samples and targets, copied and checked for one kind of loss."""

    def __init__(self, inputs: numpy.typing.NDArray[Any], targets: numpy.typing.NDArray[Any], loss: str, max_bytes: int) -> None: ...

class Trainer:
    """A model, an optimizer and their whole state."""

    def __init__(self, model: bytes, name: str, options: str, on_event: Callable[[dict[str, Any]], object] | None) -> None: ...

    def fit(self, train: Dataset, validation: Dataset | None, test: Dataset | None) -> dict[str, Any]: ...

    def evaluate(self, data: Dataset) -> dict[str, Any]: ...

    def step(self, inputs: numpy.typing.NDArray[Any], targets: numpy.typing.NDArray[Any]) -> dict[str, Any]: ...

    def predict(self, inputs: numpy.typing.NDArray[Any]) -> numpy.typing.NDArray[numpy.float32]: ...

    def checkpoint(self) -> bytes: ...

    def restore(self, checkpoint: bytes) -> None: ...

    def model(self) -> bytes: ...

    @property
    def epoch(self) -> int: ...

    @property
    def parameters(self) -> int: ...

    @property
    def loss(self) -> str: ...

class GraphExecutor:
    """A graph module, compiled and loaded by WasmEdge."""

    def __init__(self, wasm: bytes | memoryview, weights: bytes | memoryview | None, cache_dir: str, max_pages: int) -> None: ...

    def write_input(self, index: int, data: bytes | bytearray | memoryview | numpy.typing.NDArray[Any]) -> None: ...

    def run(self) -> None: ...

    def call(self, index: int) -> None: ...

    def read_output(self, index: int, data: bytearray | memoryview | numpy.typing.NDArray[Any]) -> None: ...

class StopToken:
    """A request to stop, polled by a run."""

    def __init__(self) -> None: ...

    def request(self) -> None: ...

def run(config: str, on_event: Callable[[dict[str, Any]], object] | None, stop: StopToken) -> tuple[int, float]:
    """
    Runs the configuration (JSON) in this process. Returns the guest's exit code and the seconds it took.
    """

def engine_version() -> str:
    """Version of the WasmEdge library in use."""

def vet_torchscript(archive: bytes) -> None:
    """
    Raises unless loading the TorchScript archive is harmless: what is not on the allow-list is named.
    """
