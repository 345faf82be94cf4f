"""Which inputs of a model are its state: what the option `state` says, held against the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .._errors import InvalidArgument
from .._graph.format.metadata import StateInfo, TensorInfo
from .backend.states import Kept

__all__ = ["States", "find_states"]


@dataclass(frozen=True)
class States:
    """Of a model: its states with their places in it, and the inputs and outputs that are none."""

    infos: tuple[StateInfo, ...]
    places: tuple[Kept, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


def find_states(
    named: Mapping[str, str], inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]
) -> States:
    """Input names and the output that each becomes in the next run; `*` in both stands for the same characters.

    Errors: `InvalidArgument` for a name that the model does not have, an input that is named twice, and an output
    of another shape or type than its input.
    """
    places: dict[int, Kept] = {}
    infos: dict[int, StateInfo] = {}
    for pattern in named.items():
        where = f"state {pattern[0]}={pattern[1]}"
        for before, after in _expanded(pattern, where, inputs):
            place = Kept(
                _position(before, inputs, "input", where), _position(after, outputs, "output", where)
            )
            if place.input in places:
                raise InvalidArgument(f"{where}: the input {before!r} has been named before")
            _check_same(inputs[place.input], outputs[place.output], where)
            places[place.input] = place
            info = inputs[place.input]
            infos[place.input] = StateInfo(info.name, info.dtype, info.shape, after)
    taken = {place.output for place in places.values()}
    return States(
        tuple(infos[i] for i in sorted(infos)),
        tuple(places[i] for i in sorted(places)),
        tuple(info for i, info in enumerate(inputs) if i not in places),
        tuple(info for i, info in enumerate(outputs) if i not in taken),
    )


def _expanded(
    pattern: tuple[str, str], where: str, inputs: Sequence[TensorInfo]
) -> Iterator[tuple[str, str]]:
    """The pairs that a pattern stands for: itself, or one for each input that it fits."""
    stars = {name.count("*") for name in pattern}
    if stars == {0}:
        yield pattern
        return
    if stars != {1}:
        raise InvalidArgument(f"{where}: expected one * in both names, or none")
    begin, end = pattern[0].split("*")
    fitting = [
        info.name
        for info in inputs
        if len(info.name) >= len(begin + end) and info.name.startswith(begin) and info.name.endswith(end)
    ]
    if not fitting:
        raise InvalidArgument(f"{where}: no input is called so; the inputs are {_listed(inputs)}")
    for name in fitting:
        yield name, pattern[1].replace("*", name[len(begin) : len(name) - len(end)])


def _position(name: str, tensors: Sequence[TensorInfo], side: str, where: str) -> int:
    for position, info in enumerate(tensors):
        if info.name == name:
            return position
    raise InvalidArgument(f"{where}: there is no {side} {name!r}; the {side}s are {_listed(tensors)}")


def _listed(tensors: Sequence[TensorInfo]) -> str:
    return ", ".join(map(str, tensors)) or "none"


def _check_same(before: TensorInfo, after: TensorInfo, where: str) -> None:
    if (before.dtype, before.shape) == (after.dtype, after.shape):
        return
    advice = ""
    if before.dtype == after.dtype and len(before.shape) == len(after.shape):
        advice = (
            "; where it grows with each run, export the model with a cache of a fixed size that new values are "
            "written into at a position (index_copy of torch, ScatterND or TensorScatter of ONNX)"
        )
    raise InvalidArgument(
        f"{where}: a state keeps its shape and type, but the input is {before} and the output {after}{advice}"
    )
