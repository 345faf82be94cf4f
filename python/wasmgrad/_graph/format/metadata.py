"""What a compiled graph module says about itself: the JSON of its custom section, typed and checked.

Whoever made the module may have lied, so nothing is taken without a check of its type and range. Nothing here reads
wasm files or runs anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..._errors import InvalidEncoding, Unsupported

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "ABI",
    "ITEM_BYTES",
    "SECTION",
    "GraphMetadata",
    "PlanEntry",
    "Preprocess",
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

_MAX_JSON = 64 << 20
_ADDRESS_SPACE = 1 << 32

T = TypeVar("T")


class _Node:
    """A JSON value and its place in the document. Errors: `InvalidEncoding` that names the place."""

    def __init__(self, value: Any, place: str) -> None:
        self.value = value
        self.place = place

    def fail(self, expected: str) -> InvalidEncoding:
        shown = repr(self.value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return InvalidEncoding(f"{self.place}: expected {expected}, not {shown}")

    def get(self, key: str) -> _Node:
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        return _Node(self.value.get(key), f"{self.place}.{key}")

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.fail("a text")
        return self.value

    def choice(self, *values: str) -> str:
        if self.value not in values:
            raise self.fail(f"one of {', '.join(values)}")
        return self.text()

    def count(self, limit: int = 1 << 63) -> int:
        """An integer of 0 or more, up to and without `limit`."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not 0 <= self.value < limit:
            raise self.fail(f"an integer from 0 to {limit - 1}")
        return self.value

    def number(self) -> float:
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            raise self.fail("a number")
        if not abs(self.value) <= 1e30:
            raise self.fail("a number of at most 1e30")
        return float(self.value)

    def items(self) -> list[_Node]:
        if not isinstance(self.value, list):
            raise self.fail("a list")
        return [_Node(value, f"{self.place}[{i}]") for i, value in enumerate(self.value)]

    def counts(self) -> dict[str, int]:
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        return {key: _Node(value, f"{self.place}.{key}").count() for key, value in self.value.items()}

    def optional(self, read: Callable[[_Node], T]) -> T | None:
        return None if self.value is None else read(self)


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

    @classmethod
    def read(cls, node: _Node) -> TensorInfo:
        """From its JSON object. Errors: `InvalidEncoding`."""
        shape = tuple(extent.count(_ADDRESS_SPACE) for extent in node.get("shape").items())
        info = cls(node.get("name").text(), node.get("dtype").choice(*ITEM_BYTES), shape)
        if info.nbytes >= _ADDRESS_SPACE:
            raise node.get("shape").fail("a tensor of less than 4 GiB")
        return info


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """One call of the plan: its name, the kernel, and the work in floating-point operations and bytes touched."""

    name: str
    kernel: str
    flops: int
    bytes: int

    @classmethod
    def read(cls, node: _Node) -> PlanEntry:
        """From its JSON object. Errors: `InvalidEncoding`."""
        return cls(
            node.get("name").text(),
            node.get("kernel").text(),
            node.get("flops").count(),
            node.get("bytes").count(),
        )


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
    def parse(cls, text: str | bytes) -> Preprocess:
        """From a JSON document of its own. Errors: `InvalidEncoding`."""
        return cls.read(_Node(_parse(text), "preprocess"))

    @classmethod
    def read(cls, node: _Node) -> Preprocess:
        """From its JSON object. Errors: `InvalidEncoding`."""
        side = 1 << 15
        node.get("kind").choice("image")
        crop = node.get("crop")
        sides = [part.count(side) for part in crop.items()] if isinstance(crop.value, list) else None
        if sides is None:
            sides = [crop.count(side)] * 2
        resize = node.get("resize").optional(lambda part: part.count(side))
        if len(sides) != 2 or not all(sides):
            raise crop.fail("one or two sides of at least 1 pixel")
        if resize is not None and resize < max(sides):
            raise node.get("resize").fail(f"at least the side of the crop, {max(sides)}")
        made = cls(
            resize,
            (sides[0], sides[1]),
            node.get("interpolation").choice("nearest", "bilinear", "bicubic", "lanczos"),
            node.get("layout").choice("NCHW", "NHWC"),
            node.get("color").choice("RGB", "BGR", "L"),
            node.get("scale").number(),
            tuple(part.number() for part in node.get("mean").items()),
            tuple(part.number() for part in node.get("std").items()),
        )
        if len(made.mean) != made.channels:
            raise node.get("mean").fail(f"one number for each channel of {made.color}")
        if len(made.std) != made.channels or not all(made.std):
            raise node.get("std").fail(f"one number other than 0 for each channel of {made.color}")
        return made


