"""Gives a graph's inputs and outputs other names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx

__all__ = ["rename"]


def rename(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str | None]) -> None:
    """Names them anew, in order; whatever else has such a name gets one of its own.

    An output keeps its name where the new one is None, taken by an input or another output, or where the value is an
    input or an output a second time.
    """
    graph = model.graph
    old = [info.name for info in graph.input]
    renamed = dict(zip(old, inputs, strict=True))
    wanted = set(inputs)
    for info, name in zip(graph.output, outputs, strict=True):
        if name and name not in wanted and info.name not in renamed:
            renamed[info.name] = name
            wanted.add(name)
    taken = {*wanted, *_values(graph)}
    for name in (wanted & set(_values(graph))) - set(renamed):
        number = next(i for i in range(len(taken) + 1) if f"{name}_{i}" not in taken)
        renamed[name] = f"{name}_{number}"
        taken.add(renamed[name])
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = renamed.get(value.name, value.name)


def _values(graph: onnx.GraphProto) -> Iterator[str]:
    for value in (*graph.input, *graph.initializer):
        yield value.name
    for node in graph.node:
        yield from node.output
