"""The native core of wasmgrad. Use it through the package."""

from collections.abc import Callable
from typing import Any

import numpy
import numpy.typing


class Dataset:
    """Rows of named inputs and targets, copied."""

    def __init__(self, inputs: list[tuple[str, numpy.typing.NDArray[Any]]], targets: list[tuple[str, numpy.typing.NDArray[Any]]], max_bytes: int) -> None: ...

    def split(self, fractions: list[float], seed: int) -> list[Dataset]: ...

    def __len__(self) -> int: ...

class Trainer:
    """A model, an optimizer and their whole state."""

    def __init__(self, model: bytes, name: str, options: str, model_options: str, distributed: str, on_event: Callable[[dict[str, Any]], object] | None) -> None: ...

    def fit(self, train: Dataset, validation: Dataset | None, test: Dataset | None) -> dict[str, Any]: ...

    def train_epoch(self, train: Dataset) -> dict[str, Any]: ...

    def evaluate(self, data: Dataset) -> dict[str, Any]: ...

    def step(self, inputs: list[tuple[str, numpy.typing.NDArray[Any]]], targets: list[tuple[str, numpy.typing.NDArray[Any]]]) -> dict[str, Any]: ...

    def backward(self, inputs: list[tuple[str, numpy.typing.NDArray[Any]]], targets: list[tuple[str, numpy.typing.NDArray[Any]]]) -> dict[str, Any]: ...

    def apply(self) -> None: ...

    def predict(self, inputs: list[tuple[str, numpy.typing.NDArray[Any]]]) -> dict[str, numpy.typing.NDArray[Any]]: ...

    def set(self, key: str, value: float) -> None: ...

    def get_parameters(self) -> numpy.typing.NDArray[numpy.float32]: ...

    def set_parameters(self, values: numpy.typing.NDArray[numpy.float32]) -> None: ...

    def get_gradients(self) -> numpy.typing.NDArray[numpy.float32]: ...

    def set_gradients(self, values: numpy.typing.NDArray[numpy.float32]) -> None: ...

    def get_buffers(self) -> numpy.typing.NDArray[numpy.float32]: ...

    def set_buffers(self, values: numpy.typing.NDArray[numpy.float32]) -> None: ...

    def state(self) -> dict[str, numpy.typing.NDArray[Any]]: ...

    def set_state(self, tensors: list[tuple[str, numpy.typing.NDArray[Any]]]) -> None: ...

    def checkpoint(self) -> bytes: ...

    def restore(self, checkpoint: bytes) -> None: ...

    def model(self) -> bytes: ...

    def weights(self) -> bytes: ...

    @property
    def branches(self) -> list[str]: ...

    def adapters(self) -> bytes: ...

    @property
    def epoch(self) -> int: ...

    @property
    def steps(self) -> int: ...

    @property
    def rank(self) -> int: ...

    @property
    def processes(self) -> int: ...

    @property
    def parameters(self) -> int: ...

    @property
    def warnings(self) -> list[str]: ...

class GuestHost:
    """The imports of one guest, for an engine that Python drives."""

    def __init__(self, config: str, on_event: Callable[[dict[str, Any]], object] | None) -> None: ...

    def functions(self) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
        """Module, name, parameter types and result types of each import."""

    def call(self, index: int, memory: int, size: int, arguments: tuple[float, ...]) -> tuple[float, ...]:
        """
        Calls an import with the guest's memory, whose address is valid until this returns. Raises what should end the guest.
        """

    def finish(self) -> None:
        """
        To be called when the guest has ended: writes what the owner asked for. Raises what went wrong on the owner's side.
        """

    def request_stop(self) -> None:
        """Ends a running training after its step. Safe in a signal handler."""

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

def model_warnings(archive: bytes) -> list[str]:
    """
    What of a model training cannot follow, a sentence each. Raises when it cannot be trained.
    """

def torchscript_for_inference(archive: bytes) -> bytes:
    """
    A model, TorchScript or a torch.export program, in evaluation mode as a TorchScript archive that is safe to load and to run: memory that it asks for holds zeros. The forward of a program returns a tuple of all tensors, whatever the program packs them in. Raises when the file is damaged, or holds what is not on the allow-list.
    """
