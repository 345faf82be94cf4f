"""Weights as a module stores them, and the kernel that makes of them what other kernels read.

Values are stored in the fewest bits that give back all of theirs: as floats of 16 bits, or as integers of 8 or 4 less a
zero point, times a scale. Which of these fit is seen in the values themselves, whoever rounded them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import ml_dtypes
import numpy as np
import numpy.typing as npt

from .base import Descriptor, Tensor, round_up

__all__ = ["EXPAND", "Arrangement", "Expand", "Stored", "store"]

EXPAND = "wg_expand"

Form = Literal["float32", "float16", "bfloat16", "int8", "int4"]
Arrangement = Literal["as stored", "rows to columns", "winograd 2", "winograd 4"]

# The numbers of `enum class Form` in narrow.hpp and of `Arrangement` in expand.cpp.
_FORMS: tuple[Form, ...] = ("float32", "float16", "bfloat16", "int8", "int4")
_ARRANGEMENTS: dict[Arrangement, int] = {
    "as stored": 0,
    "rows to columns": 1,
    "winograd 2": 2,
    "winograd 4": 4,
}
_BLOCKS = (256, 128, 64, 32, 16)  # of the depth, that quantizers give a scale
_ALIGNMENT = 64  # of a tensor in memory
_TRIED = 12  # values of a column that rule out most scales
_CLOSE = 1e-4  # distance from integers of up to 255 that rounding to float32 explains
_SAMPLES = 64  # columns that rule out most forms


@dataclass(frozen=True, slots=True)
class Expand:
    """Floats from [panels, depth, width] `form`s, times `factors` of [panels, width], in another arrangement.

    Integers are less their zero point, which is the middle of their range when not `has_zeros`, times a scale; both are
    [panels, blocks, width], for blocks of the depth. "rows to columns" makes the columns that `pack_columns` makes of
    rows, each a panel of width 1; "winograd m" the points of its tiles of the [3, 3, channels] that each panel then is.
    """

    form: Form
    panels: int
    depth: int
    width: int
    block: int
    has_zeros: bool
    has_factors: bool
    arrangement: Arrangement
    lanes: int

    parameters: ClassVar[tuple[str, ...]] = ("stored", "zeros", "scales", "factors", "y", "scratch")

    @property
    def symbol(self) -> str:
        """The C function."""
        return EXPAND

    def descriptor(self) -> Descriptor:
        """Return the fields of `struct Expand` in cpp/graph_runtime/kernels/expand.cpp."""
        sizes = [_FORMS.index(self.form), self.panels, self.depth, self.width, self.block]
        flags = [int(self.has_zeros), int(self.has_factors), _ARRANGEMENTS[self.arrangement]]
        return np.array([*sizes, *flags], np.int32)

    def size(self) -> int:
        """Return the number of floats that are made."""
        if self.arrangement == "rows to columns":
            return round_up(self.panels, 2 * self.lanes) * self.depth
        values = self.panels * self.depth * self.width
        if self.arrangement == "as stored":
            return values
        return values // 9 * (_ARRANGEMENTS[self.arrangement] + 2) ** 2

    def scratch_bytes(self) -> int:
        """Return the memory of one panel, where it cannot be widened in place."""
        return 0 if self.arrangement == "as stored" else 4 * self.depth * self.width

    def flops(self) -> int:
        """Return 0: it does not run with the model."""
        return 0


@dataclass(frozen=True, slots=True)
class Stored:
    """What `kernel` makes a weight of, in the order of its parameters."""

    kernel: Expand
    arrays: tuple[npt.NDArray[Any], ...]

    def bytes(self) -> int:
        """Return the memory of it all, the descriptor among it."""
        return sum(round_up(each.nbytes, _ALIGNMENT) for each in (*self.arrays, self.kernel.descriptor()))


def store(values: Tensor, factors: Tensor | None, arrangement: Arrangement, lanes: int) -> Stored | None:
    """Store [panels, depth, width] values, which are to be multiplied by [panels, width] factors.

    None when they are best left as the floats that they are made to be.
    """
    floats = values if factors is None else values * factors[:, None, :]
    found = [*_stored_forms(np.ascontiguousarray(values), factors, arrangement, lanes)]
    whole = _stored("float32", (floats,), None, values.shape, arrangement, lanes)
    best = min([whole, *found], key=Stored.bytes)
    if best is whole and arrangement == "as stored":
        return None
    return best if best is whole or best.bytes() + 4 * _ALIGNMENT <= whole.bytes() else whole


def _stored(
    form: Form,
    arrays: tuple[npt.NDArray[Any], ...],
    factors: Tensor | None,
    shape: tuple[int, ...],
    arrangement: Arrangement,
    lanes: int,
    block: int = 0,
) -> Stored:
    values, scales, zeros = (*arrays, None, None)[:3]
    panels, depth, width = shape
    kernel = Expand(
        form, panels, depth, width, block or depth, zeros is not None, factors is not None, arrangement, lanes
    )
    assert values is not None
    empty = np.zeros(0, np.float32)
    parts = (values, zeros, scales, factors)
    return Stored(kernel, tuple(empty if part is None else part for part in parts))


def _stored_forms(
    values: Tensor, factors: Tensor | None, arrangement: Arrangement, lanes: int
) -> Iterator[Stored]:
    """The forms that give back the values."""
    if values.size == 0:
        return
    known: tuple[tuple[Form, Any], ...] = (("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16))
    for form, dtype in known:
        if _same(values.reshape(-1)[: 1 << 12], dtype) and _same(values, dtype):
            half = values.astype(dtype).view(np.uint16)
            yield _stored(form, (half,), factors, values.shape, arrangement, lanes)
    depth = values.shape[1]
    for block in (depth, *(each for each in _BLOCKS if each < depth)):
        found = _integers(values, block)
        if found is not None:
            form, *arrays = found
            yield _stored(form, tuple(arrays), factors, values.shape, arrangement, lanes, block)
            return


def _same(values: Tensor, dtype: Any) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        again = values.astype(dtype).astype(np.float32)
    return np.array_equal(again.view(np.int32), values.view(np.int32)) and not bool(np.isnan(values).any())


def _integers(values: Tensor, block: int) -> tuple[Form, npt.NDArray[np.uint8], Tensor, Any] | None:
    """Integers, scales and zero points (or None) whose difference and product are the values, for such blocks."""
    panels, depth, width = values.shape
    blocks = -(-depth // block)
    few = slice(None, None, -(-panels * blocks * width // _SAMPLES))
    if not _may_be_steps(values[0, :block, 0]) or _steps(_columns(values[few], block)[few]) is None:
        return None
    found = _steps(_columns(values, block))
    if found is None:
        return None
    steps, scales = found
    low, high = np.minimum(steps.min(1), 0), np.maximum(steps.max(1), 0)
    bits = 4 if np.max(high - low) <= 15 else 8
    if np.max(high - low) >= 1 << bits:
        return None
    middle = 1 << (bits - 1)
    shifted = bool(low.min() < -middle or high.max() >= middle)
    zeros = -low if shifted else np.full_like(low, middle)
    numbers = (steps + zeros[:, None]).reshape(panels, blocks, width, block).swapaxes(2, 3)
    numbers = numbers.reshape(panels, -1, width)[:, :depth]
    pack = _nibbles if bits == 4 else np.ravel
    packed = pack(numbers.astype(np.uint8)), scales, pack(zeros.astype(np.uint8)) if shifted else None
    return ("int4" if bits == 4 else "int8"), *packed


def _columns(values: Tensor, block: int) -> Tensor:
    """Blocks of the columns of each panel as rows, the last of a column filled up with zeros."""
    panels, depth, width = values.shape
    blocks = -(-depth // block)
    padded = np.zeros((panels, blocks * block, width), np.float32)
    padded[:, :depth] = values
    return padded.reshape(panels, blocks, block, width).swapaxes(2, 3).reshape(-1, block)


def _nibbles(numbers: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Two numbers of 4 bits in each byte, the first in its lower half."""
    flat = np.ravel(numbers)
    flat = np.append(flat, np.zeros(flat.size % 2, np.uint8))
    return np.asarray(flat[::2] | flat[1::2] << 4, np.uint8)


