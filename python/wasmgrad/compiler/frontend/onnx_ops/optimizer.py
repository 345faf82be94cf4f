"""Steps of optimizers, from ONNX's training operators: Adagrad, Adam, Momentum.

Their inputs are rate, step count, then all tensors, all gradients, and all tensors of each kind of state.
"""

from __future__ import annotations

from typing import Any

from tvm import relax

from ._nn import cast, scalar
from ._registry import Node, converter

_DOMAIN = "ai.onnx.preview.training"


class _Terms:
    """Short names for the arithmetic of one node; numbers take the type of its tensors."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.dtype = node.dtype(2)

    def number(self, name: str, default: float) -> Any:
        return scalar(float(self.node.attribute(name, default)), self.dtype)

    def rest(self, name: str, default: float) -> Any:
        """One minus an attribute."""
        return scalar(1 - float(self.node.attribute(name, default)), self.dtype)

    def input(self, index: int) -> Any:
        return cast(self.node.input(index), self.node.dtype(index), self.dtype)

    def groups(self, states: int) -> list[list[Any]]:
        """Tensor, gradient and states of every tensor to be updated; the gradient includes the regularization."""
        kinds = 2 + states
        count = (len(self.node.values) - 2) // kinds
        groups = [[self.input(2 + kind * count + i) for kind in range(kinds)] for i in range(count)]
        for group in groups:
            decay = relax.op.multiply(self.number("norm_coefficient", 0.0), group[0])
            group[1] = self.node.emit(relax.op.add(decay, group[1]))
        return groups


def _by_kind(results: list[list[Any]]) -> list[Any]:
    """All new tensors, then all new states of each kind."""
    return [value for kind in zip(*results, strict=True) for value in kind]


@converter("Adagrad", domain=_DOMAIN)
def adagrad(node: Node) -> Any:
    """Steps that shrink with the sum of all squared gradients."""
    terms = _Terms(node)
    slowed = relax.op.multiply(terms.input(1), terms.number("decay_factor", 0.0))
    rate = node.emit(relax.op.divide(terms.input(0), relax.op.add(scalar(1, terms.dtype), slowed)))
    results = []
    for tensor, gradient, squares in terms.groups(1):
        total = node.emit(relax.op.add(squares, relax.op.square(gradient)))
        root = relax.op.add(relax.op.sqrt(total), terms.number("epsilon", 1e-6))
        step = relax.op.divide(relax.op.multiply(rate, gradient), root)
        results.append([relax.op.subtract(tensor, step), total])
    return _by_kind(results)


@converter("Adam", domain=_DOMAIN)
def adam(node: Node) -> Any:
    """Steps along a running mean of the gradients, divided by the root of that of their squares."""
    terms = _Terms(node)
    one, zero, count = scalar(1, terms.dtype), scalar(0, terms.dtype), terms.input(1)
    alpha, beta = terms.number("alpha", 0.9), terms.number("beta", 0.999)
    unbiased = relax.op.divide(
        relax.op.sqrt(relax.op.subtract(one, relax.op.power(beta, count))),
        relax.op.subtract(one, relax.op.power(alpha, count)),
    )
    factor = relax.op.where(relax.op.greater(count, zero), unbiased, one)
    rate = node.emit(relax.op.multiply(terms.input(0), factor))
    results = []
    for tensor, gradient, mean, squares in terms.groups(2):
        mean_part = relax.op.multiply(terms.rest("alpha", 0.9), gradient)
        new_mean = node.emit(relax.op.add(relax.op.multiply(alpha, mean), mean_part))
        square_part = relax.op.multiply(terms.rest("beta", 0.999), relax.op.square(gradient))
        new_squares = node.emit(relax.op.add(relax.op.multiply(beta, squares), square_part))
        root = relax.op.add(relax.op.sqrt(new_squares), terms.number("epsilon", 1e-6))
        step = relax.op.multiply(rate, relax.op.divide(new_mean, root))
        kept = terms.rest("norm_coefficient_post", 0.0)
        results.append([relax.op.multiply(kept, relax.op.subtract(tensor, step)), new_mean, new_squares])
    return _by_kind(results)


@converter("Momentum", domain=_DOMAIN)
def momentum(node: Node) -> Any:
    """Steps along a decaying sum of gradients; Nesterov's form looks one step ahead."""
    terms, mode = _Terms(node), node.attribute("mode", "standard")
    if mode not in {"standard", "nesterov"}:
        node.refuse(f"mode '{mode}' is unknown")
    rate, alpha = terms.input(0), terms.number("alpha", 0.9)
    started = relax.op.greater(terms.input(1), scalar(0, terms.dtype))
    share = node.emit(relax.op.where(started, terms.number("beta", 1.0), scalar(1, terms.dtype)))
    results = []
    for tensor, gradient, sums in terms.groups(1):
        new = node.emit(relax.op.add(relax.op.multiply(alpha, sums), relax.op.multiply(share, gradient)))
        direction = new if mode == "standard" else relax.op.add(gradient, relax.op.multiply(alpha, new))
        results.append([relax.op.subtract(tensor, relax.op.multiply(rate, direction)), new])
    return _by_kind(results)
