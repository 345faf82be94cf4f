"""What a compiled graph module says about itself: the JSON of its custom section, typed.

The native reader, which the engines share, checks it: whoever made the module may have lied. Nothing here reads wasm
files or runs anything.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ... import _graph_format
from ..._errors import Unsupported

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "ABI",
    "ITEM_BYTES",
    "SECTION",
    "GraphMetadata",
    "PlanEntry",
    "Preprocess",
    "StateInfo",
    "TensorInfo",
    "Weights",
]

ABI = 1
SECTION = "wasmgrad.graph"
ITEM_BYTES = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2, "int32": 4, "uint32": 4,
    "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip
"""By NumPy name of the dtype: every dtype that a tensor of a graph module may have."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output: its name, the NumPy name of its dtype, and its shape (empty for a scalar)."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype of NumPy. Errors: `Unsupported` for bfloat16 without the package ml_dtypes."""
        import numpy as np

        if self.dtype != "bfloat16":
            return np.dtype(self.dtype)
        try:
            import ml_dtypes
        except ImportError as error:
            raise Unsupported(
                f"{self.name}: bfloat16 arrays need the package ml_dtypes; install it with `pip install ml_dtypes`"
            ) from error
        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class StateInfo(TensorInfo):
    """A tensor that a module keeps from one run to the next, called as the input that it was in the model.

    `output` is the model's output whose value becomes the next one.
    """

    output: str


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """One call of the plan: its name, the kernel, and the work in floating-point operations and bytes touched."""

    name: str
    kernel: str
    flops: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a picture becomes an input tensor.

    The shorter side becomes `resize` pixels (None: both sides become those of `crop`), the middle `crop` (height,
    width) is kept, and each channel is (pixel * `scale` - `mean`) / `std`, in the order `color` and the axes `layout`.
    """

    resize: int | None
    crop: tuple[int, int]
    interpolation: str
    layout: str
    color: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        """1 for grey pictures, else 3."""
        return 1 if self.color == "L" else 3

    @classmethod
    def parse(cls, text: bytes) -> Preprocess:
        """From a JSON document of its own. Errors: `InvalidEncoding` with the place that is not as it should be."""
        return cls(**_graph_format.read_preprocess(text))


@dataclass(frozen=True, slots=True)
class Weights:
    """Where the weights are (`mode`: "embed" in the module, "file" beside it), how many bytes, and their SHA-256."""

    mode: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Model:
    """The source: its name, format, SHA-256, and the ONNX opset where there is one."""

    name: str
    format: str
    sha256: str
    opset: int | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Linear memory in bytes: all of it, and the parts for weights and for inputs, outputs and intermediates."""

    bytes: int
    weights: int
    workspace: int


@dataclass(frozen=True, slots=True)
class Options:
    """How the module was compiled: `simd` is "128", "relaxed" or "off"; of a native library, one of its own."""

    simd: str
    opt_level: int


@dataclass(frozen=True, slots=True)
class GraphMetadata:
    """All that a graph module says about itself."""

    abi: int
    producer: str
    model: Model
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    operators: dict[str, int]
    parameters: int
    flops: int
    memory: Memory
    weights: Weights
    options: Options
    plan: tuple[PlanEntry, ...]
    preprocess: Preprocess | None
    labels: tuple[str, ...] | None
    states: tuple[StateInfo, ...] = ()

    @classmethod
    def from_json(cls, text: bytes) -> GraphMetadata:
        """Reads the contents of the custom section.

        Errors: `InvalidEncoding` with the place that is not as it should be; `Unsupported` for a newer ABI.
        """
        return cls.from_fields(_graph_format.read_metadata(text))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> GraphMetadata:
        """From what the native reader found, whose names are those of the classes here."""
        preprocess = fields["preprocess"]
        typed = {
            "model": Model(**fields["model"]),
            "inputs": tuple(TensorInfo(**tensor) for tensor in fields["inputs"]),
            "outputs": tuple(TensorInfo(**tensor) for tensor in fields["outputs"]),
            "states": tuple(StateInfo(**tensor) for tensor in fields["states"]),
            "memory": Memory(**fields["memory"]),
            "weights": Weights(**fields["weights"]),
            "options": Options(**fields["options"]),
            "plan": tuple(PlanEntry(**entry) for entry in fields["plan"]),
            "preprocess": None if preprocess is None else Preprocess(**preprocess),
        }
        return cls(**(fields | typed))

    def to_json(self) -> bytes:
        """The contents of the custom section."""
        document = asdict(self)
        if self.preprocess is not None:
            document["preprocess"]["kind"] = "image"
        return json.dumps(document, ensure_ascii=False).encode()
