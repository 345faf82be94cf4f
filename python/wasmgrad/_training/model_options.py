"""What a trainer is told of its model: losses of outputs, patterns of names, groups of parameters. As JSON has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from .._errors import InvalidArgument
from .options import Loss, number, scalar, text

__all__ = ["ParameterGroup", "flag", "parameter_group_list", "patterns", "weighted_losses"]


class ParameterGroup(TypedDict, total=False):
    """How some parameters are trained; what is left out is as for the others."""

    learning_rate: float
    """Before the schedule, which scales it as it does that of the others."""
    weight_decay: float


def flag(key: str, value: object) -> bool:
    """Errors: `InvalidArgument` unless it is a truth value."""
    plain = scalar(key, value)
    if not isinstance(plain, bool):
        raise InvalidArgument(f"{key} is {value!r:.80}; expected True or False")
    return plain


def patterns(key: str, value: str | Sequence[str]) -> list[str]:
    """One pattern of names, or several. Errors: `InvalidArgument` for what is no text."""
    if isinstance(value, str):
        return [text(key, value)]
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise InvalidArgument(f"{key} is {value!r:.80}; expected a pattern of names, or a list of them")
    return [text(f"a pattern of {key}", pattern) for pattern in value]


def parameter_group_list(
    groups: Mapping[str, ParameterGroup] | None,
) -> list[tuple[str, float | None, float | None]]:
    """Pattern, learning rate and weight decay of each. Errors: `InvalidArgument`, naming the group."""
    known = ("learning_rate", "weight_decay")
    listed = []
    for pattern, group in _mapping("parameter_groups", groups or {}, "a mapping of patterns").items():
        where = f"parameter_groups[{pattern!r}]"
        _mapping(where, group, "a mapping of 'learning_rate' and 'weight_decay'")
        for key in group:
            if key not in known:
                raise InvalidArgument(
                    f"parameter_groups: unknown key {key!r}; known are 'learning_rate' and 'weight_decay'"
                )
        rate, decay = (
            None if group.get(key) is None else number(f"{key} of {where}", group[key]) for key in known
        )
        listed.append((text("a pattern of parameter_groups", pattern), rate, decay))
    return listed


def weighted_losses(
    losses: Mapping[str, Loss | tuple[Loss, float]] | str | None,
) -> str | dict[str, tuple[str, float]]:
    """The loss and weight of each output, or "model". Errors: `InvalidArgument`, naming the output."""
    if losses is None:
        return {}
    if isinstance(losses, str):
        if losses != "model":
            raise InvalidArgument(f"losses is {losses!r}; expected 'model' or a loss for each output")
        return losses
    outputs = _mapping("losses", losses, "'model' or a mapping of outputs")
    return {text("an output of losses", name): _weighted(name, loss) for name, loss in outputs.items()}


def _weighted(name: str, loss: Any) -> tuple[str, float]:
    where = f"losses[{name!r}]"
    if isinstance(loss, str):
        return text(where, loss), 1.0
    if not isinstance(loss, (tuple, list)) or len(loss) != 2 or not isinstance(loss[0], str):
        raise InvalidArgument(
            f"{where} is {loss!r:.80}; expected a loss, or a tuple of a loss and its weight"
        )
    return text(where, loss[0]), number(f"the weight of {where}", loss[1])


def _mapping(where: str, value: Any, expected: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{where} is {value!r:.80}; expected {expected}")
    return value
