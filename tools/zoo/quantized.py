"""ONNX models in 8 bits, as onnxruntime's quantizer makes them. It must not know any architecture."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

_PICTURES = 4


def static(model: Path) -> bytes:
    """Weights in int8 for each channel, activations in uint8, with ranges as random pictures give them."""
    import numpy as np
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):  # type: ignore[misc] # a library without types
        def __init__(self) -> None:
            random = np.random.default_rng(0)
            shape = _PICTURES, 1, 3, 224, 224
            self._feeds = iter([{"input": picture} for picture in random.uniform(-1, 1, shape).astype("f4")])

        def get_next(self) -> dict[str, Any] | None:
            return next(self._feeds, None)

    with tempfile.TemporaryDirectory() as folder:
        prepared, result = Path(folder, "prepared.onnx"), Path(folder, "result.onnx")
        quant_pre_process(model, prepared)
        quantize_static(
            prepared,
            result,
            Pictures(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return result.read_bytes()


def dynamic(model: Path) -> bytes:
    """Weights in int8 for each channel; activations stay float32 and are quantized as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.onnx")
        quantize_dynamic(model, result, per_channel=True, weight_type=QuantType.QInt8)
        return result.read_bytes()
