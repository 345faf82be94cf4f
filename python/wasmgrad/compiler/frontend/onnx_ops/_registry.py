"""Converters of ONNX operators to Relax: how they are registered, and what a converter sees of a node.

It knows nothing of single operators, nor of how a whole graph is walked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from tvm import relax

from ...._errors import Unsupported
from ..._relax import literal, numpy_dtype
from ._stored import CARRIERS, Stored

__all__ = [
    "CARRIERS",
    "DTYPES",
    "Converter",
    "Node",
    "Nothing",
    "Stored",
    "TensorList",
    "Value",
    "converter",
    "dtype_name",
    "find_converter",
    "literal",
    "may_fold",
    "numpy_dtype",
    "only_stored",
    "shape_of",
]


# Element types that tensors may have at run time.
DTYPES = frozenset(
    (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "bfloat16", "float32", "float64"),
    )
)


@dataclass(frozen=True)
class TensorList:
    """An ONNX sequence of tensors whose length is known while importing."""

    items: tuple[Any, ...]


@dataclass(frozen=True)
class Nothing:
    """An ONNX optional that holds no value."""


# What a name in a graph stands for: a constant, a Relax variable, one of these in the carrier of a type that values are
# only stored in, a sequence or an empty optional.
Value = Any
Converter = Callable[["Node"], Any]

_CONVERTERS: dict[tuple[str, str], list[tuple[int, Converter]]] = {}


def converter(
    op: str, since: int = 1, domain: str = "", fold: bool = True
) -> Callable[[Converter], Converter]:
    """Registers a function as the converter of operator `op` from operator-set version `since` on.

    It is given a `Node` and returns the node's output, or a list of its outputs: Relax expressions, numpy constants,
    `TensorList` or `Nothing`. Trailing outputs that the node does not name may be left out. A node that only has
    constant inputs is evaluated while importing instead, unless `fold` is false.
    """

    def register(function: Converter) -> Converter:
        versions = _CONVERTERS.setdefault((domain, op), [])
        versions.append((since, function))
        versions.sort(key=lambda version: version[0])
        if not fold:
            _NOT_FOLDED.add((domain, op))
        return function

    return register


_NOT_FOLDED: set[tuple[str, str]] = set()


def find_converter(domain: str, op: str, opset: int) -> Converter | None:
    """The newest registered converter that is not newer than `opset`."""
    found = None
    for since, function in _CONVERTERS.get((domain, op), ()):
        if since <= opset:
            found = function
    return found


def may_fold(domain: str, op: str) -> bool:
    """Whether a node of this operator may be evaluated while importing."""
    return (domain, op) not in _NOT_FOLDED


def dtype_name(elem_type: int) -> str:
    """NumPy's name of an ONNX element type, as `float32` for 1; the kinds that NumPy lacks are named by ml_dtypes."""
    if elem_type == onnx.TensorProto.STRING:
        return "string"
    return str(helper.tensor_dtype_to_np_dtype(elem_type))


class Graphs(Protocol):
    """What a node needs from the importer: the builder, and a way to import a subgraph in the node's scope."""

    @property
    def builder(self) -> Any:
        """The Relax block builder that nodes emit into."""

    def import_subgraph(self, graph: onnx.GraphProto, arguments: Sequence[Value]) -> list[Value]:
        """Imports `graph` with its inputs bound to `arguments`; returns its outputs."""

    def convert(self, node: Node) -> list[Value]:
        """Imports a node that stands in no graph; returns its outputs."""


