"""Recorded functions without writes in place, and with what is computed twice computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

__all__ = ["simplified"]


def simplified(recorded: fx.GraphModule, examples: Sequence[Tensor]) -> fx.GraphModule:
    """The same function of tensors like the examples."""
    functional = make_fx(
        torch.func.functionalize(recorded), tracing_mode="fake", _allow_non_fake_inputs=True
    )(*examples)
    _merge_equal(functional.graph)
    functional.graph.eliminate_dead_code()
    functional.recompile()
    return functional


def _merge_equal(graph: fx.Graph) -> None:
    """Every call once, of those with equal arguments."""
    known: dict[Any, fx.Node] = {}
    for node in list(graph.nodes):
        key: Any
        if node.op == "call_function":
            key = (node.target, _key(node.args), _key(node.kwargs))
        elif node.op == "get_attr":
            key = ("constant", node.target)
        else:
            continue
        first = known.setdefault(key, node)
        if first is not node:
            node.replace_all_uses_with(first)
            graph.erase_node(node)


def _key(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return (type(value).__name__, *map(_key, value))
    if isinstance(value, dict):
        return tuple((name, _key(each)) for name, each in value.items())
    if isinstance(value, fx.Node):
        return ("node", value.name)
    return (type(value).__name__, repr(value))
