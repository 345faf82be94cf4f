"""What a model file holds, before or after compilation: `.wasm`, `.onnx`, `.pt`, `.pt2`. Nothing of it is run.

FLOPs of an ONNX model are those of its convolutions and matrix products; a multiplication and an addition are two.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .._errors import Error, InvalidEncoding, NotFound, Unsupported
from .format.metadata import ENTRY, PlanEntry, PlanInfo, TensorInfo

__all__ = ["Summary", "inspect"]


@dataclass(frozen=True)
class Summary:
    """A model file. What the format does not say is None; `details` are further facts, by name."""

    file: str
    format: str
    inputs: list[str]
    outputs: list[str]
    operators: dict[str, int]
    parameters: int
    flops: int | None
    memory_bytes: int | None
    details: dict[str, str]
    states: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def inspect(path: Path) -> Summary:
    """The summary of a file, by its suffix.

    Errors: `NotFound`, `InvalidEncoding` when it is not what the suffix says, `Unsupported` for another suffix.
    """
    readers = {
        ".wasm": _of_wasm,
        ".onnx": _of_onnx,
        ".pt": _of_torchscript,
        ".pth": _of_torchscript,
        ".pt2": _of_exported,
    }
    if path.suffix not in readers:
        raise Unsupported(f"{path}: cannot be inspected; expected a file called {', '.join(readers)}")
    if not path.is_file():
        raise NotFound(f"{path}: this file does not exist")
    return readers[path.suffix](path)


def _of_wasm(path: Path) -> Summary:
    from .format.file import Blob, examine

    blob = Blob(path, "graph module")
    try:
        contents = examine(blob)
    finally:
        blob.close()
    metadata = contents.metadata
    model, options, weights = metadata.model, metadata.options, metadata.weights
    opset = f", opset {model.opset}" if model.opset is not None else ""
    place = "in the module" if weights.mode == "embed" else f"in {path.with_suffix('.weights').name}"
    return Summary(
        str(path),
        "graph module",
        [_tensor_text(plan, info) for plan in metadata.plans for info in plan.inputs],
        [_tensor_text(plan, info) for plan in metadata.plans for info in plan.outputs],
        metadata.operators,
        metadata.parameters,
        metadata.flops,
        contents.memory,
        {
            "model": f"{model.name} ({model.format}{opset})",
            "source SHA-256": model.sha256,
            "compiled by": f"{metadata.producer}, graph ABI {metadata.abi}",
            "compiled with": f"--simd {options.simd} --opt-level {options.opt_level}",
            "weights": f"{weights.bytes:,} bytes {place}",
            "workspace": f"{metadata.memory.workspace:,} bytes",
            "calls": "; ".join(_calls_text(plan.plan) for plan in metadata.plans),
            "labels": "none" if metadata.labels is None else f"{len(metadata.labels)} classes",
        },
        [f"{state}, next from {state.output}" for state in metadata.states],
    )


def _tensor_text(plan: PlanInfo, info: TensorInfo) -> str:
    """A tensor, and which entry it belongs to, if that is not the usual one."""
    return plan.text_of(info) + ("" if plan.entry == ENTRY else f" of {plan.entry}")


def _calls_text(calls: Sequence[PlanEntry]) -> str:
    return f"{len(calls)} of {len({entry.kernel for entry in calls})} kernels"


def _of_onnx(path: Path) -> Summary:
    try:
        import onnx
    except ImportError as error:
        raise NotFound(
            "the package onnx is missing; install it with `pip install 'wasmgrad[compile]'`"
        ) from error
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # what protobuf raises has no class of its own that onnx exports
        raise InvalidEncoding(f"{path}: not an ONNX model: {error}") from error
    with contextlib.suppress(ValueError, onnx.shape_inference.InferenceError):  # then the FLOPs stay unknown
        model = onnx.shape_inference.infer_shapes(model)
    graph = model.graph
    if not graph.node:
        raise InvalidEncoding(f"{path}: not an ONNX model, or one without nodes")
    shapes = {value.name: _onnx_shape(value) for value in (*graph.value_info, *graph.input, *graph.output)}
    shapes |= {constant.name: list(constant.dims) for constant in graph.initializer}
    constants = {constant.name for constant in graph.initializer}
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    return Summary(
        str(path),
        "ONNX",
        [_onnx_text(value) for value in graph.input if value.name not in constants],
        [_onnx_text(value) for value in graph.output],
        dict(Counter(node.op_type for node in graph.node).most_common()),
        sum(math.prod(constant.dims) for constant in graph.initializer),
        _onnx_flops(graph, shapes),
        None,
        {
            "graph": graph.name,
            "opsets": ", ".join(f"{domain} {version}" for domain, version in opsets.items()),
            "producer": " ".join(filter(None, (model.producer_name, model.producer_version))) or "unknown",
        },
    )


def _onnx_shape(value: Any) -> list[int]:
    """Extents; 1 for a symbolic one, so that FLOPs are those of batch 1."""
    return [max(extent.dim_value, 1) for extent in value.type.tensor_type.shape.dim]


def _onnx_text(value: Any) -> str:
    import onnx

    tensor = value.type.tensor_type
    extents = [extent.dim_param or str(extent.dim_value) for extent in tensor.shape.dim]
    known = tensor.elem_type != onnx.TensorProto.UNDEFINED
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)) if known else "unknown"
    return f"{value.name}: {dtype}[{', '.join(extents)}]"


def _onnx_flops(graph: Any, shapes: dict[str, list[int]]) -> int | None:
    total = 0
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        left, right = (shapes.get(name) for name in node.input[:2])
        result = shapes.get(node.output[0])
        if not left or not right or not result:
            return None
        if node.op_type == "Conv":  # [outputs, inputs of a group, kernel...] for each output element
            total += 2 * math.prod(result) * math.prod(right[1:])
        elif (
            node.op_type == "ConvTranspose"
        ):  # [inputs, outputs of a group, kernel...] for each input element
            total += 2 * math.prod(left) * math.prod(right[1:])
        else:
            transposed = any(entry.name == "transA" and entry.i for entry in node.attribute)
            total += 2 * math.prod(result) * (left[0] if transposed else left[-1])
    return total


def _of_torchscript(path: Path) -> Summary:
    import torch

    from .. import _core

    try:
        _core.vet_torchscript(path.read_bytes())
    except Error as error:
        raise type(error)(f"{path}: {error.message}") from error
    try:
        module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InvalidEncoding(f"{path}: not a TorchScript model: {reason}") from error
    graph = module.inlined_graph
    kinds = Counter(node.kind() for node in _all_nodes(graph) if node.kind().startswith("aten::"))
    return Summary(
        str(path),
        "TorchScript",
        [f"{value.debugName()}: {value.type()}" for value in list(graph.inputs())[1:]],
        [f"{value.debugName()}: {value.type()}" for value in graph.outputs()],
        {kind.removeprefix("aten::"): count for kind, count in kinds.most_common()},
        sum(parameter.numel() for parameter in module.parameters()),
        None,
        None,
        {"modules": str(sum(1 for _ in module.modules())), **_warnings(path)},
    )


def _of_exported(path: Path) -> Summary:
    from .format.pt2 import read_exported

    program = read_exported(path.read_bytes(), path)
    return Summary(
        str(path),
        "torch.export",
        [str(tensor) for tensor in program.inputs],
        [str(tensor) for tensor in program.outputs],
        program.operators,
        program.parameters,
        None,
        None,
        {"exported by": f"torch {program.torch}", **_warnings(path)},
    )


def _warnings(path: Path) -> dict[str, str]:
    """What training would warn of; nothing where it would refuse the model."""
    from .. import _core

    with contextlib.suppress(Error):
        return {"warning": "; ".join(_core.model_warnings(path.read_bytes())) or "none"}
    return {}


def _all_nodes(block: Any) -> list[Any]:
    found = []
    for node in block.nodes():
        found.append(node)
        for inner in node.blocks():
            found += _all_nodes(inner)
    return found