class Node:
    """One node of a graph whose inputs are already converted.

    `op`, `name`, `domain` and `opset` (of that domain) name it; `outputs` is how many outputs the graph names, trailing
    empty names not counted, and `wanted(i)` tells whether output `i` has a name. `within` is the node that this one is
    a part of, where an operator is written in terms of others.
    """

    def __init__(
        self,
        proto: onnx.NodeProto,
        opset: int,
        values: Sequence[Value | None],
        graphs: Graphs,
        within: Node | None = None,
    ) -> None:
        self.proto = proto
        self.op: str = proto.op_type
        self.name: str = proto.name or next((name for name in proto.output if name), "")
        self.domain: str = "" if proto.domain == "ai.onnx" else proto.domain
        self.opset = opset
        self.graphs = graphs
        self.within = within
        self.values = list(values)
        self.outputs = max((i + 1 for i, name in enumerate(proto.output) if name), default=0)
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}
        self._expressions: dict[int, Any] = {}

    # -- inputs -----------------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[Any]:
        """All inputs as Relax expressions, `None` for one that is left out."""
        return [self.input(i) for i in range(len(self.values))]

    def has(self, i: int) -> bool:
        """Whether input `i` is given."""
        return i < len(self.values) and self.values[i] is not None

    def wanted(self, i: int) -> bool:
        """Whether somebody may read output `i`."""
        return i < len(self.proto.output) and bool(self.proto.output[i])

    def value(self, i: int) -> Value:
        """Input `i` as it stands: array, Relax variable, `Stored`, `TensorList` or `Nothing`; `None` when left out."""
        return self.values[i] if i < len(self.values) else None

    def input(self, i: int) -> Any:
        """Input `i` as a Relax expression; `None` when it is left out."""
        value = self.value(i)
        if value is None:
            return None
        if isinstance(value, np.ndarray):
            if self.dtype(i) not in DTYPES:
                self.refuse(f"tensors of {self.dtype(i)} are not supported")
            if i not in self._expressions:
                self._expressions[i] = literal(value)
            return self._expressions[i]
        if isinstance(value, Stored):
            self.refuse(f"{only_stored(value.dtype)}; put a Cast or a DequantizeLinear in front of this node")
        if isinstance(value, (TensorList, Nothing)):
            self.refuse(f"input {i} is a sequence or an empty optional where a tensor is needed")
        return value

    def carried(self) -> Node:
        """The same node on the carriers of its inputs."""
        values = [value.carrier if isinstance(value, Stored) else value for value in self.values]
        return Node(self.proto, self.opset, values, self.graphs, self.within)

    def constant(self, i: int) -> NDArray[Any] | None:
        """Input `i` when it is a constant, else `None`."""
        value = self.value(i)
        return value if isinstance(value, np.ndarray) else None

    def require_constant(self, i: int, what: str) -> NDArray[Any]:
        """Input `i`, which must be a constant: `what` names it in the sentence that refuses anything else."""
        value = self.constant(i)
        if value is None:
            self.refuse(f"{what} must be a constant of the model, not computed while it runs")
        return value

    def shape(self, i: int) -> tuple[int, ...]:
        """Extents of input `i`."""
        value = self.value(i)
        if isinstance(value, Stored):
            value = value.carrier
        if isinstance(value, np.ndarray):
            return tuple(value.shape)
        return shape_of(value if isinstance(value, relax.Var) else self.input(i))

    def rank(self, i: int) -> int:
        """Number of dimensions of input `i`."""
        return len(self.shape(i))

    def dtype(self, i: int) -> str:
        """Element type of input `i`, by NumPy's name."""
        value = self.value(i)
        if isinstance(value, Stored):
            return value.dtype
        if isinstance(value, np.ndarray):
            return "string" if value.dtype.kind in "OSU" else str(value.dtype)
        return str(self.input(i).ty.dtype)

    # -- attributes -------------------------------------------------------------------------------------------------

    def attribute(self, name: str, default: Any = None) -> Any:
        """Attribute `name`: int, float, str, list, `TensorProto` or `GraphProto`; `default` when absent."""
        if name not in self._attributes:
            return default
        value = helper.get_attribute_value(self._attributes[name])
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, (list, tuple)) or type(value).__name__.startswith("Repeated"):
            return [item.decode() if isinstance(item, bytes) else item for item in value]
        return value

    def axis(self, default: int | None, rank: int, name: str = "axis") -> int:
        """Attribute `axis` as a number from 0 to `rank` - 1."""
        axis = self.attribute(name, default)
        return self.normalize_axis(axis, rank)

    def normalize_axis(self, axis: int, rank: int) -> int:
        """`axis`, counted from the end when negative, as a number from 0 to `rank` - 1."""
        if not -rank <= axis < max(rank, 1):
            self.refuse(f"axis {axis} is out of range for a tensor of {rank} dimensions")
        return int(axis) + rank if axis < 0 else int(axis)

    # -- outputs ----------------------------------------------------------------------------------------------------

    def emit(self, expression: Any) -> Any:
        """Binds `expression` to a new variable that bears the node's name. Its shape must be static."""
        variable = self.graphs.builder.emit(expression, name_hint=self.name)
        self._check_static(variable.ty)
        return variable

    def emit_te(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Binds a kernel written as a tensor expression, of Relax arguments (tensors) and plain ones."""
        options.setdefault("primfunc_name_hint", self.op.lower())
        variable = self.graphs.builder.emit_te(function, *arguments, **options)
        self._check_static(variable.ty)
        return variable

    def _check_static(self, ty: Any) -> None:
        if isinstance(ty, relax.TupleType):
            for part in ty.fields:
                self._check_static(part)
        elif shape_or_none(ty) is None:
            self.refuse("the shape of its output depends on data")

    def refuse(self, why: str) -> NoReturn:
        """Ends the import with a sentence that names the node."""
        raise Unsupported(self.told(why))

    def told(self, why: str) -> str:
        """A sentence about this node, which it names."""
        if self.within is not None:
            return self.within.told(f"its part {self.op}: {why}")
        domain = f"{self.domain}." if self.domain else ""
        return f"node {self.name!r} ({domain}{self.op}, opset {self.opset}): {why}"


def only_stored(dtype: str) -> str:
    """The beginning of the sentence that refuses to compute with a type."""
    return f"tensors of {dtype} are only stored, not computed with"


def shape_or_none(ty: Any) -> tuple[int, ...] | None:
    """The extents in a Relax tensor type, `None` unless all are known numbers."""
    shape = getattr(ty, "shape", None)
    if shape is None or not hasattr(shape, "values"):
        return None
    if not all(hasattr(extent, "value") for extent in shape.values):
        return None
    return tuple(int(extent.value) for extent in shape.values)


def shape_of(expression: Any) -> tuple[int, ...]:
    """The extents of a normalized Relax expression of static shape."""
    shape = shape_or_none(expression.ty)
    if shape is None:
        raise Unsupported("a tensor's shape depends on data")
    return shape
