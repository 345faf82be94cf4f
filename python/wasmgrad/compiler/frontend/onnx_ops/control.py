"""Branches and loops, resolved while importing: trip counts must be known, bodies are unrolled.

Of a condition that is known at run time only, both branches are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from tvm import relax

from ...._errors import Unsupported
from ..._foreign import described
from ._registry import Node, Stored, TensorList, Value, converter, literal, only_stored, shape_of
from .shape import joined, part

_MAX_ITERATIONS = 4096  # a body is imported once for every iteration


@converter("If", fold=False)
def choose(node: Node) -> Any:
    """The branch that a constant condition picks; else both, and what the condition selects of their results.

    Operators have no side effects, and kernels are defined for every operand (an index outside is held inside, an
    integer divided by 0 is 0), so that the branch not taken may compute with whatever it is given.
    """
    condition = node.constant(0)
    if condition is not None:
        branch = "then_branch" if bool(condition.reshape(-1)[0]) else "else_branch"
        return node.graphs.import_subgraph(node.attribute(branch), [])
    taken, other = (_branch(node, name) for name in ("then_branch", "else_branch"))
    flag = node.emit(relax.op.reshape(node.input(0), []))
    return [_selected(node, flag, *pair) for pair in zip(taken, other, strict=True)]


def _branch(node: Node, name: str) -> list[Value]:
    try:
        return node.graphs.import_subgraph(node.attribute(name), [])
    except Unsupported as error:
        raise Unsupported(
            f"{error.message} (in the {name} of node {node.name!r}, which may be taken; {_advice(node)})"
        ) from error


def _selected(node: Node, flag: Any, yes: Value, no: Value) -> Any:
    if isinstance(yes, Stored) and isinstance(no, Stored) and yes.dtype == no.dtype:
        return Stored(yes.dtype, _selected(node, flag, yes.carrier, no.carrier))
    if isinstance(yes, np.ndarray) and isinstance(no, np.ndarray) and _same(yes, no):
        return yes
    types = []
    for value in (yes, no):
        if not isinstance(value, (np.ndarray, relax.Var, Stored)):
            node.refuse(f"its branches make sequences or optionals; {_advice(node)}")
        types.append(_type_of(value))
    if types[0] != types[1]:
        node.refuse(f"its branches give {types[0]} and {types[1]}; {_advice(node)}")
    yes, no = (node.emit(literal(value)) if isinstance(value, np.ndarray) else value for value in (yes, no))
    return node.emit(relax.op.where(flag, yes, no))


def _same(a: Any, b: Any) -> bool:
    return bool(a.dtype == b.dtype and np.array_equal(a, b))


def _type_of(value: Value) -> str:
    dtype, held = (value.dtype, value.carrier) if isinstance(value, Stored) else ("", value)
    if isinstance(held, np.ndarray):
        return described(dtype or str(held.dtype), held.shape)
    return described(dtype or str(held.ty.dtype), shape_of(held))


def _advice(node: Node) -> str:
    """What makes a condition known while compiling: values for the inputs that it depends on, if they are numbers."""
    builder, waiting, seen = node.graphs.builder, [node.input(0)], set()
    while waiting:
        variable = waiting.pop()
        if variable in seen:
            continue
        seen.add(variable)
        value = builder.lookup_binding(variable)
        if value is not None:
            waiting.extend(relax.analysis.free_vars(value))
    inputs = [variable for variable in seen if builder.lookup_binding(variable) is None]
    names = sorted(variable.name for variable in inputs if prod(shape_of(variable)) == 1)
    if not names or len(names) < len(inputs):
        return "the condition must be a constant of the model"
    given = " ".join(f"--constant {name}=VALUE" for name in names)
    return f"{given} makes the condition known, and only the branch that it chooses is compiled"


@converter("Loop", fold=False)
def loop(node: Node) -> Any:
    """A body that runs a known number of times. Its condition must stay known."""
    body = node.attribute("body")
    limit, going = None, True
    if node.has(0):
        limit = int(node.require_constant(0, "the trip count").reshape(-1)[0])
    if node.has(1):
        going = bool(node.require_constant(1, "the condition").reshape(-1)[0])
    carried = node.values[2:]
    collected: list[list[Value]] = []
    iteration = 0
    while going and (limit is None or iteration < limit):
        if iteration == _MAX_ITERATIONS:
            node.refuse(f"loops of more than {_MAX_ITERATIONS} iterations are not supported")
        results = node.graphs.import_subgraph(body, [np.array(iteration, np.int64), np.array(True), *carried])
        condition = results[0]
        if not isinstance(condition, np.ndarray):
            node.refuse(
                "the condition of its body must be a constant of the model, not computed while it runs"
            )
        going = bool(condition.reshape(-1)[0])
        carried = results[1 : 1 + len(carried)]
        collected.append(results[1 + len(carried) :])
        iteration += 1
    if not collected and len(body.output) > 1 + len(carried):
        node.refuse("it collects outputs but never runs")
    return [*carried, *(stacked(node, column, 0) for column in zip(*collected, strict=True))]


def stacked(node: Node, values: Sequence[Value], axis: int) -> Value:
    """Tensors of one shape as slices along a new axis."""
    if all(isinstance(value, np.ndarray) for value in values):
        return np.stack(values, axis)
    if any(isinstance(value, TensorList) for value in values):
        node.refuse("sequences cannot be collected to a tensor")
    if any(isinstance(value, Stored) for value in values):
        node.refuse(f"{only_stored(values[0].dtype)}; Cast them in the body")
    expressions = [literal(value) if isinstance(value, np.ndarray) else value for value in values]
    return joined(node, [node.emit(relax.op.expand_dims(value, axis)) for value in expressions], axis)


@converter("Scan", since=9, fold=False)
def scan(node: Node) -> Any:
    """A body that runs once for every slice of its scanned inputs."""
    count = int(node.attribute("num_scan_inputs"))
    states = node.values[: len(node.values) - count]
    inputs = range(len(node.values) - count, len(node.values))
    axes = node.attribute("scan_input_axes", None) or [0] * count
    axes = [node.normalize_axis(axis, node.rank(i)) for axis, i in zip(axes, inputs, strict=True)]
    backward = node.attribute("scan_input_directions", None) or [0] * count
    lengths = {node.shape(i)[axis] for i, axis in zip(inputs, axes, strict=True)}
    if len(lengths) != 1:
        node.refuse(f"its scanned inputs have lengths {sorted(lengths)}")
    length = lengths.pop()
    if not 0 < length <= _MAX_ITERATIONS:
        node.refuse(f"scans of {length} slices are not supported; 1 to {_MAX_ITERATIONS} are")
    collected: list[list[Value]] = []
    for step in range(length):
        slices = [
            _slice(node, i, axis, length - 1 - step if reverse else step)
            for i, axis, reverse in zip(inputs, axes, backward, strict=True)
        ]
        results = node.graphs.import_subgraph(node.attribute("body"), [*states, *slices])
        states = results[: len(states)]
        collected.append(results[len(states) :])
    return [*states, *_scanned(node, collected)]


def _scanned(node: Node, collected: list[list[Value]]) -> list[Value]:
    columns = list(zip(*collected, strict=True))
    axes = node.attribute("scan_output_axes", None) or [0] * len(columns)
    backward = node.attribute("scan_output_directions", None) or [0] * len(columns)
    outputs = []
    for column, axis, reverse in zip(columns, axes, backward, strict=True):
        first = column[0]
        rank = first.ndim if isinstance(first, np.ndarray) else len(first.ty.shape.values)
        place = node.normalize_axis(axis, rank + 1)
        outputs.append(stacked(node, column[::-1] if reverse else column, place))
    return outputs


def _slice(node: Node, i: int, axis: int, step: int) -> Value:
    constant = node.constant(i)
    if constant is not None:
        return np.take(constant, step, axis)
    shape = node.shape(i)
    piece = part(node, node.input(i), shape, axis, step, 1)
    return node.emit(relax.op.reshape(piece, [extent for d, extent in enumerate(shape) if d != axis]))


@converter("Scan", since=8, fold=False)
def batched_scan(node: Node) -> Any:
    """The first version of Scan, with a batch axis before everything; sequence lengths are not supported."""
    if node.has(0):
        node.refuse("sequence lengths are not supported")
    batch = node.shape(1)[0]
    count = int(node.attribute("num_scan_inputs"))
    backward = node.attribute("directions", None) or [0] * count
    values = list(range(1, len(node.values)))
    states_count = len(values) - count
    outputs: list[list[Value]] = []
    for b in range(batch):
        rows = [_slice(node, i, 0, b) for i in values]
        states, scanned = rows[:states_count], rows[states_count:]
        length = node.shape(values[states_count])[1]
        collected = []
        for step in range(length):
            slices = [
                _row(node, value, length - 1 - step if reverse else step)
                for value, reverse in zip(scanned, backward, strict=True)
            ]
            results = node.graphs.import_subgraph(node.attribute("body"), [*states, *slices])
            states = results[:states_count]
            collected.append(results[states_count:])
        outputs.append([*states, *(stacked(node, column, 0) for column in zip(*collected, strict=True))])
    return [stacked(node, column, 0) for column in zip(*outputs, strict=True)]


def _row(node: Node, value: Value, step: int) -> Value:
    if isinstance(value, np.ndarray):
        return value[step]
    shape = tuple(int(extent) for extent in value.ty.shape.values)
    return node.emit(relax.op.reshape(part(node, value, shape, 0, step, 1), shape[1:]))
