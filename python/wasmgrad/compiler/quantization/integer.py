"""Models that compute with 8-bit integers, by onnxruntime's quantizer: ranges from samples, or found at run time."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from .._options import CalibrateBy
from .prepare import PER_CHANNEL, quiet, with_opset
from .samples import Sample

__all__ = ["Calibrated", "calibrated", "dynamic", "operators"]


@dataclass(frozen=True)
class Calibrated:
    """A float32 model, and the range of each of its tensors, in onnxruntime's form."""

    model: onnx.ModelProto
    ranges: Any

    def quantized(self, excluded: Collection[str]) -> onnx.ModelProto:
        """Activations of uint8, weights of int8 with a scale for each channel, with roundings between the operators.

        `excluded` are names of nodes that stay as they are. Errors: onnxruntime's own.
        """
        from onnxruntime.quantization import QDQQuantizer, QuantType

        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        with quiet():
            quantizer = QDQQuantizer(
                copy,
                True,  # a scale for each channel
                False,  # all 8 bits of weights
                QuantType.QInt8,
                QuantType.QUInt8,
                self.ranges,
                [],
                sorted(excluded),
                operators(),
                {},
            )
            quantizer.quantize_model()
        result: onnx.ModelProto = quantizer.model.model
        return result


def calibrated(model: onnx.ModelProto, samples: Sequence[Sample], by: CalibrateBy) -> Calibrated:
    """The model with ranges that follow from the values that its tensors have on the samples. Errors: onnxruntime's."""
    from onnxruntime.quantization import CalibrationMethod, create_calibrator

    methods = {"percentile": CalibrationMethod.Percentile, "entropy": CalibrationMethod.Entropy}
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = _saved(model, folder)
        calibrator = create_calibrator(
            path,
            operators(),
            str(Path(folder, "augmented.onnx")),
            methods.get(by, CalibrationMethod.MinMax),
            extra_options={"symmetric": False, "moving_average": by == "moving-average"},
        )
        # A histogram keeps all activations of the samples that it counts at once, the other ways only their ends.
        for part in [[sample] for sample in samples] if by in methods else [samples]:
            calibrator.collect_data(_Reader(iter(part)))
        return Calibrated(onnx.load(path), calibrator.compute_data())


def dynamic(model: onnx.ModelProto, excluded: Collection[str]) -> onnx.ModelProto:
    """Matrix products of int8 weights, a scale for each column, with uint8 activations that are scaled at run time.

    Convolutions stay: onnxruntime has none with such operands. Errors: onnxruntime's own.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder, "quantized.onnx")
        quantize_dynamic(
            _saved(model, folder),
            path,
            op_types_to_quantize=["MatMul", "Attention", "LSTM"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted(excluded),
        )
        return onnx.load(path)


def operators() -> list[str]:
    """All operators that onnxruntime can round around."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return sorted({*QDQRegistry, *QLinearOpsRegistry})


def _saved(model: onnx.ModelProto, folder: str) -> Path:
    """The model as a file: a model in memory is not left as it was by onnxruntime's tools."""
    path = Path(folder, "model.onnx")
    onnx.save(with_opset(model, PER_CHANNEL), path)
    return path


@dataclass(frozen=True)
class _Reader:
    """Samples as onnxruntime's calibration reads them."""

    left: Iterator[Sample]

    def get_next(self) -> Sample | None:
        """The next sample, None after the last."""
        return next(self.left, None)
