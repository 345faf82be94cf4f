"""Holds training steps against torch: a batch that is not whole against the same rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .open import recording
from .step import TrainingStep

__all__ = ["arguments_for", "drawn", "gentle", "is_exact_for_fewer"]

_TOLERANCE = 1e-4  # of a tensor's range
_NUMBERS = {"learning_rate": 0.125, "epsilon": 1.0}  # with which rounding is not magnified


def drawn(step: TrainingStep, rows: int, seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Random inputs and targets of so many rows."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for each in (*step.inputs, step.target):
        assert each.shape is not None
        shape = (rows, *map(int, each.shape[1:]))
        if each.dtype is not None and each.dtype.is_floating_point:
            kind = dtype if each.dtype == torch.float32 else each.dtype
            values = torch.randn(shape, generator=generator, dtype=torch.float64)
            if each is step.target and step.options.loss in ("kl_div", "bce_with_logits", "focal"):
                values = torch.sigmoid(values)  # probabilities
            made[each.name] = values.to(torch.float32).to(kind)
        else:
            most = step.classes if each is step.target else 2
            made[each.name] = torch.randint(0, max(most, 1), shape, generator=generator, dtype=each.dtype)
    return made


def gentle(step: TrainingStep, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The states at first, with hyper-parameters that do not magnify rounding."""
    states = {}
    for name, tensor in step.states.items():
        states[name] = tensor.to(dtype) if tensor.dtype == torch.float32 else tensor.clone()
        kind, _, number = name.partition(".")
        if kind == "settings" and number in _NUMBERS:
            states[name] = torch.full_like(tensor, _NUMBERS[number])
    return states


def arguments_for(
    step: TrainingStep, entry: str, states: dict[str, Tensor], inputs: dict[str, Tensor], rows: int
) -> list[Tensor]:
    """In the order of the entry's arguments."""
    given = {**states, **inputs, "rows": torch.tensor(rows)}
    return [given[each.name] for each in step.arguments(entry)]


def is_exact_for_fewer(step: TrainingStep, recorded: Callable[..., Sequence[Any]]) -> bool:
    """Whether the recorded step on part of a batch does what torch does on those rows alone.

    It does not where rows have to do with each other in a way that recording does not know.
    """
    rows = max(step.least, step.batch - max(1, step.batch // 3))
    if rows >= step.batch:
        return False
    states = gentle(step)
    alone = drawn(step, rows, 1)
    whole = {
        name: torch.cat([tensor, torch.zeros(step.batch - rows, *tensor.shape[1:], dtype=tensor.dtype)])
        for name, tensor in alone.items()
    }
    try:
        with recording():
            wanted = step.function("step")(*arguments_for(step, "step", states, alone, rows))
    except RuntimeError:  # the model takes whole batches only
        return False
    found = recorded(*arguments_for(step, "step", states, whole, rows))
    return all(
        _is_close(ours, theirs, name)
        for ours, (name, theirs) in zip(found, wanted, strict=True)
        if _compared(step, name)
    )


def _compared(step: TrainingStep, name: str) -> bool:
    """The sign of a gradient that is all but zero is not."""
    return not (step.options.optimizer == "lion" and name.startswith("next.model."))


def _is_close(ours: Tensor, theirs: Tensor, name: str) -> bool:
    if not theirs.is_floating_point():
        return bool(torch.equal(ours, theirs))
    if theirs.numel() == 0:
        return True
    gap = float((ours.detach().double() - theirs.detach().double()).abs().max())
    return gap <= _TOLERANCE * max(float(theirs.detach().abs().max()), 1e-2)
