"""Holds a compiled training step against torch: what one step makes of all states, and some steps' losses.

The measure is torch itself in float64. What the step may be away from it is a few times what torch in float32 is: more
is no rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._difference import Difference
from .check import arguments_for, drawn, gentle
from .open import recording
from .step import TrainingStep

__all__ = ["step_differences"]

_TIMES = 3  # what torch in float32 is away
_TINY = 1e-6  # of the largest value among tensors of a kind: sums in another order round otherwise
_STEPS = 5

States = dict[str, Tensor]


def step_differences(step: TrainingStep, module: Any) -> list[Difference]:
    """What is different after a step, for each state, and in the losses of some steps.

    module: a `TrainingModule` of this step, which is as it was afterwards. Raises what torch raises where it cannot run
    the model in float64.
    """
    try:
        first = _after_one(step, module)
        return [*first, _losses(step, module)]
    finally:
        module.reset()


def _after_one(step: TrainingStep, module: Any) -> list[Difference]:
    narrow, wide = gentle(step), gentle(step, torch.float64)
    inputs, wide_inputs = drawn(step, step.batch, 0), drawn(step, step.batch, 0, torch.float64)
    for name, tensor in narrow.items():
        module.set_state(name, tensor.numpy())
    _run(step, module, inputs)
    theirs = _torch_step(step, torch.float32, narrow, inputs)
    exact = _torch_step(step, torch.float64, wide, wide_inputs)
    largest: dict[str, float] = {}
    for name in step.states:
        kind = _kind(name)
        largest[kind] = max(largest.get(kind, 0.0), _most(exact.get(f"next.{name}", wide[name])))
    return [
        _difference(
            name, module.state(name), theirs[f"next.{name}"], exact[f"next.{name}"], largest[_kind(name)]
        )
        for name in step.states
        if f"next.{name}" in exact and _is_compared(step, name)
    ]


def _losses(step: TrainingStep, module: Any) -> Difference:
    """Of some steps one after another, from the beginning, with the hyper-parameters that were chosen."""
    module.reset()
    narrow: States = {name: tensor.clone() for name, tensor in step.states.items()}
    wide: States = {
        name: tensor.double() if tensor.dtype == torch.float32 else tensor.clone()
        for name, tensor in step.states.items()
    }
    found: list[Difference] = []
    for seed in range(1, 1 + _STEPS):
        inputs, wide_inputs = drawn(step, step.batch, seed), drawn(step, step.batch, seed, torch.float64)
        ours = _run(step, module, inputs)["loss"]
        theirs, exact = (
            _torch_step(step, kind, states, given)
            for kind, states, given in ((torch.float32, narrow, inputs), (torch.float64, wide, wide_inputs))
        )
        for states, after in ((narrow, theirs), (wide, exact)):
            states.update({name: after.get(f"next.{name}", tensor) for name, tensor in states.items()})
        found.append(_difference("loss", ours, theirs["loss"], exact["loss"], 10 * _most(exact["loss"])))
    return max(found, key=lambda each: (not each.ok, each.relative))


def _run(step: TrainingStep, module: Any, inputs: States) -> Mapping[str, NDArray[Any]]:
    feeds = {name: tensor.numpy() for name, tensor in inputs.items()}
    results = module.entry("step")(**feeds, rows=np.array(step.batch, np.int64))
    return dict(zip((info.name for info in module.outputs), results, strict=True))


def _torch_step(step: TrainingStep, dtype: torch.dtype, states: States, inputs: States) -> States:
    with recording():
        arguments = arguments_for(step, "step", states, inputs, step.batch)
        results = step.function("step", dtype=dtype)(*arguments)
    return {name: tensor.detach() for name, tensor in results}


def _difference(name: str, ours: NDArray[Any], theirs: Tensor, exact: Tensor, largest: float) -> Difference:
    if ours.dtype.kind != "f":
        same = np.array_equal(ours, theirs.numpy())
        return Difference(name, 0.0 if same else 1.0, 0.0 if same else 1.0, allowed=0.0)
    truth = exact.double().numpy()
    gap, usual = _gap(ours.astype(np.float64), truth), _gap(theirs.double().numpy(), truth)
    scale = max(largest, 1e-30)
    return Difference(name, gap, gap / scale, allowed=(_TIMES * usual) / scale + _TINY)


def _gap(values: NDArray[Any], truth: NDArray[Any]) -> float:
    gaps = np.abs(values - truth)
    return float(np.max(np.where(np.isnan(gaps), np.inf, gaps), initial=0.0))


def _most(tensor: Tensor) -> float:
    return float(tensor.abs().max()) if tensor.numel() else 0.0


def _kind(name: str) -> str:
    """Tensors whose values are of one size."""
    parts: Sequence[str] = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "optimizer" else name


def _is_compared(step: TrainingStep, name: str) -> bool:
    """The sign of a gradient that is all but zero is not."""
    return not (step.options.optimizer == "lion" and name.removeprefix("model.") in step.model.trained)
