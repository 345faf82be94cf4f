"""What can be chosen when a model is compiled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from .._errors import InvalidArgument
from .._graph.format.metadata import Preprocess

__all__ = ["CompileOptions", "Simd", "Target", "WeightsMode"]

Simd = Literal["128", "relaxed", "off"]
Target = Literal["wasm32", "native"]
WeightsMode = Literal["embed", "file"]


@dataclass(frozen=True)
class CompileOptions:
    """Choices of one compilation.

    Attributes:
        shapes: static shapes of inputs whose own are symbolic, by input name.
        constants: NumPy arrays by input name, or numbers, for inputs that are to become part of the model.
        target: "wasm32", or "native" for a shared library that runs on this kind of computer, without a sandbox.
        simd: of WebAssembly. "128" runs wherever WebAssembly 2.0 does; "relaxed" is faster on engines with relaxed SIMD
            and may round otherwise on other CPUs; "off" is for engines without SIMD.
        opt_level: 0 to 3.
        tune: how many random schedules are measured for each generated kernel, to keep the fastest; 0 for what is
            known already.
        weights: "embed" in the module, or in a "file" beside it.
        preprocess: how pictures become the first input, kept in the module: "imagenet", "raw", the path of a JSON
            file, or all of it.
        labels: names of the classes, kept in the module.
        name: of the model; by default that of the file.

    Errors: `InvalidArgument` for a value out of range.
    """

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    target: Target = "wasm32"
    simd: Simd = "128"
    opt_level: int = 3
    tune: int = 0
    weights: WeightsMode = "embed"
    preprocess: Preprocess | str | None = None
    labels: tuple[str, ...] | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        for name, known in (("target", Target), ("simd", Simd), ("weights", WeightsMode)):
            if getattr(self, name) not in get_args(known):
                expected = ", ".join(get_args(known))
                raise InvalidArgument(f"{name}: expected one of {expected}, not {getattr(self, name)!r}")
        if self.target == "native" and self.weights != "embed":
            raise InvalidArgument("weights: a native library holds its weights itself")
        if self.opt_level not in range(4):
            raise InvalidArgument(f"opt_level: expected 0 to 3, not {self.opt_level!r}")
        if self.tune < 0:
            raise InvalidArgument(f"tune: expected a number of schedules, not {self.tune!r}")
        if self.tune > 0 and self.target == "native":
            raise InvalidArgument(
                "tune: schedules are measured in a WebAssembly engine; the target native has none"
            )
