"""Draws ONNX graphs that keep state from a seed: updates in place and not, states that depend on each other.

All numbers are small whole ones, so that every order of additions gives the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
SHAPES = [(1, 2, 8, 4), (2, 3, 5), (6,), (3, 7), ()]
DTYPES = ["float32", "float32", "float32", "float16", "int32", "int64"]


@dataclass
class Drawn:
    """A graph that grows. `types`: shape and dtype of each value by name."""

    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    types: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    """Inputs that are positions, and how many there are."""

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def choice(self, options: Any) -> Any:
        return options[int(self.random.integers(len(options)))]

    def input(self, name: str, shape: tuple[int, ...], dtype: str) -> str:
        self.inputs.append(name)
        self.types[name] = (shape, dtype)
        return name

    def constant(self, array: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        self.types[name] = (array.shape, str(array.dtype))
        return name

    def add(self, operator: str, inputs: list[str], like: str, **attributes: Any) -> str:
        name = f"y{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"n{name}", **attributes))
        self.types[name] = self.types[like]
        return name

    def fresh(self, like: str) -> str:
        shape, dtype = self.types[like]
        return self.input(f"x{len(self.inputs)}", shape, dtype)

    def same(self, like: str) -> str:
        """A value of that type: a state, a result or an input."""
        fitting = [
            name for name, kind in self.types.items() if kind == self.types[like] and name not in self.places
        ]
        return self.choice(fitting)

    def position(self, count: int) -> str:
        name = self.input(f"p{len(self.inputs)}", (1,), "int64")
        self.places[name] = count
        return name

    def values(self) -> dict[str, Array]:
        """The inputs of one step that are no states."""
        made = {}
        for name in self.inputs:
            shape, dtype = self.types[name]
            if name in self.places:
                made[name] = self.random.integers(0, self.places[name], shape)
            elif name not in self.states:
                made[name] = self.random.integers(-3, 4, shape).astype(dtype)
        return made

    def small(self, name: str) -> str:
        """The value between -8 and 8."""
        dtype = self.types[name][1]
        low, high = (self.constant(np.asarray(limit, dtype)) for limit in (-8, 8))
        return self.add("Min", [self.add("Max", [name, low], name), high], name)


def _elementwise(g: Drawn, state: str) -> str:
    other = g.same(state) if g.chance(0.7) else g.fresh(state)
    result = g.add(g.choice(["Add", "Sub", "Mul"]), g.choice([[state, other], [other, state]]), state)
    if g.chance(0.3):
        result = g.add("Neg", [result], state)
    return g.small(result)


def _where(g: Drawn, state: str) -> str:
    condition = g.add("Greater", [g.fresh(state), g.same(state)], state)
    return g.add("Where", [condition, g.choice([g.same(state), g.fresh(state)]), state], state)


def _scatter_elements(g: Drawn, state: str) -> str:
    shape, dtype = g.types[state]
    if not shape:
        return _elementwise(g, state)
    axis = int(g.random.integers(len(shape)))
    chosen = tuple(1 if i == axis else extent for i, extent in enumerate(shape))
    place = g.position(shape[axis])
    sizes = g.constant(np.array(chosen, np.int64))
    places = g.add("Expand", [place, sizes], place)
    update = g.input(f"x{len(g.inputs)}", chosen, dtype)
    return g.add("ScatterElements", [state, places, update], state, axis=axis)


def _scatter_nd(g: Drawn, state: str) -> str:
    shape, dtype = g.types[state]
    if not shape:
        return _elementwise(g, state)
    place = g.add("Reshape", [g.position(shape[0]), g.constant(np.array([1, 1], np.int64))], state)
    update = g.input(f"x{len(g.inputs)}", (1, *shape[1:]), dtype)
    reduction = {"reduction": "add"} if g.chance(0.3) and dtype == "float32" else {}
    result = g.add("ScatterND", [state, place, update], state, **reduction)
    return g.small(result) if reduction else result


def _tensor_scatter(g: Drawn, state: str) -> str:
    shape, dtype = g.types[state]
    if len(shape) < 3:
        return _scatter_nd(g, state)
    update = g.input(f"x{len(g.inputs)}", (*shape[:-2], 1, shape[-1]), dtype)
    place = g.position(shape[-2])
    sizes = g.constant(np.array([shape[0]], np.int64))
    return g.add("TensorScatter", [state, update, g.add("Expand", [place, sizes], place)], state, axis=-2)


def _shift(g: Drawn, state: str) -> str:
    """The newest at the end, the oldest gone."""
    shape, dtype = g.types[state]
    if not shape:
        return _elementwise(g, state)
    begin, end, axis = (g.constant(np.array([value], np.int64)) for value in (1, shape[0], 0))
    rest = g.add("Slice", [state, begin, end, axis], state)
    new = g.input(f"x{len(g.inputs)}", (1, *shape[1:]), dtype)
    return g.add("Concat", [rest, new], state, axis=0)


def _sums(g: Drawn, state: str) -> str:
    """Each element from several of the old ones."""
    shape, dtype = g.types[state]
    if not shape or dtype != "float32":
        return _elementwise(g, state)
    total = g.add("ReduceSum", [state, g.constant(np.array([len(shape) - 1], np.int64))], state, keepdims=1)
    return g.small(g.add("Add", [total, state], state))


def _reversed(g: Drawn, state: str) -> str:
    shape, _ = g.types[state]
    if not shape:
        return _elementwise(g, state)
    names = [g.constant(np.array([value], np.int64)) for value in (-1, -1000, 0, -1)]
    return g.add("Slice", [state, *names], state)


def _moved(g: Drawn, state: str) -> str:
    """The old value of a state, a result, an input, or itself."""
    return g.same(state)


def _fixed(g: Drawn, state: str) -> str:
    shape, dtype = g.types[state]
    return g.constant(g.random.integers(-3, 4, shape).astype(dtype))


UPDATES = [
    _elementwise,
    _where,
    _scatter_elements,
    _scatter_nd,
    _tensor_scatter,
    _shift,
    _sums,
    _reversed,
    _moved,
]
UPDATES += [_elementwise, _moved, _scatter_nd, _tensor_scatter, _fixed]


def drawn(seed: int) -> Drawn:
    """The graph of that seed, without outputs."""
    g = Drawn(np.random.default_rng(seed))
    kinds = [(g.choice(SHAPES), g.choice(DTYPES)) for _ in range(2)]
    names = [g.input(f"s{i}", *g.choice(kinds)) for i in range(int(g.random.integers(1, 5)))]
    for name in names:
        after = g.choice(UPDATES)(g, name)
        if g.chance(0.15):
            others = [each for each in g.states.values() if g.types[each] == g.types[name]]
            after = g.choice(others) if others else after
        g.states[name] = after
    return g


def model_of(g: Drawn) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The model, and its states with the outputs that they become. Other outputs are of old and of new values."""
    outputs: list[tuple[str, str]] = []
    nodes = list(g.nodes)
    states = {}
    for name, after in g.states.items():
        known = next((output for output, value in outputs if value == after), None)
        if known is None or g.chance(0.5):
            known = f"out_{name}"
            nodes.append(helper.make_node("Identity", [after], [known]))
            outputs.append((known, after))
        states[name] = known
    for i, value in enumerate([*g.states, *g.states.values()]):
        if g.chance(0.5):
            operator = "Identity" if g.chance(0.4) else "Neg"
            nodes.insert(
                len(nodes) if g.chance(0.5) else _first_place(nodes, value),
                helper.make_node(operator, [value], [f"seen{i}"]),
            )
            outputs.append((f"seen{i}", value))
    infos = [_info(name, *g.types[name]) for name in g.inputs]
    graph = helper.make_graph(
        nodes,
        "stateful",
        infos,
        [_info(name, *g.types[value]) for name, value in outputs],
        [numpy_helper.from_array(array, name) for name, array in g.constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=10), states


def _first_place(nodes: list[onnx.NodeProto], value: str) -> int:
    """Behind the node that makes the value."""
    return next((i + 1 for i, node in enumerate(nodes) if value in node.output), 0)


def _info(name: str, shape: tuple[int, ...], dtype: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def elements(g: Drawn) -> int:
    """Of all states."""
    return sum(math.prod(g.types[name][0]) for name in g.states)
