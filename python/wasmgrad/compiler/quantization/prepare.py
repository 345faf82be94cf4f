"""The float32 model as quantizers want it: static shapes, folded constants, inferred types, a name for every node.

It knows nothing of quantization.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import numpy_helper, version_converter

from ..frontend.source import Source

__all__ = ["PER_CHANNEL", "prepared", "quiet", "with_opset"]

PER_CHANNEL = 13
"""The operator set from which DequantizeLinear has a scale for each channel."""

_DEFAULT = ("", "ai.onnx")


def prepared(source: Source) -> onnx.ModelProto:
    """A copy of the source's model that computes the same: inputs that are constants become weights.

    Where onnxruntime can optimize it, batch norms are part of convolutions and constants are folded. What onnxruntime
    cannot run stays as it is, with the shapes that ONNX's own inference finds.
    """
    from onnxruntime.quantization import quant_pre_process

    model = _static(source)
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder, "prepared.onnx")
        try:
            quant_pre_process(model, str(path), skip_symbolic_shape=True)
            model = onnx.load(path)
        except Exception:  # it gives up with errors of several libraries
            model = onnx.shape_inference.infer_shapes(model)
    _name_nodes(model)
    return model


def _static(source: Source) -> onnx.ModelProto:
    """A copy with the shapes and constants that the model is compiled with."""
    model = onnx.ModelProto()
    model.CopyFrom(source.model)
    graph = model.graph
    left = [info for info in graph.input if info.name not in source.constants]
    del graph.input[:]
    graph.input.extend(left)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in source.constants.items())
    for info in graph.input:
        shape = source.shapes.get(info.name)
        if shape is not None:
            del info.type.tensor_type.shape.dim[:]
            for extent in shape:
                info.type.tensor_type.shape.dim.add().dim_value = extent
    del graph.value_info[:]  # they may name extents that are numbers now
    return model


def _name_nodes(model: onnx.ModelProto) -> None:
    """Gives every node of the graph a name that no other one has: quantizers tell nodes apart by it."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}_{index}"
        taken.add(node.name)


def with_opset(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """The model, converted where its operators are older than `version`, with its shapes inferred again."""
    if max((entry.version for entry in model.opset_import if entry.domain in _DEFAULT), default=1) >= version:
        return model
    return onnx.shape_inference.infer_shapes(version_converter.convert_version(model, version))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what onnxruntime's tools log and print: advice on their options, and failures that are ours to tell."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
