"""What can be chosen when a model is compiled."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from .._errors import InvalidArgument
from .._graph.format.metadata import MOST_THREADS, Preprocess
from ._shapes import Shapes

if TYPE_CHECKING:
    from .._training.step_options import TrainOptions

__all__ = ["CalibrateBy", "CompileOptions", "Quantize", "Simd", "Target", "WeightsMode"]

Simd = Literal["128", "relaxed", "off"]
Target = Literal["wasm32", "native"]
WeightsMode = Literal["embed", "file"]
Quantize = Literal["int8", "dynamic", "weights-int8", "weights-int4", "float16"]
CalibrateBy = Literal["minmax", "moving-average", "percentile", "entropy"]


@dataclass(frozen=True)
class CompileOptions:
    """Choices of one compilation.

    Attributes:
        shapes: shapes of inputs whose own are symbolic, by input name. A list of shapes makes a module that takes
            each of them, those of several inputs one by one. A `range` as an extent, the same one wherever there is
            one, makes a module that takes each of its numbers: a batch.
        constants: NumPy arrays by input name, or numbers, for inputs that are to become part of the model.
        state: inputs that the module keeps from one run to the next, and the output that each becomes, by name; `*` in
            both stands for the same characters. A state is zero at first. Neither is an input or output of the module.
        target: "wasm32", or "native" for a shared library that runs on this kind of computer, without a sandbox.
        simd: of WebAssembly. "128" runs wherever WebAssembly 2.0 does; "relaxed" is faster on engines with relaxed SIMD
            and may round otherwise on other CPUs; "off" is for engines without SIMD.
        threads: how many threads can share the work of a run. With more than 1 the module's memory is shared, and it
            takes some more for each; results have the same bits with any number.
        opt_level: 0 to 3.
        tune: how many random schedules are measured for each generated kernel, to keep the fastest; 0 for what is
            known already.
        weights: "embed" in the module, or in a "file" beside it.
        preprocess: how pictures become the first input, kept in the module: "imagenet", "raw", the path of a JSON
            file, or all of it.
        labels: names of the classes, kept in the module.
        name: of the model; by default that of the file.
        quantize: "int8" for activations and weights of 8 bits, "dynamic" for matrix products of 8 bits with
            activations that are scaled at run time, "weights-int8" or "weights-int4" for weights alone, "float16".
        calibrate: pictures, arrays, or folders of them. "int8" learns the ranges of activations on them; every kind is
            measured on them.
        calibrate_by: how a range follows from the values seen: "minmax", "moving-average" of both, "percentile",
            or "entropy", which keeps the most of their distribution.
        keep_float: operators or names of nodes that are not quantized; `*` stands for any characters.
        min_snr: of "int8": a layer that alone would take the outputs below so many dB of signal to noise is not
            quantized.
        train: makes a training module: loss, optimizer and batch of its steps.

    Errors: `InvalidArgument` for a value out of range.
    """

    shapes: dict[str, Shapes] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    target: Target = "wasm32"
    simd: Simd = "128"
    threads: int = 1
    opt_level: int = 3
    tune: int = 0
    weights: WeightsMode = "embed"
    preprocess: Preprocess | str | None = None
    labels: tuple[str, ...] | None = None
    name: str | None = None
    quantize: Quantize | None = None
    calibrate: tuple[str | os.PathLike[str], ...] = ()
    calibrate_by: CalibrateBy = "minmax"
    keep_float: tuple[str, ...] = ()
    min_snr: float | None = None
    train: TrainOptions | None = None

    def __post_init__(self) -> None:
        choices = {
            "target": Target,
            "simd": Simd,
            "weights": WeightsMode,
            "quantize": Quantize,
            "calibrate_by": CalibrateBy,
        }
        for name, known in choices.items():
            if getattr(self, name) not in (*get_args(known), *([None] if name == "quantize" else [])):
                expected = ", ".join(get_args(known))
                raise InvalidArgument(f"{name}: expected one of {expected}, not {getattr(self, name)!r}")
        if self.target == "native" and self.weights != "embed":
            raise InvalidArgument("weights: a native library holds its weights itself")
        if self.threads not in range(1, MOST_THREADS + 1):
            raise InvalidArgument(f"threads: expected 1 to {MOST_THREADS}, not {self.threads!r}")
        if self.opt_level not in range(4):
            raise InvalidArgument(f"opt_level: expected 0 to 3, not {self.opt_level!r}")
        if self.tune < 0:
            raise InvalidArgument(f"tune: expected a number of schedules, not {self.tune!r}")
        if self.tune > 0 and self.target == "native":
            raise InvalidArgument(
                "tune: schedules are measured in a WebAssembly engine; the target native has none"
            )
        self._check_quantization()

    def _check_quantization(self) -> None:
        if self.quantize is None:
            for name in ("calibrate", "keep_float", "min_snr"):
                if getattr(self, name) not in ((), None):
                    raise InvalidArgument(f"{name}: means nothing without quantize")
        elif self.quantize == "int8" and not self.calibrate:
            raise InvalidArgument(
                "quantize: int8 needs inputs to learn ranges of activations on; name pictures or arrays in calibrate"
            )
        if self.quantize != "int8":
            for name, default in (("calibrate_by", "minmax"), ("min_snr", None)):
                if getattr(self, name) != default:
                    raise InvalidArgument(f"{name}: means nothing without quantize int8")
