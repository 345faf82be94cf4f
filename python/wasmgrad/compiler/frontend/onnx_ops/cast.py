"""Changes of element type."""

from __future__ import annotations

from typing import Any

from tvm import relax, tirx

from ._registry import DTYPES, Node, converter, dtype_name
from .elementwise import broadcast_te


def converted(node: Node, x: Any, source: str, target: str) -> Any:
    """`x` of type `source` as `target`; floats are rounded to the nearest, integers wrap around."""
    for dtype in (source, target):
        if dtype not in DTYPES:
            node.refuse(f"tensors of {dtype} are not supported")
    if source == target:
        return x
    if target == "bool":
        return broadcast_te(node, lambda value: value != tirx.const(0, source), x, name="to_bool")
    if target == "bfloat16" or (source == "bfloat16" and target != "float32"):
        x = node.emit(relax.op.astype(x, "float32"))
    return relax.op.astype(x, target)


@converter("Cast", since=6)
def cast_to(node: Node) -> Any:
    """To the type that an attribute names."""
    return converted(node, node.input(0), node.dtype(0), dtype_name(node.attribute("to")))


@converter("CastLike", since=15)
def cast_like(node: Node) -> Any:
    """To the type of another tensor."""
    return converted(node, node.input(0), node.dtype(0), node.dtype(1))


@converter("BitCast", since=1)
def bit_cast(node: Node) -> Any:
    """The same bits as another type of the same width."""
    source, target = node.dtype(0), dtype_name(node.attribute("to"))
    for dtype in (source, target):
        if dtype not in DTYPES:
            node.refuse(f"tensors of {dtype} are not supported")
    if "bool" in (source, target):  # held in bytes, but one bit while computing
        return converted(node, node.input(0), source, target)
    return broadcast_te(node, lambda x: tirx.reinterpret(target, x), node.input(0))
