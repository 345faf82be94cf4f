"""What RNN, GRU and LSTM share: activation functions, directions, and the walk over time.

A sequence is unrolled; the step is an argument of the cell's kernel, so that all steps share one kernel. Knows nothing
of the three cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tvm import relax, tirx

from ._nn import cast, wide
from ._registry import Node, literal
from .rearrange import reversed_sequences

Activation = partial[Any]  # of _activate

_MAX_STEPS = 2048
_JOINED_AT_ONCE = 32
# Activation function -> default alpha and beta; None where it takes none, NaN where the standard has no default.
_DEFAULTS: dict[str, tuple[float | None, float | None]] = {
    "Relu": (None, None),
    "Tanh": (None, None),
    "Sigmoid": (None, None),
    "Softsign": (None, None),
    "Softplus": (None, None),
    "Affine": (math.nan, math.nan),
    "LeakyRelu": (0.01, None),
    "ThresholdedRelu": (1.0, None),
    "ScaledTanh": (math.nan, math.nan),
    "HardSigmoid": (0.2, 0.5),
    "Elu": (1.0, None),
}


def _activate(x: Any, kind: str, alpha: float | None, beta: float | None, dtype: str) -> Any:
    zero, one = tirx.const(0, dtype), tirx.const(1, dtype)
    a, b = tirx.const(alpha or 0.0, dtype), tirx.const(beta or 0.0, dtype)
    functions: dict[str, Callable[[], Any]] = {
        "Relu": lambda: tirx.max(x, zero),
        "Tanh": lambda: tirx.tanh(x),
        "Sigmoid": lambda: tirx.sigmoid(x),
        "Softsign": lambda: x / (one + tirx.abs(x)),
        "Softplus": lambda: tirx.max(x, zero) + tirx.log(one + tirx.exp(-tirx.abs(x))),
        "Affine": lambda: a * x + b,
        "LeakyRelu": lambda: tirx.Select(x < zero, a * x, x),
        "ThresholdedRelu": lambda: tirx.Select(x > a, x, zero),
        "ScaledTanh": lambda: a * tirx.tanh(b * x),
        "HardSigmoid": lambda: tirx.max(zero, tirx.min(one, a * x + b)),
        "Elu": lambda: tirx.Select(x < zero, a * (tirx.exp(tirx.min(x, zero)) - one), x),
    }
    return functions[kind]()


def _activations(node: Node, default: Sequence[str], directions: int, dtype: str) -> list[list[Activation]]:
    """The activation functions of every direction; alphas and betas go to those that take them, in order."""
    names = list(node.attribute("activations", None) or list(default) * directions)
    if len(names) != len(default) * directions:
        node.refuse(f"{len(names)} activation functions are not {len(default)} for each direction")
    known = {name.lower(): name for name in _DEFAULTS}
    alphas = list(node.attribute("activation_alpha", None) or [])
    betas = list(node.attribute("activation_beta", None) or [])
    functions: list[Activation] = []
    for name in names:
        kind = known.get(name.lower())
        if kind is None:
            node.refuse(f"activation function '{name}' is unknown")
        alpha, beta = _DEFAULTS[kind]
        if alpha is not None and alphas:
            alpha = float(alphas.pop(0))
        if beta is not None and betas:
            beta = float(betas.pop(0))
        if any(value is not None and math.isnan(value) for value in (alpha, beta)):
            node.refuse(f"activation function '{name}' needs activation_alpha and activation_beta")
        functions.append(partial(_activate, kind=kind, alpha=alpha, beta=beta, dtype=dtype))
    count = len(default)
    return [functions[i * count : (i + 1) * count] for i in range(directions)]


@dataclass(frozen=True)
class Direction:
    """One direction of a layer: its sizes, its weights in the type it computes in, and its activation functions.

    `inputs` is [steps, batch, gates · hidden]: the weighted inputs of all steps, biases included, in the order in which
    the steps are walked. `recurrent` is [hidden, gates · hidden], `bias` the [gates · hidden] biases of the
    recurrence that are not in `inputs`.
    """

    node: Node
    steps: int
    batch: int
    hidden: int
    dtype: str
    inputs: Any
    recurrent: list[Any]
    bias: Any
    peephole: Any
    lengths: Any
    functions: list[Activation]
    clip: float | None

    def clipped(self, value: Any) -> Any:
        """A sum on its way into an activation function, held within the clipping threshold."""
        if self.clip is None:
            return value
        limit = tirx.const(self.clip, self.dtype)
        return tirx.max(-limit, tirx.min(limit, value))

    def kept(self, step: Any, place: tuple[Any, Any], new: Any, old: Any, lengths: Sequence[Any]) -> Any:
        """The new state while a sequence runs, the old one after its end."""
        if not lengths:
            return new
        return tirx.Select(step() < lengths[0][place[0]].astype("int32"), new, old[place])

    def is_plain(self, activations: Sequence[str]) -> bool:
        """Whether it has these activation functions, computes in float32, and nothing else that is optional."""
        extras = (self.peephole, self.lengths, self.clip)
        kinds = [function.keywords["kind"] for function in self.functions]
        return (
            kinds == list(activations) and self.dtype == "float32" and all(extra is None for extra in extras)
        )

    @property
    def optional(self) -> list[Any]:
        """The lengths as a list of kernel arguments: none or one."""
        return [] if self.lengths is None else [self.lengths]


Cell = Callable[[Direction, Any, list[Any]], list[Any]]


def recurrent_layer(
    node: Node,
    matrices: Sequence[int],
    activations: Sequence[str],
    states: Sequence[int],
    cell: Cell,
    separate_bias: bool = False,
) -> list[Any]:
    """Imports a recurrent layer.

    `matrices` tells how many gates each matrix of the recurrence serves. `states` are the inputs that hold the initial
    states, the hidden state first; `cell` maps a direction, the step and the states to the next states. With
    `separate_bias` the recurrence's bias is kept apart from the inputs'.
    """
    gates, batch_first = sum(matrices), bool(node.attribute("layout", 0))
    kind = node.attribute("direction", "forward")
    kinds = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    if kind not in kinds:
        node.refuse(f"direction '{kind}' is unknown")
    dtype = wide(node.dtype(0))
    data = cast(node.input(0), node.dtype(0), dtype)
    if batch_first:
        data = relax.op.permute_dims(data, [1, 0, 2])
    steps, batch = node.shape(0)[:2][::-1] if batch_first else node.shape(0)[:2]
    hidden = int(node.attribute("hidden_size", 0) or node.shape(2)[2])
    if steps > _MAX_STEPS or steps * batch == 0:
        node.refuse(f"sequences of {steps} steps are not supported; 1 to {_MAX_STEPS} are")
    if node.shape(1) != (len(kinds[kind]), gates * hidden, node.shape(0)[2]):
        node.refuse(f"weights of shape {node.shape(1)} do not fit an input of shape {node.shape(0)}")
    functions = _activations(node, activations, len(kinds[kind]), dtype)
    data, lengths, clip = node.emit(data), _lengths(node, steps), node.attribute("clip", None)
    outputs, finals = [], []
    for index, backward in enumerate(kinds[kind]):
        inputs, bias = _weighted_inputs(node, data, index, gates * hidden, separate_bias)
        if backward and lengths is not None:
            inputs = node.emit_te(reversed_sequences, inputs, lengths, 1, 0)
        direction = Direction(
            node, steps, batch, hidden, dtype, inputs,
            _matrices(node, index, matrices),
            bias, node.emit(_part(node, 7, index)) if node.has(7) else None, lengths, functions[index],
            None if clip is None else float(clip),
        )  # fmt: skip
        start = [_initial(node, i, index, batch_first, (batch, hidden)) for i in states]
        order = range(steps)[::-1] if backward and lengths is None else range(steps)
        sequence, final = _walk(direction, cell, order, start)
        if node.wanted(0):
            outputs.append(_sequence_output(direction, sequence, backward))
        finals.append(final)
    result = [None if not outputs else relax.op.concat(outputs, 1) if len(outputs) > 1 else outputs[0]]
    for state in zip(*finals, strict=True):
        stacked = [relax.op.reshape(value, [1, batch, hidden]) for value in state]
        result.append(relax.op.concat(stacked, 0) if len(stacked) > 1 else stacked[0])
    if batch_first:
        orders = [[2, 0, 1, 3]] + [[1, 0, 2]] * len(states)
        result = [
            None if value is None else relax.op.permute_dims(value, order)
            for value, order in zip(result, orders, strict=True)
        ]
    return [None if value is None else cast(value, dtype, node.dtype(0)) for value in result]


def _part(node: Node, index: int, direction: int) -> Any:
    """Input `index` of one direction, without the axis of directions, in the type to compute in."""
    value = cast(node.input(index), node.dtype(index), wide(node.dtype(0)))
    if node.shape(index)[0] > 1:
        value = relax.op.strided_slice(value, [0], [direction], [direction + 1])
    return relax.op.reshape(value, node.shape(index)[1:])


def _matrices(node: Node, direction: int, gates: Sequence[int]) -> list[Any]:
    """The recurrent weights of one direction, transposed, cut into matrices for so many gates each."""
    whole, size = _part(node, 2, direction), node.shape(2)[2]
    ends = [sum(gates[: i + 1]) * size for i in range(len(gates))]
    cuts = [relax.op.strided_slice(whole, [0], [a], [b]) for a, b in zip([0, *ends], ends, strict=False)]
    return [node.emit(relax.op.permute_dims(cut, [1, 0])) for cut in (cuts if len(gates) > 1 else [whole])]


def _lengths(node: Node, steps: int) -> Any | None:
    """The sequences' lengths, None when all run to the end."""
    constant = node.constant(4)
    if not node.has(4) or (constant is not None and bool((constant == steps).all())):
        return None
    return node.input(4)


