"""Losses: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss."""

from __future__ import annotations

from typing import Any

from tvm import relax, te, tirx

from ._nn import cast, wide, widened
from ._registry import Node, converter
from .activation import log_softmax_of


@converter("NegativeLogLikelihoodLoss", since=12)
def negative_log_likelihood_loss(node: Node) -> Any:
    """The negated, weighted log-probability of every target class; one, summed up or averaged."""
    return _loss(node, widened(node, 0))


@converter("SoftmaxCrossEntropyLoss", since=12)
def softmax_cross_entropy_loss(node: Node) -> Any:
    """The negative log-likelihood of softmax; also gives the log-probabilities."""
    dtype = node.dtype(0)
    scores = node.emit(log_softmax_of(node, widened(node, 0), 1))
    return [_loss(node, scores), cast(scores, wide(dtype), dtype)]


def _loss(node: Node, scores: Any) -> Any:
    """The loss for log-probabilities [n, classes, ...] in the type to compute in, and input 1, the targets [n, ...]."""
    dtype, classes = node.dtype(0), node.shape(0)[1]
    work, reduction = wide(dtype), node.attribute("reduction", "mean")
    ignored = node.attribute("ignore_index", None)
    if reduction not in {"none", "sum", "mean"}:
        node.refuse(f"reduction '{reduction}' is unknown")

    def weight_of(target: Any, weights: tuple[Any, ...]) -> Any:
        value = weights[0][_held(target, classes)] if weights else tirx.const(1, work)
        if ignored is None:
            return value
        return tirx.Select(target == tirx.const(int(ignored), "int64"), tirx.const(0, work), value)

    def compute(scores: Any, targets: Any, *weights: Any) -> Any:
        def loss(n: Any, *place: Any) -> Any:
            target = targets[(n, *place)].astype("int64")
            return -scores[(n, _held(target, classes), *place)] * weight_of(target, weights)

        def weight(*place: Any) -> Any:
            return weight_of(targets[place].astype("int64"), weights)

        losses = te.compute(targets.shape, loss, name="losses")
        return [losses, te.compute(targets.shape, weight, name="loss_weights")]

    arguments = [scores, node.input(1)]
    if node.has(2):
        arguments.append(node.emit(cast(node.input(2), node.dtype(2), work)))
    pair = node.emit_te(compute, *arguments)
    losses = node.emit(pair[0])
    if reduction == "none":
        return cast(losses, work, dtype)
    total = relax.op.sum(losses)
    if reduction == "mean":
        total = relax.op.divide(total, relax.op.sum(pair[1]))
    return cast(total, work, dtype)


def _held(target: Any, classes: int) -> Any:
    """A target within the classes: an ignored one may be any number, and must not be read outside of the scores."""
    return tirx.max(tirx.min(target, tirx.const(classes - 1, "int64")), tirx.const(0, "int64"))
