"""Branches that a condition chooses at run time, and values that go through types to store in, for random graphs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from .random_graphs import LARGEST, Graph, Value

__all__ = ["branch", "stored"]

_STORED = [
    *(TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ),
    *(TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ),
]
_INTEGERS = (TensorProto.INT4, TensorProto.UINT4)


def _side(g: Graph, x: Value, label: str) -> onnx.GraphProto:
    """One node on a value from around it, which the branch returns."""
    operators = ["Neg", "Abs", "Relu", "Identity"] if x.floats else ["Abs", "Identity"]
    if x.dtype == "bool":
        operators = ["Not", "Identity"]
    name = f"{label}{len(g.nodes)}"
    node = helper.make_node(g.choice(operators), [x.name], [name], name=name)
    return helper.make_graph([node], label, [], [helper.make_empty_tensor_value_info(name)])


def branch(g: Graph, x: Value) -> None:
    """An If between two values of the same type and shape."""
    others = [each for each in g.values if (each.dtype, each.shape) == (x.dtype, x.shape)]
    other = g.choice(others)
    known = [each for each in g.values if each.dtype == "bool" and each.size == 1 and len(each.shape) < 2]
    condition = g.choice(known) if known and g.chance(0.5) else g.fresh("bool", g.choice([(), (1,)]))
    bound = max(x.bound, other.bound) if x.floats or x.dtype == "bool" else float(np.iinfo(x.dtype).max) + 1
    like = replace(x, bound=bound, special=x.special or other.special, rough=x.rough or other.rough)
    g.add("If", [condition], like, then_branch=_side(g, x, "yes"), else_branch=_side(g, other, "no"))


def stored(g: Graph, x: Value) -> None:
    """To a type that values are only stored in and back, with one scale, or one for each index of the last axis."""
    kind = g.choice(_STORED)
    if x.dtype != "float32" or x.rough or (x.special and kind in _INTEGERS):
        return
    several = bool(x.shape) and x.size > 0 and g.chance(0.5)
    scale = g.constant(g.random.uniform(0.1, 2.0, x.shape[-1:] if several else ()).astype(np.float32))
    options: dict[str, Any] = {"axis": -1} if several else {}
    name = f"s{len(g.nodes)}"
    g.nodes.append(
        helper.make_node("QuantizeLinear", [x.name, scale], [name], name=name, output_dtype=kind, **options)
    )
    g.add("DequantizeLinear", [name, scale], replace(x, bound=min(LARGEST["float32"], 2e5)), **options)
