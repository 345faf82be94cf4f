"""Makes models smaller or faster at the cost of exact numbers, by onnxruntime's tools, and says what that cost.

`quantized` takes the model that was read and gives the one that is compiled in its place, with a report.
"""

from __future__ import annotations

from .quantize import quantized
from .report import LayerReport, OutputReport, QuantizationReport

__all__ = ["LayerReport", "OutputReport", "QuantizationReport", "quantized"]
