"""Which shapes a module takes: what the option `shapes` says, as combinations of one shape for each input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .._errors import InvalidArgument

__all__ = ["Shape", "Shapes", "Variant", "shapes_text", "variants"]

Shape: TypeAlias = Sequence[int | range]
"""Extents of an input, of which a range stands for each of its numbers: a batch."""

Shapes: TypeAlias = Shape | Sequence[Shape]
"""One shape of an input, or several that it may have."""

_MOST_VARIANTS = 64


@dataclass(frozen=True)
class Variant:
    """A shape for each input that has been given some. `batch` is what ranges in them stand for, all the same."""

    shapes: dict[str, tuple[int | range, ...]]
    batch: range | None

    def at(self, batch: int) -> dict[str, tuple[int, ...]]:
        """The shapes of so many samples."""
        return {
            name: tuple(batch if isinstance(extent, range) else extent for extent in shape)
            for name, shape in self.shapes.items()
        }


def variants(shapes: Mapping[str, Shapes]) -> list[Variant]:
    """The combinations: of the first shape of each input, of the second, ...; one alone goes with all others.

    Errors: `InvalidArgument` for inputs with different numbers of shapes, the same combination twice, ranges that
    differ or are none.
    """
    lists = {name: _listed(given) for name, given in shapes.items()}
    counts = {name: len(each) for name, each in lists.items() if len(each) > 1}
    if len({*counts.values()}) > 1:
        listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise InvalidArgument(
            f"shapes: those of several inputs belong together one by one, but there are {listed}"
        )
    count = max(counts.values(), default=1)
    if count > _MOST_VARIANTS:
        raise InvalidArgument(f"shapes: {count} are too many; a module takes at most {_MOST_VARIANTS}")
    found: list[Variant] = []
    for position in range(count):
        chosen = {name: each[position if len(each) > 1 else 0] for name, each in lists.items()}
        variant = Variant(chosen, _batch(chosen))
        if variant in found:
            raise InvalidArgument(f"shapes: the same ones are given twice: {shapes_text(chosen)}")
        found.append(variant)
    return found


def _listed(given: Shapes) -> list[tuple[int | range, ...]]:
    if given and not any(isinstance(each, int | range) for each in given):
        return [tuple(each) for each in given]  # type: ignore[arg-type]
    return [tuple(given)]  # type: ignore[arg-type]


def _batch(shapes: Mapping[str, tuple[int | range, ...]]) -> range | None:
    ranges = {extent for shape in shapes.values() for extent in shape if isinstance(extent, range)}
    if not ranges:
        return None
    if len(ranges) > 1:
        raise InvalidArgument(
            f"shapes: one range of a batch is possible, but {shapes_text(shapes)} has several; "
            "give a list of shapes instead"
        )
    batch = ranges.pop()
    if len(batch) < 2 or batch.step != 1 or batch.start < 1:
        raise InvalidArgument(
            f"shapes: {shapes_text(shapes)}: a batch goes from 1 or more up to a larger number"
        )
    return batch


def shapes_text(shapes: Mapping[str, tuple[int | range, ...]]) -> str:
    """As they are written on a command line."""

    def extent(value: int | range) -> str:
        return f"{value.start}..{value.stop - 1}" if isinstance(value, range) else str(value)

    return ", ".join(f"{name}={'x'.join(map(extent, shape))}" for name, shape in shapes.items())
