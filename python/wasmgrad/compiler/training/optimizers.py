"""The update rules of training, with the formulas of the training host.

Numbers of a step (rates, corrections of bias) are float64 until they meet a tensor, as they are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..._training.step_options import TrainOptions
from .axes import total

__all__ = ["Rule", "clipped", "rule_of"]

Numbers = Mapping[str, Tensor]
Update = Callable[[Tensor, Tensor, Sequence[Tensor], Numbers], tuple[Tensor, Sequence[Tensor]]]


@dataclass(frozen=True)
class Rule:
    """An update rule: what it keeps of each parameter and of all, and its formula.

    `lists` are zeros in the parameter's shape, by the names of the training host's checkpoints. `shared` are scalars,
    float32, with what they begin with; `advance` gives their next values and adds to the numbers of the step.
    `settings` are the options that may change between steps.
    """

    lists: tuple[str, ...]
    shared: Mapping[str, float]
    settings: tuple[str, ...]
    advance: Callable[[Numbers, dict[str, Tensor]], Numbers]
    update: Update


def rule_of(options: TrainOptions) -> Rule:
    """The rule that the options ask for."""
    return _RULES[options.optimizer](options)


def clipped(
    options: TrainOptions, gradients: Sequence[Tensor | None], settings: Numbers
) -> list[Tensor | None]:
    """Each element within its bound, then all together within theirs, as the options ask; 0 is no bound."""
    found = list(gradients)
    if options.clip_value is not None:
        bound = settings["clip_value"]
        limit = torch.where(bound > 0, bound, torch.full((), torch.inf, dtype=torch.float64))
        found = [
            None if g is None else torch.minimum(torch.maximum(g, -limit.to(g.dtype)), limit.to(g.dtype))
            for g in found
        ]
    if options.clip_norm is not None:
        squares = [total((g * g).flatten()).double() for g in found if g is not None]
        norm = torch.sqrt(total(torch.stack(squares)))
        bound = settings["clip_norm"]
        one = torch.ones((), dtype=torch.float64)
        factor = torch.where(bound > 0, torch.minimum(bound / (norm + 1e-6), one), one)
        found = [None if g is None else g * factor.to(g.dtype) for g in found]
    return found


def _nothing(_shared: Numbers, _numbers: dict[str, Tensor]) -> Numbers:
    return {}


def _counted(shared: Numbers, numbers: dict[str, Tensor]) -> Numbers:
    step = shared["step"] + 1
    numbers["count"] = step.double()
    return {"step": step}


def _corrected(shared: Numbers, numbers: dict[str, Tensor]) -> Numbers:
    after = _counted(shared, numbers)
    for beta, name in (("beta1", "correction1"), ("beta2", "correction2")):
        numbers[name] = 1 - torch.pow(numbers[beta], numbers["count"])
    return after


def _of(tensor: Tensor, number: Tensor) -> Tensor:
    return number.to(tensor.dtype)


def _penalized(p: Tensor, g: Tensor, n: Numbers) -> Tensor:
    return g + _of(p, n["weight_decay"]) * p


def _moments(g: Tensor, mean: Tensor, square: Tensor, n: Numbers) -> tuple[Tensor, Tensor]:
    """The moving means of the gradient and of its square."""
    mean = mean + _of(g, 1 - n["beta1"]) * (g - mean)
    return mean, square * _of(g, n["beta2"]) + _of(g, 1 - n["beta2"]) * (g * g)


_COMMON = ("learning_rate", "weight_decay")
_BETAS = ("beta1", "beta2", "epsilon")


def _adam(options: TrainOptions) -> Rule:
    decoupled = options.optimizer == "adamw"

    def update(p: Tensor, g: Tensor, kept: Sequence[Tensor], n: Numbers) -> tuple[Tensor, Sequence[Tensor]]:
        if decoupled:
            p = p * _of(p, 1 - n["learning_rate"] * n["weight_decay"])
        else:
            g = _penalized(p, g, n)
        mean, square = _moments(g, kept[0], kept[1], n)
        largest = [torch.maximum(kept[2], square)] if options.amsgrad else []
        root = torch.sqrt(largest[0] if largest else square)
        divisor = root / _of(p, torch.sqrt(n["correction2"])) + _of(p, n["epsilon"])
        rate = _of(p, n["learning_rate"] / n["correction1"])
        return p - rate * (mean / divisor), [mean, square, *largest]

    more = ("max_exp_avg_sq",) if options.amsgrad else ()
    lists = ("exp_avg", "exp_avg_sq", *more)
    return Rule(lists, {"step": 0.0}, (*_COMMON, *_BETAS), _corrected, update)


def _sgd(options: TrainOptions) -> Rule:
    with_momentum, dampened = options.momentum != 0, options.momentum != 0 and options.dampening != 0

    def update(p: Tensor, g: Tensor, kept: Sequence[Tensor], n: Numbers) -> tuple[Tensor, Sequence[Tensor]]:
        g = _penalized(p, g, n)
        if not with_momentum:
            return p - _of(p, n["learning_rate"]) * g, []
        share = g
        if dampened:  # the first step takes the whole gradient
            rest = torch.full((), 1 - options.dampening, dtype=torch.float64)
            share = _of(g, torch.where(n["count"] == 1, torch.ones_like(rest), rest)) * g
        buffer = _of(p, n["momentum"]) * kept[0] + share
        move = g + _of(p, n["momentum"]) * buffer if options.nesterov else buffer
        return p - _of(p, n["learning_rate"]) * move, [buffer]

    lists = ("momentum_buffer",) if with_momentum else ()
    settings = (*_COMMON, "momentum") if with_momentum else _COMMON
    shared = {"step": 0.0} if dampened else {}
    return Rule(lists, shared, settings, _counted if dampened else _nothing, update)


def _rmsprop(options: TrainOptions) -> Rule:
    with_momentum = options.momentum != 0

    def update(p: Tensor, g: Tensor, kept: Sequence[Tensor], n: Numbers) -> tuple[Tensor, Sequence[Tensor]]:
        g = _penalized(p, g, n)
        square = _of(p, n["alpha"]) * kept[0] + _of(p, 1 - n["alpha"]) * g * g
        move = g / (torch.sqrt(square) + _of(p, n["epsilon"]))
        after = [square]
        if with_momentum:
            move = _of(p, n["momentum"]) * kept[1] + move
            after.append(move)
        return p - _of(p, n["learning_rate"]) * move, after

    lists = ("square_avg", "momentum_buffer") if with_momentum else ("square_avg",)
    more = ("momentum",) if with_momentum else ()
    return Rule(lists, {}, (*_COMMON, "alpha", "epsilon", *more), _nothing, update)


def _adagrad(_options: TrainOptions) -> Rule:
    def update(p: Tensor, g: Tensor, kept: Sequence[Tensor], n: Numbers) -> tuple[Tensor, Sequence[Tensor]]:
        g = _penalized(p, g, n)
        summed = kept[0] + g * g
        return p - _of(p, n["learning_rate"]) * g / (torch.sqrt(summed) + _of(p, n["epsilon"])), [summed]

    return Rule(("sum",), {}, (*_COMMON, "epsilon"), _nothing, update)


def _nadam(_options: TrainOptions) -> Rule:
    def advance(shared: Numbers, n: dict[str, Tensor]) -> Numbers:
        after = dict(_corrected(shared, n))

        def momentum_at(count: Tensor) -> Tensor:
            power = torch.pow(torch.full((), 0.96, dtype=torch.float64), count * n["momentum_decay"])
            return n["beta1"] * (1 - 0.5 * power)

        now, following = momentum_at(n["count"]), momentum_at(n["count"] + 1)
        after["mu_product"] = shared["mu_product"] * now.to(shared["mu_product"].dtype)
        whole = after["mu_product"].double()
        n["of_gradient"] = n["learning_rate"] * (1 - now) / (1 - whole)
        n["of_mean"] = n["learning_rate"] * following / (1 - whole * following)
        return after

    def update(p: Tensor, g: Tensor, kept: Sequence[Tensor], n: Numbers) -> tuple[Tensor, Sequence[Tensor]]:
        g = _penalized(p, g, n)
        mean, square = _moments(g, kept[0], kept[1], n)
        divisor = torch.sqrt(square / _of(p, n["correction2"])) + _of(p, n["epsilon"])
        return p - (_of(p, n["of_gradient"]) * g + _of(p, n["of_mean"]) * mean) / divisor, [mean, square]

    settings = (*_COMMON, *_BETAS, "momentum_decay")
    return Rule(("exp_avg", "exp_avg_sq"), {"step": 0.0, "mu_product": 1.0}, settings, advance, update)


def _radam(_options: TrainOptions) -> Rule:
    def advance(shared: Numbers, n: dict[str, Tensor]) -> Numbers:
        after = _corrected(shared, n)
        power = 1 - n["correction2"]
        longest = 2 / (1 - n["beta2"]) - 1
        length = longest - 2 * n["count"] * power / n["correction2"]
        n["rectified"] = length > 5
        ratio = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
        scale = torch.sqrt(torch.clamp_min(ratio, 0)) * torch.sqrt(n["correction2"])
        scale = torch.where(n["rectified"], scale, torch.ones_like(scale))
        n["rate"] = n["learning_rate"] / n["correction1"] * scale
        return after

    def update(p: Tensor, g: Tensor, kept: Sequence[Tensor], n: Numbers) -> tuple[Tensor, Sequence[Tensor]]:
        g = _penalized(p, g, n)
        mean, square = _moments(g, kept[0], kept[1], n)
        divisor = torch.sqrt(square) + _of(p, n["epsilon"])
        divisor = torch.where(n["rectified"], divisor, torch.ones((), dtype=p.dtype))
        return p - _of(p, n["rate"]) * mean / divisor, [mean, square]

    return Rule(("exp_avg", "exp_avg_sq"), {"step": 0.0}, (*_COMMON, *_BETAS), advance, update)


def _lion(_options: TrainOptions) -> Rule:
    def update(p: Tensor, g: Tensor, kept: Sequence[Tensor], n: Numbers) -> tuple[Tensor, Sequence[Tensor]]:
        direction = _of(p, n["beta1"]) * kept[0] + _of(p, 1 - n["beta1"]) * g
        move = torch.sign(direction) + _of(p, n["weight_decay"]) * p
        mean = _of(p, n["beta2"]) * kept[0] + _of(p, 1 - n["beta2"]) * g
        return p - _of(p, n["learning_rate"]) * move, [mean]

    return Rule(("exp_avg",), {}, (*_COMMON, "beta1", "beta2"), _nothing, update)


def _lamb(_options: TrainOptions) -> Rule:
    def update(p: Tensor, g: Tensor, kept: Sequence[Tensor], n: Numbers) -> tuple[Tensor, Sequence[Tensor]]:
        mean = _of(p, n["beta1"]) * kept[0] + _of(p, 1 - n["beta1"]) * g
        square = _of(p, n["beta2"]) * kept[1] + _of(p, 1 - n["beta2"]) * (g * g)
        divisor = torch.sqrt(square / _of(p, n["correction2"])) + _of(p, n["epsilon"])
        move = mean / _of(p, n["correction1"]) / divisor + _of(p, n["weight_decay"]) * p
        weight, length = (torch.sqrt(total((each * each).flatten()).double()) for each in (p, move))
        one = torch.ones((), dtype=torch.float64)
        usual = (weight > 0) & (length > 0)
        trust = torch.where(usual, weight / torch.where(usual, length, one), one)
        return p - _of(p, n["learning_rate"] * trust) * move, [mean, square]

    return Rule(("exp_avg", "exp_avg_sq"), {"step": 0.0}, (*_COMMON, *_BETAS), _corrected, update)


_RULES: dict[str, Callable[[TrainOptions], Rule]] = {
    "adam": _adam,
    "adamw": _adam,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "nadam": _nadam,
    "radam": _radam,
    "lion": _lion,
    "lamb": _lamb,
}
