"""Reads ONNX models and checks them before they are imported, so that the importer meets well-formed graphs only.

It knows nothing of operators.
"""

from __future__ import annotations

import contextlib
import copy
import heapq
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
from onnx import external_data_helper, helper

from ..._errors import InvalidArgument, InvalidEncoding, NotFound, SecurityError, TooLarge, Unsupported

__all__ = ["check", "constant_arrays", "read", "static_shape", "static_shapes"]

_MIN_OPSET = 7
_MAX_BYTES = 1 << 31  # of one tensor: a module has 32-bit addresses; of a file: what protobuf can hold

_IR_WITH_WEIGHTS_APART = 4  # before it, weights had to be among the inputs

# Operators that onnxruntime has in the standard's domain before the standard itself has them, from this version on.
_ADDED = {"LayerNormalization": 17, "SimplifiedLayerNormalization": 1 << 30}

# Elements in a byte, where there are several.
_PACKED: dict[int, int] = {
    onnx.TensorProto.INT4: 2,
    onnx.TensorProto.UINT4: 2,
    onnx.TensorProto.FLOAT4E2M1: 2,
    onnx.TensorProto.INT2: 4,
    onnx.TensorProto.UINT2: 4,
}


def read(path: Path) -> onnx.ModelProto:
    """The model in a file, with tensors that it keeps in other files beside it.

    Errors: `NotFound`, `TooLarge`, `InvalidEncoding` for what is not ONNX or is cut short, `SecurityError` for a tensor
    file outside of the model's folder.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise TooLarge(f"{path}: {path.stat().st_size:,} bytes; a model file has at most {_MAX_BYTES:,}")
        data = path.read_bytes()
    except OSError as error:
        raise NotFound(f"{path}: cannot be read: {error.strerror or error}") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise InvalidEncoding(f"{path}: not an ONNX model, or one that is cut short") from error
    if not model.ir_version or not model.HasField("graph") or not model.opset_import:
        raise InvalidEncoding(f"{path}: not an ONNX model: it has no graph or no operator set")
    for tensor in _tensors(model):
        if external_data_helper.uses_external_data(tensor):
            _read_external(path, tensor)
    return model


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            yield from (attribute.t, *attribute.tensors)
            graphs.extend((attribute.g, *attribute.graphs))


def _read_external(path: Path, tensor: onnx.TensorProto) -> None:
    """Replaces a reference to a file by the bytes that it names."""
    info = external_data_helper.ExternalDataInfo(tensor)
    where = f"{path}: tensor {tensor.name!r}"
    folder = path.resolve().parent
    file = folder / info.location
    if not info.location or not file.resolve().is_relative_to(folder):
        raise SecurityError(f"{where} is kept in {info.location!r}, which is outside of the model's folder")
    if not file.is_file():
        raise NotFound(f"{where} is kept in {file}, which does not exist")
    size = _bytes_of(tensor, where)
    offset = info.offset or 0
    length = size if info.length is None else info.length
    if length != size:
        raise InvalidEncoding(
            f"{where} names {length:,} bytes of {info.location!r}, its shape needs {size:,}"
        )
    if offset < 0 or offset + length > file.stat().st_size:
        raise InvalidEncoding(
            f"{where} ends at byte {offset + length:,} of {file}, which has {file.stat().st_size:,} bytes"
        )
    with file.open("rb") as opened:
        opened.seek(offset)
        tensor.raw_data = opened.read(length)
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def _bytes_of(tensor: onnx.TensorProto, where: str) -> int:
    if tensor.data_type == onnx.TensorProto.STRING:
        raise Unsupported(f"{where}: tensors of strings are not supported")
    try:
        item = int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except KeyError as error:
        raise InvalidEncoding(f"{where} has the unknown element type {tensor.data_type}") from error
    if any(extent < 0 for extent in tensor.dims):
        raise InvalidEncoding(f"{where} has the shape {list(tensor.dims)}")
    size: int = prod(tensor.dims) * item
    if size > _MAX_BYTES:
        raise TooLarge(f"{where} has {size:,} bytes; a 32-bit module holds at most {_MAX_BYTES:,}")
    return -(-size // _PACKED.get(int(tensor.data_type), 1))


def check(
    model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]], constants: Mapping[str, Any]
) -> tuple[onnx.ModelProto, dict[str, tuple[int, ...]]]:
    """A copy of `model` without defaults among its inputs, and the static shape of every input that is left.

    shapes: for inputs whose own are symbolic. constants: arrays for inputs that become part of the model.
    Errors: `InvalidEncoding` for a malformed graph, `Unsupported` for its operator sets, `InvalidArgument` for names
    and shapes that do not fit the model's inputs.
    """
    checked = onnx.ModelProto()
    checked.CopyFrom(model)
    _check_opsets(checked)
    for tensor in _tensors(checked):
        if tensor.data_type and tensor.data_type != onnx.TensorProto.STRING:
            _bytes_of(tensor, f"tensor {tensor.name!r}")
    defaults = {tensor.name for tensor in checked.graph.initializer}
    inputs = [info for info in checked.graph.input if info.name not in defaults]
    del checked.graph.input[:]
    checked.graph.input.extend(inputs)
    checked.ir_version = max(checked.ir_version, _IR_WITH_WEIGHTS_APART)
    static = static_shapes(checked, shapes, constants)
    _sort(checked.graph)
    _check_structure(checked)
    return checked, static


def static_shapes(
    model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]], constants: Mapping[str, Any]
) -> dict[str, tuple[int, ...]]:
    """The static shape of every input that `constants` has no value of.

    Errors: `InvalidArgument` for names and shapes that do not fit the model's inputs.
    """
    names = [info.name for info in model.graph.input]
    for name in (*shapes, *constants):
        if name not in names:
            raise InvalidArgument(
                f"the model has no input {name!r}; its inputs are {', '.join(names) or 'none'}"
            )
    static = {}
    for info in model.graph.input:
        if info.name in constants:
            _check_constant(info, np.asarray(constants[info.name]))
        elif info.type.HasField("tensor_type"):
            static[info.name] = static_shape(info, shapes.get(info.name))
    return static


def constant_arrays(model: onnx.ModelProto, constants: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The values of inputs as arrays: a number of Python's takes the type of its input, and its shape of one element.

    Errors: `InvalidArgument` when the type has no such number, or the input has more elements.
    """
    infos = {info.name: info for info in model.graph.input}
    return {
        name: _number(infos[name], value)
        if name in infos and isinstance(value, bool | int | float)
        else np.asarray(value)
        for name, value in constants.items()
    }


