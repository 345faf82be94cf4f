"""The losses of training, for each row of a batch that counts, with the formulas of the training host."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from torch import Tensor

from ..._training.step_options import TrainOptions
from .axes import total

__all__ = ["CLASSIFICATION", "Judged", "judge", "target_of"]

CLASSIFICATION = ("cross_entropy", "cross_entropy_probabilities", "nll")
_LEAST_PROBABILITY = 1.17549435e-38  # as kLeastProbability of the training host


@dataclass(frozen=True)
class Judged:
    """The loss, a float64 scalar; and int64 counts: targets that count, hit, hit among the top k, and out of range."""

    loss: Tensor
    ranked: Tensor
    correct: Tensor
    in_top_k: Tensor
    beyond: Tensor


def target_of(options: TrainOptions, output: Tensor) -> tuple[torch.dtype, tuple[int, ...]]:
    """Type and shape of the targets for an output [n, ...]."""
    if options.loss in CLASSIFICATION:
        return torch.int64, (output.shape[0], *output.shape[2:])
    return output.dtype if output.dtype == torch.float64 else torch.float32, tuple(output.shape)


def judge(options: TrainOptions, output: Tensor, target: Tensor, rows: Tensor) -> Judged:
    """rows: [n], 1 for the rows of the batch that count and 0 for the others, whose gradients are zero."""
    if options.loss in CLASSIFICATION:
        return _classified(options, output, target, rows)
    each = _each(options, output, target)
    each = each.reshape(each.shape[0], -1)
    per_row = total(torch.where(rows.reshape(-1, 1) > 0, each, torch.zeros((), dtype=each.dtype)), [1])
    loss = total(per_row.double()) / (total(rows.double()) * each.shape[1])
    none = torch.zeros((), dtype=torch.int64)
    return Judged(loss, none, none, none, none)


def _each(options: TrainOptions, output: Tensor, target: Tensor) -> Tensor:
    """The loss of each element, or of each row."""
    if options.loss == "mse":
        return (output - target).square()
    if options.loss == "l1":
        return (output - target).abs()
    if options.loss == "huber":
        return F.huber_loss(output, target, reduction="none", delta=options.huber_delta)
    if options.loss == "bce_with_logits":
        return _entropy(output, target, options.pos_weight)
    if options.loss == "kl_div":
        return total(F.kl_div(output, target, reduction="none").flatten(1), [1])
    if options.loss == "cosine":
        tiny = 1e-12  # as torch's cosine_embedding_loss has it
        dot, first, second = (
            total(a * b, [1]) for a, b in ((output, target), (output, output), (target, target))
        )
        return 1 - dot / torch.sqrt((first + tiny) * (second + tiny))
    p = torch.sigmoid(output)
    right = p * target + (1 - p) * (1 - target)
    alpha = options.focal_alpha
    entropy = _entropy(output, target, None) * (1 - right) ** options.focal_gamma
    return entropy * (alpha * target + (1 - alpha) * (1 - target))


def _entropy(output: Tensor, target: Tensor, weight: tuple[float, ...] | None) -> Tensor:
    """Binary cross entropy of logits, of each element."""
    softplus = -F.logsigmoid(output)
    if weight is None:
        return (1 - target) * output + softplus
    positive = torch.tensor(weight, dtype=output.dtype)
    return (1 - target) * output + (1 + (positive - 1) * target) * softplus


def _classified(options: TrainOptions, output: Tensor, target: Tensor, rows: Tensor) -> Judged:
    classes = output.shape[1]
    zero = torch.zeros((), dtype=output.dtype)
    if options.loss == "cross_entropy":
        logarithms = F.log_softmax(output, 1)
    elif options.loss == "nll":
        logarithms = output
    else:
        logarithms = output.clamp_min(_LEAST_PROBABILITY).log()
    counts = (target != options.ignore_index) & (rows.reshape(-1, *[1] * (target.dim() - 1)) > 0)
    numbers = torch.arange(classes).reshape(1, -1, *[1] * (target.dim() - 1))
    hit = target.unsqueeze(1) == numbers
    chosen = hit & counts.unsqueeze(1)
    if options.class_weights is None:
        loss, weight = torch.where(chosen, logarithms, zero), counts.to(output.dtype)
    else:
        each = torch.tensor(options.class_weights, dtype=output.dtype).reshape(numbers.shape)
        loss, weight = (
            torch.where(chosen, logarithms * each, zero),
            total(torch.where(chosen, each, zero), [1]),
        )
    sums = -total(total(loss, [1]).double())
    weights = total(weight.double())
    smoothing = options.label_smoothing
    if smoothing:
        spread = logarithms if options.class_weights is None else logarithms * each
        smooth = -total(total(torch.where(counts.unsqueeze(1), spread, zero), [1]).double())
        sums = (1 - smoothing) * sums + smoothing / classes * smooth
    one = torch.ones((), dtype=torch.float64)
    nothing = weights == 0
    loss = torch.where(nothing, 0 * one, sums / torch.where(nothing, one, weights))
    return Judged(loss, *_ranks(options, output.detach(), target, hit, counts, classes))


def _ranks(
    options: TrainOptions, output: Tensor, target: Tensor, hit: Tensor, counts: Tensor, classes: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """How many targets count, rank first, and among the top k; equal values rank by class, and NaN last."""
    value = total(torch.where(hit, output, torch.zeros((), dtype=output.dtype)), [1]).unsqueeze(1)
    numbers = torch.arange(classes).reshape(1, -1, *[1] * (target.dim() - 1))
    before = (output > value) | ((output == value) & (numbers < target.unsqueeze(1)))
    rank = _count(before, [1])
    known = counts & (~torch.isnan(value)).squeeze(1)
    beyond = counts & ((target < 0) | (target >= classes))
    return (
        _count(counts),
        _count(known & (rank == 0)),
        _count(known & (rank < options.top_k)),
        _count(beyond),
    )


def _count(flags: Tensor, axes: list[int] | None = None) -> Tensor:
    chosen = list(range(flags.dim())) if axes is None else axes
    count: Tensor = torch.ops.aten.sum.dim_IntList(flags.to(torch.int64), chosen)
    return count
