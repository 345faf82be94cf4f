"""Holds a compiled model against its reference, on all values of all outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .._errors import InvalidArgument, NotFound, RuntimeFailure
from ._difference import Difference, Rounding, difference, random_inputs
from .frontend.source import Source

if TYPE_CHECKING:
    from ._compile import Compiled

__all__ = ["Unverified", "differences", "verify"]


@dataclass(frozen=True)
class Unverified:
    """Why a model could not be held against its reference: it is not `installed`, or does not run the model."""

    reason: str
    installed: bool


def verify(
    compiled: Compiled,
    run: Any,
    constants: Mapping[str, NDArray[Any]],
    inputs: Mapping[str, NDArray[Any]] | None = None,
) -> list[Difference] | Unverified:
    """Holds `run(**inputs)` (a `GraphModule`) against the model that it was compiled from.

    inputs: arrays by name; without them random ones, with smaller integers where the reference refuses larger ones
    (which may be indices). Errors: `RuntimeFailure` naming the outputs that differ; `InvalidArgument` when the two
    disagree on what the outputs are, or for inputs that are not the model's.
    """
    tried = (
        [inputs]
        if inputs is not None
        else [random_inputs(compiled.metadata.inputs, below=below) for below in (10, 2, 1)]
    )
    reason = ""
    for each in tried:
        try:
            expected = compiled.source.reference.outputs({**each, **constants})
        except NotFound as error:
            return Unverified(error.message, installed=False)
        except RuntimeFailure as error:
            reason = reason or error.message
            continue
        found = _compared(compiled.source, run, each, {**each, **constants}, expected)
        _refuse_wrong(found, compiled.source.reference.framework)
        return found
    return Unverified(reason, installed=True)


def _refuse_wrong(found: list[Difference], framework: str) -> None:
    wrong = [difference for difference in found if not difference.ok]
    if not wrong:
        return
    worst = max(wrong, key=lambda difference: difference.relative)
    raise RuntimeFailure(
        f"the compiled model's outputs differ from {framework}'s: {', '.join(each.output for each in wrong)}; "
        f"{worst.output} by up to {worst.absolute:.3g}, {worst.relative:.3g} of its range"
    )


def differences(
    source: Source, run: Any, inputs: Mapping[str, NDArray[Any]], constants: Mapping[str, NDArray[Any]]
) -> list[Difference]:
    """Runs `inputs` through the source's reference and through `run(**inputs)` (a `GraphModule`), and compares.

    Errors: those of the reference; `InvalidArgument` when the two disagree on what the outputs are.
    """
    known = {**inputs, **constants}
    return _compared(source, run, inputs, known, source.reference.outputs(known))


def _compared(
    source: Source,
    run: Any,
    inputs: Mapping[str, NDArray[Any]],
    known: Mapping[str, NDArray[Any]],
    expected: list[NDArray[Any]],
) -> list[Difference]:
    """Holds what `run` makes of `inputs` against `expected`, the reference's of `known`: those and constants."""
    results = run(**inputs)
    results = results if isinstance(results, tuple) else (results,)
    if [value.shape for value in results] != [value.shape for value in expected]:
        raise InvalidArgument(f"{source.reference.framework} returns outputs of other shapes")
    rounding = Rounding(source.model)
    nudged: Sequence[NDArray[Any] | None] = [None] * len(expected)
    if rounding.quantized and source.reference.nudged is not None:
        nudged = source.reference.nudged(known)
    outputs = zip(source.model.graph.output, results, expected, nudged, strict=True)
    found = [difference(info.name, ours, theirs, rounding, moved) for info, ours, theirs, moved in outputs]
    if rounding.quantized and source.reference.integers is not None:
        return _closest(source, found, results, rounding, known)
    return found


def _closest(
    source: Source,
    found: list[Difference],
    results: Sequence[NDArray[Any]],
    rounding: Rounding,
    known: Mapping[str, NDArray[Any]],
) -> list[Difference]:
    """The same, or the differences from products of integers where those are smaller."""
    assert source.reference.integers is not None
    try:
        expected = source.reference.integers(known)
    except RuntimeFailure:  # it has no kernel for a type
        return found
    exact = [
        difference(before.output, ours, theirs, rounding)
        for before, ours, theirs in zip(found, results, expected, strict=True)
    ]
    return [
        min(pair, key=lambda each: (not each.ok, each.relative)) for pair in zip(found, exact, strict=True)
    ]