def _number(info: onnx.ValueInfoProto, value: float) -> np.ndarray[Any, Any]:
    dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
    shape = _declared(info) or []
    if any(extent != 1 for extent in shape if isinstance(extent, int)):
        raise InvalidArgument(f"input {info.name!r}: one number does not fit its shape {_text(shape)}")
    try:
        with np.errstate(all="ignore"):
            array = np.full([1] * len(shape), value).astype(dtype)
    except (OverflowError, TypeError, ValueError) as error:
        raise InvalidArgument(f"input {info.name!r}: {value} is no number of {dtype}") from error
    if dtype.kind in "biu" and array.item() != value:
        raise InvalidArgument(f"input {info.name!r}: {value} is no number of {dtype}")
    return array


def _sort(graph: onnx.GraphProto) -> set[str]:
    """Puts each node behind those whose results it uses, where it is not there already; so in subgraphs.

    Returns the names that the graph takes from around it. Nodes of a cycle stay at the end, for ONNX's checker to name.
    """
    nodes = list(graph.node)
    used = [_names_used(node) for node in nodes]
    maker = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    users: dict[int, list[int]] = {}
    missing = [0] * len(nodes)
    for index, names in enumerate(used):
        for other in {maker[name] for name in names if name in maker}:
            users.setdefault(other, []).append(index)
            missing[index] += 1
    ready = [index for index, count in enumerate(missing) if count == 0]
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for user in users.get(order[-1], ()):
            missing[user] -= 1
            if missing[user] == 0:
                heapq.heappush(ready, user)
    order += [index for index, count in enumerate(missing) if count > 0]
    if order != sorted(order):
        sorted_nodes = [copy.deepcopy(nodes[index]) for index in order]
        del graph.node[:]
        graph.node.extend(sorted_nodes)
    own = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer} | maker.keys()
    return set().union(*used, {info.name for info in graph.output}) - own


