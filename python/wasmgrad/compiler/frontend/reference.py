"""What a model computes where it comes from: the values that the compiled one is held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ..._errors import NotFound, RuntimeFailure

__all__ = ["Reference", "exact_options", "onnxruntime_reference"]

Arrays = Mapping[str, NDArray[Any]]

_NUDGE = 1e-6
_ROUNDING = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Reference:
    """`outputs` takes arrays by the names of the model's inputs, constants among them, and gives all outputs in order.

    `framework` is what computes them: onnxruntime, or torch for models that come from it. An exporter stands between
    such a model and its ONNX form, so that form is no witness. `nudged` gives the outputs of a model whose constants
    differ by a millionth, as sums in another order may, `integers` those of kernels that multiply quantized tensors as
    integers, where `outputs` turns them to floats first; None for torch. Errors: `NotFound` when the framework is not
    installed, `RuntimeFailure` when it cannot run the model.
    """

    framework: str
    outputs: Callable[[Arrays], list[NDArray[Any]]]
    nudged: Callable[[Arrays], list[NDArray[Any]]] | None = None
    integers: Callable[[Arrays], list[NDArray[Any]]] | None = None


def exact_options(model: onnx.ModelProto, plain: bool = True) -> Any:
    """The `SessionOptions` with which onnxruntime computes what the model says, and logs nothing.

    plain: in floats between `DequantizeLinear` and `QuantizeLinear`; else in integers, where it has kernels for that.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Without, some processors add products of uint8 and int8 in 16 bits, which do not suffice.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if plain and any(node.op_type in _ROUNDING for node in model.graph.node):
        # Its optimizer quantizes layers that the model leaves in floats, and rounds others in ways of its own.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return options


def onnxruntime_reference(model: onnx.ModelProto) -> Reference:
    """What onnxruntime makes of the model."""
    return Reference(
        "onnxruntime",
        lambda inputs: _outputs(model, inputs),
        lambda inputs: _outputs(_nudged(model), inputs),
        lambda inputs: _outputs(model, inputs, plain=False),
    )


def _outputs(model: onnx.ModelProto, inputs: Arrays, plain: bool = True) -> list[NDArray[Any]]:
    try:
        import onnxruntime
    except ImportError as error:
        raise NotFound("onnxruntime is not installed: `pip install onnxruntime`") from error
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), exact_options(model, plain), providers=["CPUExecutionProvider"]
        )
        known = {info.name for info in session.get_inputs()}
        feeds = {name: value for name, value in inputs.items() if name in known}
        return [np.asarray(value) for value in session.run(None, feeds)]
    except Exception as error:
        raise RuntimeFailure(f"onnxruntime cannot run the model: {str(error).splitlines()[0]}") from error


def _nudged(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with each number of its float32 initializers up or down by at most a millionth of it."""
    generator = np.random.default_rng(0)
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for tensor in changed.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor)
            factors = 1 + _NUDGE * generator.uniform(-1, 1, array.shape)
            tensor.CopyFrom(numpy_helper.from_array((array * factors).astype(np.float32), tensor.name))
    return changed
