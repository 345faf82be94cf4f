"""From an ONNX model to a Relax module whose every shape is static.

It walks the graph node by node: what depends on constants only is evaluated, then come our converters, then the
operator's definition in terms of others in the ONNX standard. What is left is refused by name. It knows nothing of
kernels.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import defs, helper, numpy_helper
from tvm import relax

from ..._errors import Error, InvalidArgument, Unsupported
from .._casts import is_float
from .._foreign import described, unsupported
from . import onnx_ops as _register_converters  # noqa: F401
from .fold import fold
from .onnx_ops._registry import (
    CARRIERS,
    DTYPES,
    Node,
    Nothing,
    Stored,
    TensorList,
    Value,
    dtype_name,
    find_converter,
    literal,
    may_fold,
    numpy_dtype,
    only_stored,
    shape_of,
)
from .onnx_ops._stored import MOVES, common_type, stored
from .widen import widened

__all__ = ["Imported", "Tensor", "from_onnx"]

# Why operators of domains that are not the standard's are refused, and what helps.
_UNKNOWN = {
    "com.microsoft": "this operator of onnxruntime's own is not supported; a model that its tools did not change "
    "has those of the standard",
    "com.microsoft.nchwc": "it is in a layout for one processor; save the model with onnxruntime's optimization level "
    "ORT_ENABLE_EXTENDED or lower",
}
_MAX_DEPTH = 32  # of functions and subgraphs inside each other
_MAX_NODES = 200_000  # once functions are inlined and loops unrolled: a small file may ask for any number


@dataclass(frozen=True)
class Tensor:
    """Name, dtype (NumPy's name) and shape of an input or output."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass
class Imported:
    """A model as a Relax module: `main` takes the inputs and returns a tuple of all outputs.

    An output may be a constant or one of the inputs. The module is None once it has been compiled.
    `parameters` counts the elements of floating-point weights.
    """

    module: Any
    inputs: list[Tensor]
    outputs: list[Tensor]
    operators: Counter[str]
    parameters: int
    opset: int


def from_onnx(
    model: onnx.ModelProto,
    shapes: Mapping[str, Sequence[int]],
    constants: Mapping[str, NDArray[Any]],
) -> Imported:
    """Imports a checked model.

    Args:
        model: what `normalize.check` returned.
        shapes: the static shape of every graph input that is not in `constants`.
        constants: values of inputs that are to be part of the model instead.

    Errors: `Unsupported` naming operator, operator set and node.
    """
    operators = Counter(node.op_type for node in _all_nodes(model.graph))
    model = widened(model)
    graph = model.graph
    opsets = opset_versions(model.opset_import)
    builder = relax.BlockBuilder()
    functions = {
        (function.domain, function.name, function.overload): function for function in model.functions
    }
    importer = _Importer(builder, functions)
    scope = _Scope(opsets)
    parameters, inputs = [], []
    for info in graph.input:
        if info.name in constants:
            scope.values[info.name] = stored(np.asarray(constants[info.name]))
            continue
        tensor = _input_tensor(info, shapes)
        variable = relax.Var(info.name, relax.TensorType(tensor.shape, tensor.dtype))
        scope.values[info.name] = variable
        parameters.append(variable)
        inputs.append(tensor)
    with _main(builder, parameters):
        with builder.dataflow():
            importer.initializers(graph, scope)
            carriers = [each.carrier if isinstance(each, Stored) else each for each in scope.values.values()]
            weights = sum(each.size for each in carriers if isinstance(each, np.ndarray) and is_float(each))
            importer.nodes(graph.node, scope)
            results = [_output_tensor(scope.find(info.name), info.name) for info in graph.output]
            expressions = [_expression(scope.find(info.name)) for info in graph.output]
            output = builder.emit_output(relax.Tuple(expressions))
        builder.emit_func_output(output)
    return Imported(builder.get(), inputs, results, operators, weights, opsets.get("", 0))


@contextlib.contextmanager
def _main(builder: Any, parameters: list[Any]) -> Iterator[None]:
    """The function `main`. What it begins it ends, also after a refusal: TVM complains of the rest."""
    with builder.function("main", parameters):
        try:
            yield
        except BaseException:
            builder._end_block()
            builder.end_scope()
            raise


@dataclass
class _Scope:
    """Names of one graph, function body or subgraph. A subgraph also sees the names around it."""

    opsets: Mapping[str, int]
    values: dict[str, Value] = field(default_factory=dict)
    outer: _Scope | None = None
    attributes: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)  # of the call of a function

    def find(self, name: str) -> Value:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        raise InvalidArgument(f"the graph uses {name!r}, which no node computes")


