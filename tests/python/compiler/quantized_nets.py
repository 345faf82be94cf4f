"""A small net of everything that quantized image models have, quantized by onnxruntime's own tools."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import nn

Array = np.ndarray[Any, Any]
INPUT = (2, 3, 20, 22)


class _Net(nn.Module):
    """Convolutions of several kinds, a depthwise one, a residual, pools, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.begin = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1), nn.ReLU6(), nn.Conv2d(24, 40, 1), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(40, 40, 3, 1, 1, groups=40), nn.ReLU(), nn.Conv2d(40, 40, 1))
        self.end = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(40, 18, 3, groups=2), nn.ReLU())
        self.head = nn.Linear(18, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.begin(x)
        return self.head(self.end(x + self.middle(x)).mean((2, 3)))


class _Samples(CalibrationDataReader):
    def __init__(self) -> None:
        self._left = [{"x": sample(seed)} for seed in range(4)]

    def get_next(self) -> dict[str, Array] | None:
        return self._left.pop() if self._left else None


def sample(seed: int) -> Array:
    """An input."""
    return np.random.default_rng(seed).standard_normal(INPUT).astype(np.float32)


def net() -> onnx.ModelProto:
    """The net with seeded weights."""
    torch.manual_seed(0)
    buffer = io.BytesIO()
    torch.onnx.export(
        _Net().eval(), (torch.zeros(INPUT),), buffer, input_names=["x"], output_names=["y"], dynamo=False
    )  # type: ignore[arg-type]
    return onnx.load_from_string(buffer.getvalue())


def quantized(
    model: onnx.ModelProto, folder: Path, form: str, x_type: str, w_type: str, per_channel: bool
) -> onnx.ModelProto:
    """The model in QDQ or QOperator form, with activations and weights of those types."""
    types = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
    onnx.save(model, folder / "net.onnx")
    quantize_static(
        folder / "net.onnx", folder / "quantized.onnx", _Samples(), quant_format=QuantFormat[form],
        activation_type=types[x_type], weight_type=types[w_type], per_channel=per_channel,
    )  # fmt: skip
    return onnx.load(folder / "quantized.onnx")