def _names_used(node: onnx.NodeProto) -> set[str]:
    """Names that a node reads, those that its subgraphs take from around them among them."""
    inner = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
    return set().union({name for name in node.input if name}, *map(_sort, inner))


def _check_structure(model: onnx.ModelProto) -> None:
    for info in (*model.graph.input, *model.graph.output):
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.shape.SetInParent()  # ONNX's checker wants a shape, the importer does not
    try:
        with _set_apart(model):
            onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
        first = str(error).strip().splitlines()
        raise InvalidEncoding(f"the ONNX model is malformed: {first[0] if first else error}") from error


@contextlib.contextmanager
def _set_apart(model: onnx.ModelProto) -> Iterator[None]:
    """Meanwhile, operators that onnxruntime added to the standard's domain are in another, that ONNX leaves alone."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    found = [
        node
        for node in model.graph.node
        if node.domain in ("", "ai.onnx") and _ADDED.get(node.op_type, 0) > opset
    ]
    domains = [node.domain for node in found]
    count = len(model.opset_import)
    if found:
        model.opset_import.append(helper.make_opsetid("onnxruntime", 1))
    for node in found:
        node.domain = "onnxruntime"
    try:
        yield
    finally:
        for node, domain in zip(found, domains, strict=True):
            node.domain = domain
        del model.opset_import[count:]


def _check_opsets(model: onnx.ModelProto) -> None:
    newest = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx") and not _MIN_OPSET <= entry.version <= newest:
            raise Unsupported(f"operator set {entry.version} is not supported; {_MIN_OPSET} to {newest} are")


def _check_constant(info: onnx.ValueInfoProto, value: np.ndarray[Any, Any]) -> None:
    wanted = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
    if value.dtype != wanted:
        raise InvalidArgument(f"input {info.name!r}: expected a constant of {wanted}, not of {value.dtype}")
    declared = _declared(info)
    if declared is not None and not _fits(value.shape, declared):
        raise InvalidArgument(
            f"input {info.name!r}: a constant of shape {_text(value.shape)} does not fit {_text(declared)}"
        )


def _declared(info: onnx.ValueInfoProto) -> list[int | str] | None:
    """Extents as the model has them: numbers, names, or "?" (also for -1, which some exporters write for "any").

    `None` when the model says nothing.
    """
    if not info.type.tensor_type.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param or "?"
        for dim in info.type.tensor_type.shape.dim
    ]


def _fits(shape: Sequence[int], declared: Sequence[int | str]) -> bool:
    return len(shape) == len(declared) and all(
        isinstance(wanted, str) or extent == wanted for extent, wanted in zip(shape, declared, strict=True)
    )


def _text(shape: Sequence[int | str]) -> str:
    return "x".join(str(extent) for extent in shape) or "scalar"


def static_shape(info: onnx.ValueInfoProto, given: Sequence[int] | None) -> tuple[int, ...]:
    """The shape of an input: what is given, where the model leaves extents open.

    Errors: `InvalidArgument` when it is missing or does not fit, `TooLarge`.
    """
    declared = _declared(info)
    if given is None:
        if declared is None or any(isinstance(extent, str) for extent in declared):
            shape = "unknown" if declared is None else _text(declared)
            example = (
                "1x3x224x224"
                if declared is None
                else _text([1 if isinstance(d, str) else d for d in declared])
            )
            raise InvalidArgument(
                f"input {info.name!r} has the shape {shape}: give it one, as in --input {info.name}={example}"
            )
        given = [int(extent) for extent in declared]
    elif declared is not None and not _fits(given, declared):
        raise InvalidArgument(
            f"input {info.name!r}: shape {_text(given)} does not fit the model's {_text(declared)}"
        )
    if min(given, default=0) < 0:
        raise InvalidArgument(f"input {info.name!r}: extents of shape {_text(given)} must not be negative")
    if prod(given) > _MAX_BYTES:
        raise TooLarge(
            f"input {info.name!r}: shape {_text(given)} has more elements than a 32-bit module can hold"
        )
    return tuple(int(extent) for extent in given)