class _Importer:
    """Emits the nodes of graphs into one builder."""

    def __init__(self, builder: Any, functions: Mapping[tuple[str, str, str], onnx.FunctionProto]) -> None:
        self.builder = builder
        self.functions = functions
        self.depth = 0
        self.count = 0

    def initializers(self, graph: onnx.GraphProto, scope: _Scope) -> None:
        for tensor in graph.initializer:
            scope.values[tensor.name] = stored(numpy_helper.to_array(tensor))
        for sparse in graph.sparse_initializer:
            raise Unsupported(f"initializer {sparse.values.name!r}: sparse tensors are not supported")

    def nodes(self, nodes: Sequence[onnx.NodeProto], scope: _Scope) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise Unsupported(f"functions and subgraphs are nested more than {_MAX_DEPTH} deep")
        for proto in nodes:
            self._node(_with_attributes(proto, scope.attributes), scope)
        self.depth -= 1

    def _node(self, proto: onnx.NodeProto, scope: _Scope) -> None:
        self.count += 1
        if self.count > _MAX_NODES:
            raise Unsupported(f"with its loops unrolled the model has more than {_MAX_NODES:,} nodes")
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        opset = scope.opsets.get(domain)
        values = [scope.find(name) if name else None for name in proto.input]
        node = Node(proto, opset or 1, values, _Subgraphs(self, scope))
        function = self.functions.get((proto.domain, proto.op_type, proto.overload))
        if function is not None:
            results = self.function(function, node)
        elif opset is None:
            node.refuse(f"the model does not import operator set {domain!r}")
        else:
            results = self.convert(node)
        for name, value in zip(proto.output, results, strict=False):
            if name:
                scope.values[name] = value
        missing = [name for name in proto.output[len(results) :] if name]
        if missing:
            node.refuse(f"output {missing[0]!r} is not supported")

    def convert(self, node: Node) -> list[Value]:
        """A node's outputs: evaluated, converted, or by the standard's definition."""
        try:
            carried = common_type(node.values)
            if carried is not None and not node.domain and node.op in MOVES:
                return [Stored(carried, value) for value in self.convert(node.carried())]
            if may_fold(node.domain, node.op) and (folded := fold(node)) is not None:
                return folded
            convert = find_converter(node.domain, node.op, node.opset)
            if convert is not None:
                return self._results(node, convert(node))
            body = self._standard_body(node)
            if body is not None:
                return self.function(body, node)
        except Error:
            raise
        except Exception as error:  # TVM and ONNX report what they cannot do by many classes
            raise unsupported(node.told(f"it cannot be compiled for {_operands(node)}"), error) from error
        if "string" in (
            node.dtype(i) for i, value in enumerate(node.values) if isinstance(value, np.ndarray)
        ):
            node.refuse("tensors of strings are not supported")
        return node.refuse("this operator is not supported")

    def _results(self, node: Node, results: Any) -> list[Value]:
        """Binds what a converter returned, so that every value is an array, a variable, a list or nothing."""
        several = isinstance(results, (list, tuple))
        return [self._bound(node, result) for result in (results if several else [results])]

    def _bound(self, node: Node, value: Any) -> Value:
        if value is None or isinstance(value, (np.ndarray, Stored, TensorList, Nothing, relax.Var)):
            return value
        if hasattr(value, "value") and hasattr(value.value, "numpy"):
            return value.value.numpy()
        return node.emit(value)

    def function(self, function: onnx.FunctionProto, node: Node) -> list[Value]:
        """Imports the body of a function in place of the node that calls it."""
        defaults = {attribute.name: attribute for attribute in function.attribute_proto}
        given = {attribute.name: attribute for attribute in node.proto.attribute}
        opsets = opset_versions(function.opset_import)
        scope = _Scope(opsets, attributes={**defaults, **given})
        scope.values = {name: node.value(i) for i, name in enumerate(function.input)}
        self.nodes(function.node, scope)
        return [scope.find(name) for name in function.output]

    def _standard_body(self, node: Node) -> onnx.FunctionProto | None:
        """The definition of the node's operator in terms of others, where the ONNX standard has one."""
        if not defs.has(node.op, node.opset, node.domain):
            node.refuse(
                _UNKNOWN.get(node.domain, "the ONNX standard has no such operator in this operator set")
            )
        schema: Any = defs.get_schema(node.op, node.opset, node.domain)
        function = onnx.FunctionProto()
        if schema.has_function:
            function.CopyFrom(schema.function_body)
        elif schema.has_context_dependent_function:
            types = [_type_proto(node, i).SerializeToString() for i in range(len(node.values))]
            body = schema.get_context_dependent_function(node.proto.SerializeToString(), types)
            function.ParseFromString(body)
        else:
            return None
        function.attribute_proto.extend(
            attribute.default_value
            for attribute in schema.attributes.values()
            if attribute.default_value.name
        )
        if not any(entry.domain in ("", "ai.onnx") for entry in function.opset_import):
            function.opset_import.append(helper.make_opsetid("", defs.onnx_opset_version()))
        return function

    def subgraph(self, graph: onnx.GraphProto, arguments: Sequence[Value], outer: _Scope) -> list[Value]:
        """Imports a subgraph whose inputs are `arguments` in the scope of the node that holds it."""
        scope = _Scope(outer.opsets, outer=outer, attributes=outer.attributes)
        scope.values = {info.name: value for info, value in zip(graph.input, arguments, strict=False)}
        self.initializers(graph, scope)
        self.nodes(graph.node, scope)
        return [scope.find(info.name) for info in graph.output]


