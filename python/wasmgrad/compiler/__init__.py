"""Compiles ONNX and PyTorch models to WebAssembly. It needs the extra `compile`: `pip install 'wasmgrad[compile]'`.

`compile_model` returns everything that a compilation makes; `wasmgrad.compile` is the short way to a model that runs.
"""

from __future__ import annotations

from .._errors import NotFound

try:
    import onnx as _onnx  # noqa: F401
    import tvm as _tvm  # noqa: F401
except ImportError as error:
    raise NotFound(
        f"the package {error.name} is not installed; compiling models needs `pip install 'wasmgrad[compile]'`"
    ) from error

from ._api import compile  # noqa: A004
from ._compile import STAGES, Compiled, compile_model
from ._difference import TOLERANCE, Difference, random_inputs
from ._options import CalibrateBy, CompileOptions, Quantize, Simd, WeightsMode
from ._verify import Unverified, differences, verify
from .backend.search import Found
from .frontend.operators import operator_names, single_operator
from .frontend.source import Source, open_source
from .quantization import LayerReport, OutputReport, QuantizationReport

__all__ = [
    "STAGES",
    "TOLERANCE",
    "CalibrateBy",
    "CompileOptions",
    "Compiled",
    "Difference",
    "Found",
    "LayerReport",
    "OutputReport",
    "QuantizationReport",
    "Quantize",
    "Simd",
    "Source",
    "Unverified",
    "WeightsMode",
    "compile",
    "compile_model",
    "differences",
    "open_source",
    "operator_names",
    "random_inputs",
    "single_operator",
    "verify",
]
