"""What can be chosen about a training step that is compiled: those options of the training host that it has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from .._errors import InvalidArgument, Unsupported
from .option_table import OPTIONS, Option

__all__ = ["STEP_OPTIONS", "TrainOptions"]

_TABLE = {option.name: option for option in OPTIONS}
_LOSSES = (
    "cross_entropy", "cross_entropy_probabilities", "mse", "l1", "huber", "bce_with_logits", "nll", "kl_div", "cosine",
    "focal",
)  # fmt: skip
_OPTIMIZERS = ("adam", "rmsprop", "sgd", "adamw", "adagrad", "nadam", "radam", "lion", "lamb")


def _default(name: str) -> Any:
    return field(default=_TABLE[name].default)


@dataclass(frozen=True)
class TrainOptions:
    """Choices of a training step, with the names, ranges and defaults of the training host.

    Attributes:
        batch_size: rows of a step; a step may take fewer. None: what the shapes of the inputs say.
        freeze: patterns (`*`, `?`) of parameters and running statistics that stay as they are.
        learning_rate and others that may change between steps: what they are at first.

    Errors: `InvalidArgument` for a value out of range; `Unsupported` for an option that a compiled step does not have.
    """

    batch_size: int | None = None
    loss: str = _default("loss")
    optimizer: str = _default("optimizer")
    learning_rate: float = _default("learning_rate")
    weight_decay: float = _default("weight_decay")
    beta1: float = _default("beta1")
    beta2: float = _default("beta2")
    epsilon: float = _default("epsilon")
    amsgrad: bool = _default("amsgrad")
    momentum_decay: float = _default("momentum_decay")
    momentum: float = _default("momentum")
    nesterov: bool = _default("nesterov")
    dampening: float = _default("dampening")
    alpha: float = _default("alpha")
    freeze: tuple[str, ...] = ()
    class_weights: tuple[float, ...] | None = None
    ignore_index: int = _default("ignore_index")
    label_smoothing: float = _default("label_smoothing")
    pos_weight: tuple[float, ...] | None = None
    huber_delta: float = _default("huber_delta")
    focal_gamma: float = _default("focal_gamma")
    focal_alpha: float = _default("focal_alpha")
    clip_norm: float | None = None
    clip_value: float | None = None
    top_k: int = _default("top_k")

    def __post_init__(self) -> None:
        for name, choices in (("loss", _LOSSES), ("optimizer", _OPTIMIZERS)):
            if getattr(self, name) not in choices:
                raise InvalidArgument(
                    f"{name}: expected one of {', '.join(choices)}, not {getattr(self, name)!r}"
                )
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in _TABLE and value is not None:
                _check_range(_TABLE[each.name], value)
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise InvalidArgument("nesterov: needs a momentum above 0 and no dampening")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> TrainOptions:
        """From the names of the training host's options; None is the default."""
        known = {each.name for each in fields(cls)}
        chosen = {name: value for name, value in given.items() if value is not None}
        for name in chosen:
            if name not in known:
                raise Unsupported(
                    f"{name}: a compiled training step has no such option; it has {', '.join(sorted(known))}"
                )
        lists = ("freeze", "class_weights", "pos_weight")
        ready: dict[str, Any] = {name: tuple(v) if name in lists else v for name, v in chosen.items()}
        return cls(**ready)

    def settings(self, names: Sequence[str]) -> dict[str, float]:
        """What those of a rule, and the bounds of gradients, are at first."""
        bounds = [name for name in ("clip_norm", "clip_value") if getattr(self, name) is not None]
        return {name: float(getattr(self, name)) for name in (*names, *bounds)}


STEP_OPTIONS = tuple(each.name for each in fields(TrainOptions))
"""Names of the options that a compiled training step has."""


def _check_range(option: Option, value: Any) -> None:
    """Errors: `InvalidArgument` for a number out of the option's range."""
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, str):
            continue
        low = option.minimum <= number if option.above is None else option.above < number
        high = number <= option.maximum if option.below is None else number < option.below
        if not (math.isfinite(number) and low and high):
            expected = option.range or "a finite number"
            raise InvalidArgument(f"{option.name}: expected {expected}, not {number!r}")
