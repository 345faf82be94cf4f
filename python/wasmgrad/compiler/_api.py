"""From a model to something that can be called, in one step."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._errors import RuntimeFailure
from ._compile import compile_model
from ._options import CalibrateBy, CompileOptions, Quantize, Simd
from ._shapes import Shapes
from ._verify import Unverified
from ._verify import verify as verify_compiled

if TYPE_CHECKING:
    from .._graph.format.metadata import Preprocess
    from .._graph.module import GraphModule

__all__ = ["compile"]


def compile(  # noqa: A001  (as torch.compile)
    model: Any,
    *,
    shapes: Mapping[str, Shapes] | None = None,
    constants: Mapping[str, Any] | None = None,
    state: Mapping[str, str] | None = None,
    simd: Simd = "128",
    threads: int = 1,
    opt_level: int = 3,
    tune: int = 0,
    preprocess: Preprocess | str | None = None,
    labels: Sequence[str] | None = None,
    name: str | None = None,
    engine: str = "wasmtime",
    verify: bool | None = None,
    quantize: Quantize | None = None,
    calibrate: Sequence[str | os.PathLike[str]] = (),
    calibrate_by: CalibrateBy = "minmax",
    keep_float: Sequence[str] = (),
    min_snr: float | None = None,
    quantize_report: str | os.PathLike[str] | None = None,
) -> GraphModule:
    """Compiles a model to WebAssembly and instantiates it; the result is called with arrays.

    Args:
        model: a path (.onnx, .pt, .pt2), an `onnx.ModelProto`, a torch module or an exported program.
        shapes: shapes of inputs whose own are symbolic or, for torch modules, unknown. A list of shapes makes a module
            that takes each of them, those of several inputs one by one. A `range` as an extent, the same one wherever
            there is one, makes a module that takes each of its numbers: a batch.
        constants: arrays, or numbers, for inputs that are to become part of the model.
        state: inputs that the module keeps from one run to the next, and the output that each becomes, by name; `*` in
            both stands for the same characters. A state is zero at first. Neither is an input or output of the module.
        simd: "128", "relaxed" (faster where the engine has relaxed SIMD) or "off".
        threads: how many threads can share the work of a run, with results of the same bits. Here as many of them run
            it as the process has CPUs.
        opt_level: 0 to 3.
        tune: how many random schedules are measured for each generated kernel; the fastest is kept for later, too.
        preprocess: how pictures become the first input, kept in the module: "imagenet", "raw", the path of a JSON
            file, or all of it.
        labels: names of the classes, kept in the module.
        name: of the model; by default that of the file.
        engine: where it runs: "wasmtime", "wasmedge" or "node".
        verify: whether the module is run on random inputs, and all its outputs are held against onnxruntime's. None:
            where onnxruntime is installed, with a warning when it cannot run the model.
        quantize: "int8" for activations and weights of 8 bits, "dynamic" for matrix products of 8 bits with
            activations that are scaled at run time, "weights-int8" or "weights-int4" for weights alone, "float16".
            A quantized model is held against onnxruntime's results of the quantized model.
        calibrate: pictures, arrays, or folders of them. "int8" learns the ranges of activations on them; every kind is
            measured on them.
        calibrate_by: how a range follows from the values seen: "minmax", "moving-average" of both, "percentile",
            or "entropy", which keeps the most of their distribution.
        keep_float: operators or names of nodes that are not quantized; `*` stands for any characters.
        min_snr: of "int8": a layer that alone would take the outputs below so many dB of signal to noise is not
            quantized.
        quantize_report: where a `QuantizationReport` is written as JSON: how far outputs and layers are from float32.

    Errors: `NotFound`, `InvalidEncoding` (not a model), `Unsupported` (an operator without kernel, by name),
    `InvalidArgument` (shapes that are missing or do not fit), `TooLarge`, `RuntimeFailure` when outputs differ from
    onnxruntime's by more than rounding explains.
    """
    from .._graph.load import load

    options = CompileOptions(
        shapes=dict(shapes or {}),
        constants=dict(constants or {}),
        state=dict(state or {}),
        simd=simd,
        threads=threads,
        opt_level=opt_level,
        tune=tune,
        preprocess=preprocess,
        labels=None if labels is None else tuple(labels),
        name=name,
        quantize=quantize,
        calibrate=tuple(calibrate),
        calibrate_by=calibrate_by,
        keep_float=tuple(keep_float),
        min_snr=min_snr,
    )
    compiled = compile_model(model, options)
    module = load(compiled.module, engine=engine)
    if verify is not False:
        found = verify_compiled(compiled, module, compiled.source.constants)
        if isinstance(found, Unverified):
            if verify:
                raise RuntimeFailure(f"the model cannot be verified: {found.reason}")
            if found.installed:
                warnings.warn(f"the compiled model was not verified: {found.reason}", stacklevel=2)
    if quantize_report is not None and compiled.quantization is not None:
        compiled.quantization.save(quantize_report)
    return module
