"""How far two computations of one model may be apart: as far as plain torch is from itself after a nudge.

A nudge changes the initial weights in their last place. It moves most numbers a little; but where it makes one ReLU
switch, the gradients jump, and no run says how another one jumps. So whatever is further from torch than a first
nudged run explains is held against more of them before it is called wrong. It must not know any architecture, nor
wasmgrad.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["Trained", "Unfit", "Wrong", "Yardstick", "along", "check_fit", "nudge", "same"]

_NUDGE = 1e-7  # of each initial weight: its last place
_FACTOR = 10  # how many times as far as the nudged runs a result may be
_PLACES = 16  # of float32, of a tensor's largest value, that may differ in any case
_STEADY = 1e-3  # of the largest loss or output, how far a nudge may move one, or comparing would show nothing
_RUNS = 16  # nudged ones at most
_FIRST_SEED = 2


class Wrong(Exception):
    """A number is further from torch's than rounding explains."""


class Unfit(Exception):
    """Plain torch itself comes to no number that could be compared: the sample is at fault, not wasmgrad."""


class Compare(Protocol):
    """Like `same` and `along`."""

    def __call__(self, what: str, ours: Any, plain: Any, *nudged: Any) -> float: ...


@dataclass(frozen=True)
class Trained:
    """What a loop of plain torch makes."""

    losses: NDArray[Any]
    state: dict[str, NDArray[Any]]
    output: NDArray[Any]


class Yardstick:
    """A run of plain torch, and as many nudged ones as it takes to judge what is held against it.

    train: what a run makes after the nudge of a seed; without a seed, there is none. Errors: `Unfit`.
    """

    def __init__(self, train: Callable[[int | None], Trained]) -> None:
        self._train = train
        self.plain = train(None)
        self._nudged: list[Trained] = []
        self.share = 0.0
        """The widest distance that was seen, as a part of what is allowed."""
        self._nudge_once_more()

    @property
    def nudges(self) -> int:
        """How many nudged runs were made."""
        return len(self._nudged)

    def hold(
        self, what: str, ours: Any, number: Callable[[Trained], Any], compare: Compare | None = None
    ) -> None:
        """`ours` against that `number` of the plain run. Errors: `Wrong`, `Unfit`."""
        while True:
            nudged = [number(run) for run in self._nudged]
            try:
                share = (compare or same)(what, ours, number(self.plain), *nudged)
            except Wrong:
                if len(nudged) == _RUNS:
                    raise
                self._nudge_once_more()
            else:
                self.share = max(self.share, share)
                return

    def _nudge_once_more(self) -> None:
        run = self._train(_FIRST_SEED + len(self._nudged))
        check_fit(self.plain, run)
        self._nudged.append(run)


def check_fit(plain: Trained, nudged: Trained) -> None:
    """Errors: `Unfit` when the two runs of torch are too far apart for a third to be held against them."""
    mend = "lower its learning rate, or give it larger batches or pictures"
    for what, ours, other in (
        ("losses", plain.losses, nudged.losses),
        ("outputs", plain.output, nudged.output),
    ):
        if not np.isfinite(ours).all():
            raise Unfit(f"its {what} in plain torch are not finite: {mend}")
        largest, gap = np.max(np.abs(ours)), np.max(np.abs(other - ours))
        if largest == 0:
            raise Unfit(f"its {what} in plain torch are all 0, which every model agrees with: {mend}")
        if not gap <= _STEADY * largest:
            raise Unfit(
                f"a nudge of its first weights moves its {what} in plain torch by {gap:.2g} of {largest:.2g}, "
                f"so that comparing would show nothing: {mend}"
            )


def nudge(model: nn.Module, seed: int = _FIRST_SEED) -> nn.Module:
    """The same model, after its parameters were changed in their last place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + _NUDGE * (2 * torch.rand(parameter.shape, generator=generator) - 1).sign())
    return model


def same(what: str, ours: Any, plain: Any, *nudged: Any) -> float:
    """How far `ours` is from `plain`, as a part of what nudges, which made `nudged`, and rounding explain.

    Errors: `Wrong` when it is further.
    """
    ours, plain, others = _doubles(what, ours, plain, nudged)
    return _within(what, ours, plain, np.max(np.abs(others - plain), initial=0))


def along(what: str, ours: Any, plain: Any, *nudged: Any) -> float:
    """The same for a value at each step. Two runs that part may meet again by chance, so the widest gap so far counts.

    Errors: `Wrong`.
    """
    ours, plain, others = _doubles(what, ours, plain, nudged)
    gaps = np.maximum.accumulate(np.max(np.abs(others - plain), axis=0))
    return max(
        _within(f"{what} of step {step + 1}", ours[step], plain[step], gap) for step, gap in enumerate(gaps)
    )


def _doubles(
    what: str, ours: Any, plain: Any, nudged: Sequence[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    ours, plain, others = (np.asarray(each, np.float64) for each in (ours, plain, list(nudged)))
    if ours.shape != plain.shape:
        raise Wrong(f"{what} has the shape {list(ours.shape)} instead of {list(plain.shape)}")
    return ours, plain, others


def _within(what: str, ours: Any, plain: Any, gap: float) -> float:
    """As a part of ten times the gap that nudges make, and some last places."""
    place = np.finfo(np.float32).eps * np.max(np.abs(plain), initial=0)
    apart = np.max(np.abs(ours - plain), initial=0)
    allowed = _FACTOR * gap + _PLACES * place
    if not apart <= allowed:
        raise Wrong(
            f"{what} differs by {apart:.2g}, a nudge makes {gap:.2g}, and a last place is {place:.2g}"
        )
    return float(apart / allowed) if allowed else 0.0
