"""One generated kernel for any batch, made of the same kernel as it was generated for some batches.

Where those differ they have integers, such as the bounds of loops, that grow evenly with the batch: these become
expressions of it, a parameter of the kernel. It knows nothing of what a kernel computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm_ffi
from tvm import tirx

__all__ = ["Even", "evenly", "for_any_batch", "number_of_batch"]

_BATCH = "batch"


class Even:
    """A number that grows evenly with the batch: `each * batch + rest`."""

    def __init__(self, each: int, rest: int) -> None:
        self.each, self.rest = each, rest

    def at(self, batch: int) -> int:
        """The number for so many samples."""
        return self.each * batch + self.rest


def evenly(values: Sequence[int], batches: Sequence[int]) -> Even | None:
    """What the values are at these batches, of which there are at least three; None where they do not grow evenly."""
    each, left = divmod(values[0] - values[1], batches[0] - batches[1])
    even = Even(each, values[0] - each * batches[0])
    fits = all(even.at(batch) == value for batch, value in zip(batches, values, strict=True))
    return even if left == 0 and fits else None


def for_any_batch(functions: Sequence[Any], batches: Sequence[int], within: range) -> Any | None:
    """The kernel (PrimFunc) of which `functions` are those for `batches`; its last parameter is the batch, if needed.

    None where they are not the same kernel: then it computes otherwise for each. within: the batches that it is for.
    """
    seen = [_integers(function) for function in functions]
    if len({len(each) for each in seen}) > 1:
        return None
    found = [evenly(values, batches) for values in zip(*seen, strict=True)]
    if None in found:
        return None
    evens = [each for each in found if each is not None]
    # Also what is no integer has to be the same, and each integer where it was found.
    for function, batch in zip(functions, batches, strict=True):
        again = _replaced(
            functions[0], lambda node, even, at=batch: tirx.IntImm(_type(node), even.at(at)), evens
        )
        if not tvm_ffi.structural_equal(again, function):
            return None
    if all(even.each == 0 for even in evens):
        return functions[0]
    number = tirx.Var(_BATCH, "int32")
    samples = tirx.max(tirx.min(number, within[-1]), within[0])  # which bounds what is computed of it

    def expression(node: Any, even: Even) -> Any:
        if even.each == 0:
            return node
        one = samples if _type(node) == "int32" else tirx.Cast(_type(node), samples)
        return one * tirx.IntImm(_type(node), even.each) + tirx.IntImm(_type(node), even.rest)

    made = _replaced(functions[0], expression, evens)
    return tirx.PrimFunc([*made.params, number], made.body, ret_type=made.ret_type, attrs=made.attrs)


def number_of_batch(function: Any) -> Any | None:
    """The parameter that is a kernel's batch; None where it has none."""
    last = function.params[-1] if len(function.params) else None
    return last if last is not None and not hasattr(last.ty, "shape") else None


def _type(node: Any) -> str:
    return str(node.ty.dtype)


def _integers(function: Any) -> list[int]:
    """Those of a kernel in the order in which `structural_map` comes to them, each object once."""
    found: list[int] = []

    def keep(node: Any) -> Any:
        found.append(int(node.value))
        return node

    tvm_ffi.structural_map(function, ((tirx.IntImm, keep),))
    return found


def _replaced(function: Any, make: Any, evens: Sequence[Even]) -> Any:
    """The kernel with what `make` makes of each integer."""
    left = iter(evens)
    return tvm_ffi.structural_map(function, ((tirx.IntImm, lambda node: make(node, next(left))),))
