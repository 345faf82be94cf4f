"""Operators written in those of the ONNX standard, and the registration of such operators of onnxruntime's own.

It knows the standard's converters by name only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import numpy as np
from onnx import helper

from ._registry import Converter, Node, Value, converter, numpy_dtype, shape_of

__all__ = ["MICROSOFT", "Operators", "dtype_of", "extents", "microsoft", "number"]

MICROSOFT = "com.microsoft"
_OPSET = 23


def dtype_of(value: Value) -> str:
    """The element type of a tensor, by NumPy's name."""
    return str(value.dtype) if isinstance(value, np.ndarray) else str(value.ty.dtype)


def extents(value: Value) -> tuple[int, ...]:
    """The shape of a tensor."""
    return tuple(value.shape) if isinstance(value, np.ndarray) else shape_of(value)


def number(value: float, like: Value) -> Value:
    """A scalar of the type of `like`."""
    return np.array(value, numpy_dtype(dtype_of(like)))


class Operators:
    """The standard's operators: `op.Add(x, y)` imports an Add node in place of `node` and returns its result.

    Operands are arrays, variables, or None for one that is left out; keywords are attributes. With `outputs` above 1
    the result is a list.
    """

    def __init__(self, node: Node, opset: int = _OPSET) -> None:
        self._node = node
        self._opset = opset

    def __getattr__(self, operator: str) -> Callable[..., Any]:
        def call(*operands: Value, outputs: int = 1, **attributes: Any) -> Any:
            values = list(operands)
            while values and values[-1] is None:
                values.pop()
            names = ["" if value is None else f"{place}" for place, value in enumerate(values)]
            results = [f"result{place}" for place in range(outputs)]
            proto = helper.make_node(operator, names, results, name=self._node.name, **attributes)
            inner = Node(proto, self._opset, values, self._node.graphs, within=self._node)
            made = self._node.graphs.convert(inner)
            return made[0] if outputs == 1 else made[:outputs]

        return call

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the node's attributes that it has, to be handed on."""
        every = {name: self._node.attribute(name, None) for name in names}
        return {name: value for name, value in every.items() if value is not None}

    def reshape(self, value: Value, *shape: int) -> Any:
        """The same elements in another shape."""
        return self.Reshape(value, np.array(shape, np.int64))

    def transpose(self, value: Value, *axes: int) -> Any:
        """The axes in another order."""
        return value if list(axes) == sorted(axes) else self.Transpose(value, perm=list(axes))

    def cut(self, value: Value, sizes: list[int], axis: int = -1) -> list[Any]:
        """Consecutive parts of so many elements along an axis."""
        if len(sizes) == 1:
            return [value]
        parts: list[Any] = self.Split(value, np.array(sizes, np.int64), axis=axis, outputs=len(sizes))
        return parts


def microsoft(
    operator: str,
    attributes: str = "",
    *,
    inputs: int,
    outputs: int = 1,
    lacks: Mapping[int, str] | None = None,
) -> Callable[[Converter], Converter]:
    """Registers a converter of an operator of onnxruntime's own domain.

    attributes, inputs, outputs: those that it handles. What else a node has is refused by name; `lacks` has the names
    of inputs.
    """

    def register(function: Converter) -> Converter:
        @wraps(function)
        def convert(node: Node) -> Any:
            for attribute in node.proto.attribute:
                if attribute.name not in attributes.split():
                    node.refuse(f"the attribute {attribute.name!r} is not supported")
            for place in range(len(node.values)):
                if node.has(place) and (place >= inputs or place in (lacks or {})):
                    name = (lacks or {}).get(place, f"number {place}")
                    node.refuse(f"the input {name!r} is not supported")
            for place in range(outputs, node.outputs):
                if node.wanted(place):
                    node.refuse(f"the output {node.proto.output[place]!r} is not supported")
            return function(node)

        converter(operator, domain=MICROSOFT)(convert)
        return function

    return register
