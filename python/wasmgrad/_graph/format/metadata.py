"""What a compiled graph module says about itself: the JSON of its custom section, typed.

The native reader, which the engines share, checks it: whoever made the module may have lied. Nothing here reads wasm
files or runs anything.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ... import _graph_format
from ..._errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

__all__ = [
    "ABI",
    "ENTRY",
    "ITEM_BYTES",
    "MOST_THREADS",
    "SECTION",
    "Batch",
    "FixedTensor",
    "GraphMetadata",
    "PlanEntry",
    "PlanInfo",
    "Preprocess",
    "StateInfo",
    "TensorInfo",
    "Training",
    "Weights",
]

ABI = 1
ENTRY = "run"
"""What a plan is for, where nothing else is said."""
MOST_THREADS = 64
"""That a module can be compiled for."""
SECTION = "wasmgrad.graph"
ITEM_BYTES = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2, "int32": 4, "uint32": 4,
    "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip
"""By NumPy name of the dtype: every dtype that a tensor of a graph module may have."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output: its name, the NumPy name of its dtype, and its shape (empty for a scalar).

    Extents of the axes `batched` are multiples of the plan's batch; the shape has those of the largest one.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    batched: tuple[int, ...] = field(default=(), kw_only=True)

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
class Batch:
    """How many samples a plan takes in one run: from `least` to `most`."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class PlanInfo:
    """One of a module's plans: what it is for, its batch (None: it has no choice), inputs, outputs, and work."""

    entry: str
    batch: Batch | None
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    flops: int
    plan: tuple[PlanEntry, ...]

    def batch_of(self, shapes: Sequence[tuple[int, ...]]) -> int | None:
        """The batch of inputs of these shapes, in order, 0 for a plan without choice; None when they do not fit."""
        found: set[int] = set()
        for info, shape in zip(self.inputs, shapes, strict=True):
            if len(shape) != len(info.shape):
                return None
            for axis, (extent, most) in enumerate(zip(shape, info.shape, strict=True)):
                if axis in info.batched and self.batch is not None:
                    each = most // self.batch.most
                    if each == 0 or extent % each:
                        return None
                    found.add(extent // each)
                elif extent != most:
                    return None
        if self.batch is None:
            return 0
        if not found:
            return self.batch.most
        batch = found.pop()
        return batch if not found and self.batch.least <= batch <= self.batch.most else None

    def of_batch(self, batch: int) -> PlanInfo:
        """The plan with the shapes of so many samples; as it is for 0."""
        if self.batch is None or batch == 0:
            return self
        most = self.batch.most

        def sized(info: TensorInfo) -> TensorInfo:
            shape = [
                extent // most * batch if axis in info.batched else extent
                for axis, extent in enumerate(info.shape)
            ]
            return replace(info, shape=tuple(shape))

        return replace(self, inputs=tuple(map(sized, self.inputs)), outputs=tuple(map(sized, self.outputs)))

    def text_of(self, info: TensorInfo) -> str:
        """An input or output for people, with all extents that it can have."""
        if self.batch is None:
            return str(info)
        least, most = self.batch.least, self.batch.most
        extents = [
            f"{extent // most * least}..{extent}" if axis in info.batched else str(extent)
            for axis, extent in enumerate(info.shape)
        ]
        return f"{info.name}: {info.dtype}[{', '.join(extents)}]"


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
    """How the module was compiled: `simd` is "128", "relaxed" or "off"; of a native library, one of its own.

    `threads`: how many can share the work of a run.
    """

    simd: str
    opt_level: int
    threads: int


@dataclass(frozen=True, slots=True)
class FixedTensor:
    """A parameter or buffer that a training module cannot change, and the SHA-256 of its bytes."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Training:
    """Of a module that trains: its loss and optimizer, and its batches.

    `batch`: rows of a step; `partial`: whether fewer of them may count, and `least`, how many must; `top_k`: of the
    second accuracy; `classes`: of the targets, 0 for none. Entries are `step`, `evaluate`, `predict`; names of
    states begin with `model.`, `optimizer.` or `settings.`.
    """

    loss: str
    optimizer: str
    batch: int
    least: int
    partial: bool
    top_k: int
    classes: int
    fixed: tuple[FixedTensor, ...]


@dataclass(frozen=True, slots=True)
class GraphMetadata:
    """All that a graph module says about itself.

    `entry`, `batch`, `inputs`, `outputs`, `flops` and `plan` are those of its first plan; `further` are the others.
    """

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
    entry: str = ENTRY
    batch: Batch | None = None
    further: tuple[PlanInfo, ...] = ()
    training: Training | None = None

    @property
    def plans(self) -> tuple[PlanInfo, ...]:
        """All plans, in the order of the numbers that the module knows them by."""
        first = PlanInfo(self.entry, self.batch, self.inputs, self.outputs, self.flops, self.plan)
        return (first, *self.further)

    @property
    def selects(self) -> bool:
        """Whether the module has several plans, or one for batches of several sizes."""
        return bool(self.further) or self.batch is not None

    @classmethod
    def from_json(cls, text: bytes) -> GraphMetadata:
        """Reads the contents of the custom section.

        Errors: `InvalidEncoding` with the place that is not as it should be; `Unsupported` for a newer ABI.
        """
        return cls.from_fields(_graph_format.read_metadata(text))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> GraphMetadata:
        """From what the native reader found, whose names are those of the classes here."""
        preprocess, training = fields["preprocess"], fields["training"]
        if training is not None:
            fixed = tuple(FixedTensor(**tensor) for tensor in training["fixed"])
            training = Training(**(training | {"fixed": fixed}))
        typed = {
            **_plan_fields(fields),
            "model": Model(**fields["model"]),
            "states": tuple(StateInfo(**tensor) for tensor in fields["states"]),
            "memory": Memory(**fields["memory"]),
            "weights": Weights(**fields["weights"]),
            "options": Options(**fields["options"]),
            "further": tuple(PlanInfo(**plan | _plan_fields(plan)) for plan in fields["further"]),
            "training": training,
            "preprocess": None if preprocess is None else Preprocess(**preprocess),
        }
        return cls(**(fields | typed))

    def to_json(self) -> bytes:
        """The contents of the custom section."""
        document = asdict(self, dict_factory=_without_defaults)
        if self.preprocess is not None:
            document["preprocess"]["kind"] = "image"
        if self.training is None:
            del document["training"]
        return json.dumps(document, ensure_ascii=False).encode()


_DEFAULTS = {"entry": ENTRY, "batch": None, "further": (), "batched": ()}


def _without_defaults(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """What is written of a part: not what readers take for granted, as of a module with one plan."""
    return {name: value for name, value in fields if name not in _DEFAULTS or value != _DEFAULTS[name]}


def _plan_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """What a plan has, typed, of the fields of one or of all metadata."""
    return {
        "inputs": tuple(TensorInfo(**tensor) for tensor in fields["inputs"]),
        "outputs": tuple(TensorInfo(**tensor) for tensor in fields["outputs"]),
        "plan": tuple(PlanEntry(**entry) for entry in fields["plan"]),
        "batch": None if fields["batch"] is None else Batch(**fields["batch"]),
    }