@dataclass(frozen=True, slots=True)
class Weights:
    """Where the weights are (`mode`: "embed" in the module, "file" beside it), how many bytes, and their SHA-256."""

    mode: str
    bytes: int
    sha256: str

    @classmethod
    def read(cls, node: _Node) -> Weights:
        """From its JSON object. Errors: `InvalidEncoding`."""
        mode = node.get("mode").choice("embed", "file")
        digest = node.get("sha256").text()
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise node.get("sha256").fail("64 hexadecimal digits")
        return cls(mode, node.get("bytes").count(_ADDRESS_SPACE), digest)


@dataclass(frozen=True, slots=True)
class Model:
    """The source: its name, format, SHA-256, and the ONNX opset where there is one."""

    name: str
    format: str
    sha256: str
    opset: int | None

    @classmethod
    def read(cls, node: _Node) -> Model:
        """From its JSON object. Errors: `InvalidEncoding`."""
        return cls(
            node.get("name").text(),
            node.get("format").text(),
            node.get("sha256").text(),
            node.get("opset").optional(_Node.count),
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """Linear memory in bytes: all of it, and the parts for weights and for inputs, outputs and intermediates."""

    bytes: int
    weights: int
    workspace: int

    @classmethod
    def read(cls, node: _Node) -> Memory:
        """From its JSON object. Errors: `InvalidEncoding`, also when the parts exceed the whole."""
        whole = node.get("bytes").count(_ADDRESS_SPACE + 1)
        memory = cls(whole, node.get("weights").count(whole + 1), node.get("workspace").count(whole + 1))
        if memory.weights + memory.workspace > whole:
            raise node.fail("weights and workspace within the memory")
        return memory


@dataclass(frozen=True, slots=True)
class Options:
    """How the module was compiled: `simd` is "128", "relaxed" or "off"; of a native library, one of its own."""

    simd: str
    opt_level: int

    @classmethod
    def read(cls, node: _Node) -> Options:
        """From its JSON object. Errors: `InvalidEncoding`."""
        simd = node.get("simd").choice("128", "relaxed", "off", "baseline", "x86-64-v3", "x86-64-v4")
        return cls(simd, node.get("opt_level").count())


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

    @classmethod
    def from_json(cls, text: str | bytes) -> GraphMetadata:
        """Reads the contents of the custom section.

        Errors: `InvalidEncoding` with the place that is not as it should be; `Unsupported` for a newer ABI.
        """
        root = _Node(_parse(text), "metadata")
        abi = root.get("abi").count()
        if abi > ABI:
            raise Unsupported(f"the module has graph ABI {abi}; this version of wasmgrad reads up to {ABI}")
        if abi == 0:
            raise root.get("abi").fail("an ABI of 1 or more")
        made = cls(
            abi,
            root.get("producer").text(),
            Model.read(root.get("model")),
            _tensors(root.get("inputs")),
            _tensors(root.get("outputs")),
            root.get("operators").counts(),
            root.get("parameters").count(),
            root.get("flops").count(),
            Memory.read(root.get("memory")),
            Weights.read(root.get("weights")),
            Options.read(root.get("options")),
            tuple(PlanEntry.read(node) for node in root.get("plan").items()),
            root.get("preprocess").optional(Preprocess.read),
            root.get("labels").optional(lambda node: tuple(part.text() for part in node.items())),
        )
        for tensor in (*made.inputs, *made.outputs):
            if tensor.nbytes > made.memory.bytes:
                raise InvalidEncoding(
                    f"metadata: {tensor} has {tensor.nbytes:,} bytes, more than the {made.memory.bytes:,} of the memory"
                )
        if made.weights.bytes > made.memory.weights:
            raise root.get("weights").fail("weights that fit their part of the memory")
        return made

    def to_json(self) -> str:
        """The contents of the custom section."""
        document = asdict(self)
        if self.preprocess is not None:
            document["preprocess"]["kind"] = "image"
        return json.dumps(document, ensure_ascii=False)


def _parse(text: str | bytes) -> Any:
    if len(text) > _MAX_JSON:
        raise InvalidEncoding(f"metadata of {len(text):,} bytes: expected at most {_MAX_JSON:,}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidEncoding(f"metadata: not JSON: {error}") from error


def _tensors(node: _Node) -> tuple[TensorInfo, ...]:
    tensors = tuple(TensorInfo.read(item) for item in node.items())
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise node.fail("names that differ")
    return tensors
