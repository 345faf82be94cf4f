"""Holds a compiled model against its reference, on all values of all outputs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._errors import InvalidArgument, NotFound, RuntimeFailure
from .._graph.format.metadata import Batch
from ._difference import Difference, Rounding, difference, random_inputs
from .frontend.source import Source

if TYPE_CHECKING:
    from ._compile import Compiled

__all__ = ["Unverified", "differences", "verify"]

_STEPS = 3  # of a model that keeps state


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

    inputs: arrays by name; without them random ones for each plan, with smaller integers where the reference refuses
    larger ones (which may be indices). A model with states is run several times from zero states, which it has
    afterwards, too.
    Errors: `RuntimeFailure` naming the outputs that differ; `InvalidArgument` when the two disagree on what the outputs
    are, or for inputs that are not the model's.
    """
    worst: dict[str, Difference] = {}
    for source, drawn in _cases(compiled, inputs):
        found = _verified(compiled, source, run, constants, drawn)
        if isinstance(found, Unverified):
            return found
        for each in found:
            known = worst.setdefault(each.output, each)
            worst[each.output] = max(known, each, key=_how_wrong)
    return list(worst.values())


_Drawn = Callable[[int, int], Mapping[str, NDArray[Any]]]
"""Inputs, drawn with a seed and integers below a limit."""


def _cases(
    compiled: Compiled, inputs: Mapping[str, NDArray[Any]] | None
) -> Iterator[tuple[Source, _Drawn | Mapping[str, NDArray[Any]]]]:
    """What the plans are held against: each on random inputs, of its smallest, its largest and another batch."""
    if inputs is not None:
        yield compiled.source, inputs
        return
    for plan, source in zip(compiled.metadata.plans, compiled.sources, strict=True):
        for batch in _batches(plan.batch):
            infos = plan.of_batch(batch).inputs
            yield source, functools.partial(random_inputs, infos)


def _batches(batch: Batch | None) -> list[int]:
    if batch is None:
        return [0]
    return sorted({batch.least, (batch.least + 2 * batch.most) // 3, batch.most})


def _verified(
    compiled: Compiled,
    source: Source,
    run: Any,
    constants: Mapping[str, NDArray[Any]],
    inputs: _Drawn | Mapping[str, NDArray[Any]],
) -> list[Difference] | Unverified:
    if compiled.training is not None:
        return _verify_training(compiled, run)
    reason = ""
    for below in (10, 2, 1) if callable(inputs) else (0,):
        drawn = [
            inputs(seed, below) if callable(inputs) else inputs
            for seed in range(_STEPS if compiled.metadata.states else 1)
        ]
        try:
            found = _after_all(compiled, source, run, drawn, constants)
        except NotFound as error:
            return Unverified(error.message, installed=False)
        except _NotRun as error:
            reason = reason or error.message
            continue
        _refuse_wrong(found, source.reference.framework)
        return found
    return Unverified(reason, installed=True)


def _verify_training(compiled: Compiled, run: Any) -> list[Difference] | Unverified:
    from .training.verify import step_differences

    assert compiled.training is not None
    try:
        found = step_differences(compiled.training, run)
    except RuntimeFailure:
        raise
    except RuntimeError as error:  # torch's own
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return Unverified(
            f"torch cannot train the model in float64: {lines[-1] if lines else error}", installed=True
        )
    _refuse_wrong(found, "torch in float64")
    return found


class _NotRun(RuntimeFailure):
    """The reference cannot run the model on these inputs."""


def _after_all(
    compiled: Compiled,
    source: Source,
    run: Any,
    steps: Sequence[Mapping[str, NDArray[Any]]],
    constants: Mapping[str, NDArray[Any]],
) -> list[Difference]:
    """The largest differences of runs one after another, from zero states; the reference's own are fed back to it."""
    states = compiled.metadata.states
    names = [info.name for info in source.model.graph.output]
    kept = {info.name: np.zeros(info.shape, info.numpy_dtype) for info in states}
    every: list[list[Difference]] = []
    if states:
        run.reset()
    for inputs in steps:
        known = {**inputs, **kept, **constants}
        try:
            expected = source.reference.outputs(known)
        except RuntimeFailure as error:
            raise _NotRun(error.message) from error
        every.append(_compared(source, _with_states(run, names) if states else run, inputs, known, expected))
        after = dict(zip(names, expected, strict=True))
        kept = {info.name: after[info.output].view(info.numpy_dtype) for info in states}
    if states:
        run.reset()
    return [max(each, key=_how_wrong) for each in zip(*every, strict=True)]


def _how_wrong(difference: Difference) -> tuple[bool, float]:
    return not difference.ok, difference.relative


def _with_states(run: Any, names: Sequence[str]) -> Any:
    """The module as a function of all outputs that its model has, those that become states among them."""

    def call(**inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        results = run(**inputs)
        values = dict(
            zip(
                (info.name for info in run.outputs),
                results if isinstance(results, tuple) else (results,),
                strict=True,
            )
        )
        values |= {info.output: run.state(info.name) for info in run.states}
        return tuple(values[name] for name in names)

    return call


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