def _may_be_steps(column: Tensor) -> bool:
    """Whether few of a column's values do not show that `_steps` will find none: what all but few floats do."""
    largest = float(np.abs(column).max(initial=0))
    if largest == 0 or not np.isfinite(largest):
        return largest == 0
    some = column[:: -(-column.size // _TRIED)].astype(np.float64)
    ratios = some * (np.arange(1, 256) / largest)[:, None]
    return bool((np.abs(ratios - np.rint(ratios)).max(1) < _CLOSE).any())


def _steps(columns: Tensor) -> tuple[npt.NDArray[np.int16], Tensor] | None:
    """Integers of at most 255 and for each row a scale, whose products are the rows' values bit by bit.

    The largest value of a row is one of 255 multiples of its scale: the first that fits the others, too, is taken.
    """
    largest = np.abs(columns).max(1, initial=0)
    if not np.isfinite(largest).all():
        return None
    steps = np.zeros(columns.shape, np.int16)
    scales = np.ones(len(columns), np.float32)
    left = np.flatnonzero(largest)
    some = columns[:, :: -(-columns.shape[1] // _TRIED)].astype(np.float64)
    for multiple in range(1, 256):
        if left.size == 0:
            break
        ratio = some[left] * (multiple / largest[left].astype(np.float64))[:, None]
        near = left[np.abs(ratio - np.rint(ratio)).max(1) < _CLOSE]
        if near.size == 0:
            continue
        solved = _with_multiple(columns[near], largest[near], multiple, steps, scales, near)
        left = np.setdiff1d(left, near[solved], assume_unique=True)
    exact = left.size == 0 and not np.any((steps == 0) & np.signbit(columns))
    return (steps, scales) if exact else None


def _with_multiple(
    columns: Tensor, largest: Tensor, multiple: int, steps: Any, scales: Any, places: Any
) -> npt.NDArray[np.bool_]:
    """Which rows are integers times a float whose product with `multiple` is their largest value; sets both."""
    nearest = (largest / np.float32(multiple)).astype(np.float32)
    whole = np.rint(columns * (multiple / largest.astype(np.float64))[:, None]).astype(np.float32)
    solved = np.zeros(len(columns), np.bool_)
    for scale in (nearest, np.nextafter(nearest, np.float32(0)), np.nextafter(nearest, np.float32(np.inf))):
        fits = ~solved & (whole * scale[:, None] == columns).all(1)
        steps[places[fits]] = whole[fits]
        scales[places[fits]] = scale[fits]
        solved |= fits
    return solved
