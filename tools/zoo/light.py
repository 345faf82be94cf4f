"""The nine classic networks whose graphs the `onnx` package ships with constants for weights.

With one constant everywhere every class is equally likely, which hides any mistake: seeded random weights go
in their place, and batch norms get the statistics of a random picture, so that the signal neither dies nor
grows on its way.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NAMES = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)
_PASSES_SHAPE_ON = {"Unsqueeze", "Reshape"}


def _draw(shape: tuple[int, ...], role: tuple[str, int], random: Any) -> Any:
    """Values for a weight that is input number `role[1]` of an operator `role[0]`."""
    import numpy as np

    match role:
        case ("Conv" | "Gemm", 1):  # He: output channels first, so the rest is the fan-in
            return random.standard_normal(shape, np.float32) * np.sqrt(2 / np.prod(shape[1:]))
        case ("BatchNormalization", 1) | ("Mul", _):  # scale
            return random.uniform(0.5, 1.0, shape)
        case _:  # bias
            return random.uniform(-0.1, 0.1, shape)


def _measure_statistics(model: Any, random: Any) -> None:
    """Overwrite mean and variance of every batch norm in `model` by those of its input for a random picture.

    In a copy, instance norms stand for the batch norms: they normalise by the very statistics that are
    wanted, so one run measures all layers.
    """
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import numpy_helper

    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    if not norms:
        return
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        if node.op_type == "BatchNormalization":
            node.op_type = "InstanceNormalization"
            del node.input[3:], node.output[1:]
            kept = [attribute for attribute in node.attribute if attribute.name == "epsilon"]
            del node.attribute[:]
            node.attribute.extend(kept)
    copy.graph.output.extend(onnx.ValueInfoProto(name=node.input[0]) for node in norms)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: it would name every statistic that has become unused
    session = onnxruntime.InferenceSession(copy.SerializeToString(), options)
    picture = session.get_inputs()[0]
    fed = {picture.name: random.standard_normal(picture.shape, np.float32)}
    measured = session.run([node.input[0] for node in norms], fed)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node, values in zip(norms, measured, strict=True):
        for tensor, statistic in (
            (node.input[3], values.mean((0, 2, 3))),
            (node.input[4], values.var((0, 2, 3))),
        ):
            weights[tensor].CopyFrom(numpy_helper.from_array(statistic, tensor))


def _make(name: str) -> bytes:
    import numpy as np
    import onnx
    from onnx import numpy_helper

    path = Path(onnx.__file__).parent / "backend/test/data/light" / f"light_{name}.onnx"
    model = onnx.load(path)
    graph = model.graph
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    uses = {tensor: (node, index) for node in graph.node for index, tensor in enumerate(node.input)}

    def role(tensor: str) -> tuple[str, int]:
        node, index = uses[tensor]
        return role(node.output[0]) if node.op_type in _PASSES_SHAPE_ON else (node.op_type, index)

    random = np.random.default_rng(zlib.crc32(name.encode()))
    weights = []
    for node in graph.node:
        if node.op_type == "ConstantOfShape":
            weight = node.output[0]
            values = _draw(tuple(shapes[node.input[0]]), role(weight), random)
            weights.append(numpy_helper.from_array(values.astype(np.float32), weight))
    kept = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    used = {tensor for node in kept for tensor in node.input}
    weights += [tensor for tensor in graph.initializer if tensor.name in used]
    inputs = [value for value in graph.input if value.name in used and value.name not in shapes]
    for field, values in ((graph.node, kept), (graph.initializer, weights), (graph.input, inputs)):
        del field[:]
        field.extend(values)
    model.ir_version = max(model.ir_version, 4)  # from 4 on, an initializer need not be an input
    _measure_statistics(model, random)
    onnx.checker.check_model(model)
    contents: bytes = model.SerializeToString()
    return contents


MAKERS: dict[str, Callable[[], bytes]] = {f"light_{name}": functools.partial(_make, name) for name in _NAMES}
"""A function for each of the nine, by its file's name in the package."""
