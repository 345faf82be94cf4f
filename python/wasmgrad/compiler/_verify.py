"""Compares a compiled model with its reference, on all values of all outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._errors import InvalidArgument
from .._graph_meta import TensorInfo
from ._source import Source

__all__ = ["TOLERANCE", "Difference", "difference", "differences", "random_inputs"]

TOLERANCE = 1e-4  # of an output's range


@dataclass(frozen=True)
class Difference:
    """Of one output: the largest absolute difference, and the same divided by the output's range."""

    output: str
    absolute: float
    relative: float

    @property
    def ok(self) -> bool:
        """Whether it is within the tolerance."""
        return self.relative <= TOLERANCE


def random_inputs(inputs: tuple[TensorInfo, ...], seed: int = 0) -> dict[str, NDArray[Any]]:
    """Standard normal floats, integers from 0 to 9, and coin flips; by input name."""
    generator = np.random.default_rng(seed)
    made = {}
    for info in inputs:
        if info.numpy_dtype.kind in "iu":
            values: Any = generator.integers(0, 10, info.shape)
        elif info.dtype == "bool":
            values = generator.integers(0, 2, info.shape)
        else:
            values = generator.standard_normal(info.shape)
        made[info.name] = np.asarray(values).astype(info.numpy_dtype)
    return made


def differences(
    source: Source, run: Any, inputs: Mapping[str, NDArray[Any]], constants: Mapping[str, NDArray[Any]]
) -> list[Difference]:
    """Runs `inputs` through the source's reference and through `run(**inputs)` (a `GraphModule`), and compares.

    Errors: those of the reference; `InvalidArgument` when the two disagree on what the outputs are.
    """
    expected = source.reference.outputs({**inputs, **constants})
    results = run(**inputs)
    results = results if isinstance(results, tuple) else (results,)
    if [value.shape for value in results] != [value.shape for value in expected]:
        raise InvalidArgument(f"{source.reference.framework} returns outputs of other shapes")
    names = [info.name for info in source.model.graph.output]
    return [difference(*each) for each in zip(names, results, expected, strict=True)]


def difference(name: str, value: NDArray[Any], expected: NDArray[Any]) -> Difference:
    """Of two outputs of the same shape."""
    if value.size == 0:
        return Difference(name, 0.0, 0.0)
    ours, theirs = value.astype(np.float64), expected.astype(np.float64)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    gaps = np.where(same, 0.0, np.abs(ours - theirs))
    absolute = float(np.max(np.where(np.isnan(gaps), np.inf, gaps)))
    finite = theirs[np.isfinite(theirs)]
    extent = float(np.ptp(finite)) if finite.size > 1 else 0.0
    return Difference(
        name, absolute, absolute / max(extent, float(np.max(np.abs(finite), initial=0.0)), 1e-30)
    )