def _initial(node: Node, index: int, direction: int, batch_first: bool, shape: tuple[int, int]) -> Any:
    dtype = wide(node.dtype(0))
    if not node.has(index):
        return literal(np.zeros(shape), dtype)
    value = cast(node.input(index), node.dtype(index), dtype)
    if batch_first:
        value = relax.op.permute_dims(value, [1, 0, 2])
    value = relax.op.strided_slice(value, [0], [direction], [direction + 1])
    return node.emit(relax.op.reshape(value, shape))


def _weighted_inputs(
    node: Node, data: Any, direction: int, width: int, separate_bias: bool
) -> tuple[Any, Any]:
    """All steps' inputs times the weights plus biases, and the recurrence's own bias if it is kept apart."""
    shape = node.shape(0)
    rows = relax.op.reshape(data, [shape[0] * shape[1], shape[2]])
    product = relax.op.matmul(rows, relax.op.permute_dims(_part(node, 1, direction), [1, 0]))
    bias = None
    if node.has(3):
        both = _part(node, 3, direction)
        first, bias = (relax.op.strided_slice(both, [0], [i * width], [(i + 1) * width]) for i in range(2))
        bias = node.emit(bias)
        product = relax.op.add(product, first if separate_bias else relax.op.add(first, bias))
    elif separate_bias:
        bias = literal(np.zeros(width), wide(node.dtype(0)))
    steps, batch = shape[:2][::-1] if node.attribute("layout", 0) else shape[:2]
    return node.emit(relax.op.reshape(product, [steps, batch, width])), bias


