"""Draws ONNX graphs from a seed: operators, types, ranks, ragged and empty shapes, broadcasts, views, several readers.

Every value is known by what can be said of it without computing it: how large it may be, whether it may hold NaN or
infinities, and whether it is `rough`, so that two right programs may round it differently. `random_nodes` draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
BF16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = {name: np.dtype(name) for name in ("float32", "float16", "int8", "uint8", "int32", "int64", "bool")}
DTYPES["bfloat16"] = BF16
LARGEST = {"float32": 3.4e38, "float16": 65504.0, "bfloat16": 3.38e38}
SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5]
SMALL = {"float32": [1e-40, -1e-45], "float16": [3e-6, -6e-8], "bfloat16": [1e-39, -1e-40]}  # denormal
ORDINARY = 4.0
"""How large ordinary numbers are at most."""
ELEMENTS = 3000
TAME = ("plain", "positive")


@dataclass(frozen=True)
class Value:
    """A tensor of the graph. `special`: it may hold NaN or infinities. `bound`: of its finite numbers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bound: float
    special: bool = False
    rough: bool = False
    fresh: bool = False  # an input or a constant

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def floats(self) -> bool:
        return self.dtype in LARGEST

    @property
    def integers(self) -> bool:
        return self.dtype.lstrip("u").startswith("int")


@dataclass
class Graph:
    """A graph that grows node by node. `palette`: which numbers its inputs hold."""

    random: np.random.Generator
    palette: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    feeds: dict[str, Array] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def choice(self, options: Sequence[Any]) -> Any:
        return options[int(self.random.integers(len(options)))]

    def shape(self, rank: int | None = None) -> tuple[int, ...]:
        rank = int(self.random.integers(0, 6)) if rank is None else rank
        while True:
            shape = tuple(int(self.random.choice([1, 1, 2, 3, 4, 5, 7, 8, 17, 33])) for _ in range(rank))
            if math.prod(shape) <= ELEMENTS:
                break
        if rank and self.chance(0.04):
            place = int(self.random.integers(rank))
            shape = (*shape[:place], 0, *shape[place + 1 :])
        return shape

    def numbers(self, dtype: str, shape: tuple[int, ...], palette: str) -> Array:
        if dtype == "bool":
            return np.asarray(self.random.integers(0, 2, shape).astype(bool))
        if dtype not in LARGEST:
            limits = np.iinfo(dtype)
            numbers = self.random.integers(max(limits.min, -9), 10, shape, np.int64).astype(dtype)
            places = self.random.random(shape) < (0.0 if palette == "plain" else 0.2)
            extremes = np.array([limits.min, limits.max, 0, limits.max // 2 + 1], dtype)
            return np.asarray(np.where(places, self.random.choice(extremes, shape), numbers)).astype(dtype)
        numbers = self.random.uniform(1.0 if palette == "positive" else -ORDINARY, ORDINARY, shape)
        rare = [*SPECIAL, *SMALL[dtype]]
        if palette == "extreme":
            rare += [LARGEST[dtype], -LARGEST[dtype]]
        places = self.random.random(shape) < (0.0 if palette in TAME else 0.25)
        return np.asarray(np.where(places, self.random.choice(rare, shape), numbers)).astype(DTYPES[dtype])

    def fresh(self, dtype: str, shape: tuple[int, ...], palette: str | None = None) -> Value:
        """An input or a constant."""
        palette = palette or self.palette
        array = self.numbers(dtype, shape, palette)
        name = f"v{len(self.feeds) + len(self.constants)}"
        (self.constants if self.chance(0.35) else self.feeds)[name] = array
        plain = palette in TAME
        bound = 1.0
        if dtype in LARGEST:
            bound = LARGEST[dtype] if palette == "extreme" else ORDINARY
        elif dtype != "bool":
            bound = 9.0 if plain else float(np.iinfo(dtype).max) + 1
        value = Value(name, dtype, shape, bound, dtype in LARGEST and not plain, fresh=True)
        self.values.append(value)
        return value

    def constant(self, array: Array) -> str:
        name = f"c{len(self.constants)}_{len(self.nodes)}"
        self.constants[name] = array
        return name

    def add(self, operator: str, inputs: Sequence[Value | str], like: Value, **attributes: Any) -> Value:
        """A node whose result is `like`, but for its name."""
        value = replace(like, name=f"y{len(self.nodes)}", fresh=False)
        if value.floats and value.bound > LARGEST[value.dtype]:
            value = replace(value, special=True, bound=LARGEST[value.dtype])
        if value.integers and (value.bound > np.iinfo(value.dtype).max or operator in {"Sub", "Neg", "Mul"}):
            value = replace(value, bound=float(np.iinfo(value.dtype).max) + 1)
        names = [each if isinstance(each, str) else each.name for each in inputs]
        self.nodes.append(
            helper.make_node(operator, names, [value.name], name=f"n{len(self.nodes)}", **attributes)
        )
        self.values.append(value)
        return value

    def partner(self, x: Value, palette: str | None = None) -> Value:
        """A value of the same type that can be broadcast with x."""
        fitting = [
            each
            for each in self.values
            if each.dtype == x.dtype and broadcast(x.shape, each.shape) is not None
        ]
        if palette is None and fitting and self.chance(0.6):
            return self.choice(fitting)
        shape = tuple(1 if self.chance(0.3) else extent for extent in x.shape)
        if self.chance(0.3):
            shape = shape[int(self.random.integers(0, len(shape) + 1)) :]
        return self.fresh(x.dtype, shape, palette)

    def model(self) -> tuple[onnx.ModelProto, dict[str, Array], list[Value]]:
        """The model, its inputs, and its outputs: all values that no node reads, and some that one does."""
        read = {name for node in self.nodes for name in reads(node)}
        made = [value for value in self.values if not value.fresh]
        outputs = [value for value in made if value.name not in read or self.chance(0.2)]
        feeds = {name: array for name, array in self.feeds.items() if name in read}
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [_info(name, array.dtype, array.shape) for name, array in feeds.items()],
            [_info(value.name, DTYPES[value.dtype], value.shape) for value in outputs],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items() if name in read],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
        return model, feeds, outputs


def reads(node: onnx.NodeProto) -> list[str]:
    """The values that a node needs, those that its branches take from around them among them."""
    inner = [each for attribute in node.attribute for each in attribute.g.node]
    made = {name for each in inner for name in each.output}
    return [name for each in (node, *inner) for name in each.input if name and name not in made]


def _info(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of the result; None where they do not fit or it is large."""
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        return None
    return shape if math.prod(shape) <= ELEMENTS else None
