"""Recurrent layers: RNN, GRU and LSTM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax, te, tirx

from ..._relax import RECURRENT_STEP
from ._registry import Node, converter
from ._unroll import Direction, recurrent_layer

_GRU_FUNCTIONS = ["Sigmoid", "Tanh"]


def _kernel(name: str, plain: bool) -> dict[str, str] | None:
    """The attribute that names the kernel which computes the same, where the layer has nothing that it lacks."""
    return {RECURRENT_STEP: name} if plain else None


@converter("RNN", since=7)
def rnn(node: Node) -> Any:
    """Hₜ = f(Xₜ·W + Hₜ₋₁·R + b)."""
    return recurrent_layer(node, [1], ["Tanh"], [5], _rnn_cell)


def _rnn_cell(layer: Direction, step: Any, states: list[Any]) -> list[Any]:
    def compute(inputs: Any, step: Any, product: Any, old: Any, *lengths: Any) -> Any:
        def element(b: Any, j: Any) -> Any:
            new = layer.functions[0](layer.clipped(inputs[step(), b, j] + product[b, j]))
            return layer.kept(step, (b, j), new, old, lengths)

        return te.compute((layer.batch, layer.hidden), element, name="rnn_cell")

    product = layer.node.emit(relax.op.matmul(states[0], layer.recurrent[0]))
    return [layer.node.emit_te(compute, layer.inputs, step, product, states[0], *layer.optional)]


@converter("LSTM", since=7)
def lstm(node: Node) -> Any:
    """Long short-term memory; gates in the order input, output, forget, cell."""
    return lstm_layer(node, lambda hidden: hidden)


def lstm_layer(node: Node, seen: Callable[[Any], Any]) -> Any:
    """An LSTM whose weights of the recurrence are multiplied with what `seen` makes of the hidden state."""
    couple = bool(node.attribute("input_forget", 0))

    def cell(layer: Direction, step: Any, states: list[Any]) -> list[Any]:
        product = node.emit(relax.op.matmul(seen(states[0]), layer.recurrent[0]))
        return _lstm_cell(layer, step, states, product, couple)

    return recurrent_layer(node, [4], ["Sigmoid", "Tanh", "Tanh"], [5, 6], cell)


def _lstm_cell(layer: Direction, step: Any, states: list[Any], product: Any, couple: bool) -> list[Any]:
    size, (gate, squash, out) = layer.hidden, layer.functions
    peephole = [] if layer.peephole is None else [layer.peephole]

    def compute(inputs: Any, step: Any, product: Any, hidden: Any, memory: Any, *rest: Any) -> Any:
        weights, lengths = rest[: len(peephole)], rest[len(peephole) :]

        def total(b: Any, j: Any, number: int, seen: Any = None, weight: int = 0) -> Any:
            value = inputs[step(), b, number * size + j] + product[b, number * size + j]
            if weights and seen is not None:
                value += weights[0][weight * size + j] * seen[b, j]
            return layer.clipped(value)

        def new_memory(b: Any, j: Any) -> Any:
            open_ = gate(total(b, j, 0, memory, 0))
            keep = tirx.const(1, layer.dtype) - open_ if couple else gate(total(b, j, 2, memory, 2))
            new = keep * memory[b, j] + open_ * squash(total(b, j, 3))
            return layer.kept(step, (b, j), new, memory, lengths)

        next_memory = te.compute((layer.batch, size), new_memory, name="lstm_memory")

        def new_hidden(b: Any, j: Any) -> Any:
            new = gate(total(b, j, 1, next_memory, 1)) * out(next_memory[b, j])
            return layer.kept(step, (b, j), new, hidden, lengths)

        return [te.compute((layer.batch, size), new_hidden, name="lstm_hidden"), next_memory]

    arguments = [layer.inputs, step, product, *states, *peephole, *layer.optional]
    plain = layer.is_plain(["Sigmoid", "Tanh", "Tanh"]) and not couple
    pair = layer.node.emit_te(compute, *arguments, primfunc_attrs=_kernel("lstm", plain))
    return [layer.node.emit(pair[0]), layer.node.emit(pair[1])]


@converter("GRU", since=7)
def gru(node: Node) -> Any:
    """Gated recurrent unit; gates in the order update, reset, hidden."""
    reset_after = bool(node.attribute("linear_before_reset", 0))
    if reset_after:
        return recurrent_layer(node, [3], _GRU_FUNCTIONS, [5], _gru_cell_reset_after, separate_bias=True)
    return recurrent_layer(node, [2, 1], _GRU_FUNCTIONS, [5], _gru_cell)


def _gru_cell(layer: Direction, step: Any, states: list[Any]) -> list[Any]:
    """The reset gate acts on the state before it is multiplied with the weights."""
    node, size, (gate, squash) = layer.node, layer.hidden, layer.functions

    def reset(inputs: Any, step: Any, product: Any, old: Any) -> Any:
        def element(b: Any, j: Any) -> Any:
            return old[b, j] * gate(layer.clipped(inputs[step(), b, size + j] + product[b, size + j]))

        return te.compute((layer.batch, size), element, name="gru_reset")

    def update(inputs: Any, step: Any, product: Any, candidate: Any, old: Any, *lengths: Any) -> Any:
        def element(b: Any, j: Any) -> Any:
            z = gate(layer.clipped(inputs[step(), b, j] + product[b, j]))
            new = squash(layer.clipped(inputs[step(), b, 2 * size + j] + candidate[b, j]))
            mixed = (tirx.const(1, layer.dtype) - z) * new + z * old[b, j]
            return layer.kept(step, (b, j), mixed, old, lengths)

        return te.compute((layer.batch, size), element, name="gru_cell")

    gates, inner = layer.recurrent
    plain = layer.is_plain(_GRU_FUNCTIONS)
    product = node.emit(relax.op.matmul(states[0], gates))
    seen = node.emit_te(
        reset, layer.inputs, step, product, states[0], primfunc_attrs=_kernel("gru_reset", plain)
    )
    arguments = [layer.inputs, step, product, node.emit(relax.op.matmul(seen, inner)), states[0]]
    return [node.emit_te(update, *arguments, *layer.optional, primfunc_attrs=_kernel("gru_update", plain))]


def _gru_cell_reset_after(layer: Direction, step: Any, states: list[Any]) -> list[Any]:
    """The reset gate acts on the state after it was multiplied with the weights."""
    node, size, (gate, squash) = layer.node, layer.hidden, layer.functions

    def compute(inputs: Any, step: Any, product: Any, bias: Any, old: Any, *lengths: Any) -> Any:
        def recurrence(b: Any, column: Any) -> Any:
            return product[b, column] + bias[column]

        def element(b: Any, j: Any) -> Any:
            z = gate(layer.clipped(inputs[step(), b, j] + recurrence(b, j)))
            r = gate(layer.clipped(inputs[step(), b, size + j] + recurrence(b, size + j)))
            inner = inputs[step(), b, 2 * size + j] + r * recurrence(b, 2 * size + j)
            new = (tirx.const(1, layer.dtype) - z) * squash(layer.clipped(inner)) + z * old[b, j]
            return layer.kept(step, (b, j), new, old, lengths)

        return te.compute((layer.batch, size), element, name="gru_cell")

    product = node.emit(relax.op.matmul(states[0], layer.recurrent[0]))
    arguments = [layer.inputs, step, product, layer.bias, states[0], *layer.optional]
    return [node.emit_te(compute, *arguments, primfunc_attrs=_kernel("gru", layer.is_plain(_GRU_FUNCTIONS)))]