def _walk(
    direction: Direction, cell: Cell, order: Sequence[int], states: list[Any]
) -> tuple[list[Any], list[Any]]:
    """The hidden states [batch, hidden] by time, and the last states."""
    sequence: list[Any] = [None] * direction.steps
    for step in order:
        states = cell(direction, literal(step, "int32"), states)
        sequence[step] = states[0]
    return sequence, states


def _sequence_output(direction: Direction, sequence: list[Any], backward: bool) -> Any:
    """The hidden states of all steps, [steps, 1, batch, hidden]; zero after a sequence's end."""
    node = direction.node
    joined = list(sequence)
    while len(joined) > 1:
        # A kernel that joins all at once would test every element against every part.
        groups = [joined[i : i + _JOINED_AT_ONCE] for i in range(0, len(joined), _JOINED_AT_ONCE)]
        joined = [node.emit(relax.op.concat(group, 0)) if len(group) > 1 else group[0] for group in groups]
    shape = [direction.steps, direction.batch, direction.hidden]
    result = relax.op.reshape(joined[0], shape)
    if direction.lengths is not None:
        steps = literal(np.arange(direction.steps).reshape(-1, 1, 1), node.dtype(4))
        running = relax.op.less(steps, relax.op.reshape(direction.lengths, [1, -1, 1]))
        result = relax.op.where(running, result, literal(0, direction.dtype))
        if backward:
            result = node.emit_te(reversed_sequences, node.emit(result), direction.lengths, 1, 0)
    return relax.op.reshape(result, [direction.steps, 1, direction.batch, direction.hidden])