@dataclass(frozen=True)
class _Subgraphs:
    importer: _Importer
    scope: _Scope

    @property
    def builder(self) -> Any:
        return self.importer.builder

    def import_subgraph(self, graph: onnx.GraphProto, arguments: Sequence[Value]) -> list[Value]:
        return self.importer.subgraph(graph, arguments, self.scope)

    def convert(self, node: Node) -> list[Value]:
        return self.importer.convert(node)


def opset_versions(imports: Sequence[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """The version of each operator set that a model or function imports; "" is ONNX's own."""
    return {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in imports}


def _with_attributes(proto: onnx.NodeProto, attributes: Mapping[str, onnx.AttributeProto]) -> onnx.NodeProto:
    """The node of a function body with its references to the function's attributes resolved."""
    if not any(attribute.ref_attr_name for attribute in proto.attribute):
        return proto
    resolved = onnx.NodeProto()
    resolved.CopyFrom(proto)
    del resolved.attribute[:]
    for attribute in proto.attribute:
        if not attribute.ref_attr_name:
            resolved.attribute.append(attribute)
        elif attribute.ref_attr_name in attributes:
            given = resolved.attribute.add()
            given.CopyFrom(attributes[attribute.ref_attr_name])
            given.name = attribute.name
    return resolved


def _operands(node: Node) -> str:
    """The types of a node's inputs, for people."""
    given = [i for i in range(len(node.values)) if isinstance(node.value(i), (np.ndarray, Stored, relax.Var))]
    return ", ".join(described(node.dtype(i), node.shape(i)) for i in given) or "no tensors"


def _type_proto(node: Node, i: int) -> onnx.TypeProto:
    if not node.has(i) or isinstance(node.value(i), (TensorList, Nothing)):
        return onnx.TypeProto()
    elem_type = (
        onnx.TensorProto.STRING
        if node.dtype(i) == "string"
        else helper.np_dtype_to_tensor_dtype(numpy_dtype(node.dtype(i)))
    )
    return helper.make_tensor_type_proto(elem_type, node.shape(i))


def _input_tensor(info: onnx.ValueInfoProto, shapes: Mapping[str, Sequence[int]]) -> Tensor:
    if not info.type.HasField("tensor_type"):
        kind = (info.type.WhichOneof("value") or "untyped value").removesuffix("_type")
        article = "an" if kind[0] in "ou" else "a"
        raise Unsupported(f"input {info.name!r} is {article} {kind}; only dense tensors are supported")
    dtype = dtype_name(info.type.tensor_type.elem_type)
    if dtype in CARRIERS:
        raise Unsupported(
            f"input {info.name!r}: {only_stored(dtype)}; let it be of {CARRIERS[dtype]} and Cast it inside of the model"
        )
    if dtype not in DTYPES:
        raise Unsupported(f"input {info.name!r}: tensors of {dtype} are not supported")
    return Tensor(info.name, dtype, tuple(int(extent) for extent in shapes[info.name]))


def _output_tensor(value: Value, name: str) -> Tensor:
    if isinstance(value, Stored):
        raise Unsupported(
            f"output {name!r}: {only_stored(value.dtype)}; Cast it to {CARRIERS[value.dtype]} inside of the model"
        )
    if isinstance(value, np.ndarray):
        if str(value.dtype) not in DTYPES:
            dtype = "string" if value.dtype.kind in "OSU" else value.dtype
            raise Unsupported(f"output {name!r}: tensors of {dtype} are not supported")
        return Tensor(name, str(value.dtype), value.shape)
    if isinstance(value, (TensorList, Nothing)):
        raise Unsupported(f"output {name!r} is a sequence or an optional; only dense tensors are supported")
    return Tensor(name, str(value.ty.dtype), shape_of(value))


def _expression(value: Value) -> Any:
    return literal(value) if isinstance(value, np.ndarray) else value


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all_nodes(inner)
