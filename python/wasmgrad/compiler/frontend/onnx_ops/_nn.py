"""What the neural-network converters share: constants, casts and the arithmetic of sliding windows.

Knows nothing of single operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tvm import relax, tirx

from ._registry import literal

if TYPE_CHECKING:
    from ._registry import Node

NARROW_FLOATS = ("float16", "bfloat16")


def scalar(value: float, dtype: str) -> Any:
    """A 0-dimensional Relax constant."""
    return literal(value, dtype)


def cast(value: Any, source: str, target: str) -> Any:
    """`value`, whose type is `source`, as `target`; itself when both are the same."""
    return value if source == target else relax.op.astype(value, target)


def wide(dtype: str) -> str:
    """The type to compute in: float32 for the 16-bit floats, else the type itself."""
    return "float32" if dtype in NARROW_FLOATS else dtype


def widened(node: Node, index: int) -> Any:
    """Input `index` in its `wide` type; a variable or a constant, so that its shape is known."""
    value, dtype = node.input(index), node.dtype(index)
    return node.emit(cast(value, dtype, wide(dtype))) if dtype in NARROW_FLOATS else value


def all_of(conditions: Sequence[Any]) -> Any:
    """The conjunction of TIR conditions (true for none)."""
    return tirx.all(*conditions) if conditions else tirx.const(True, "bool")


def per_axis(node: Node, name: str, spatial: int, default: int) -> tuple[int, ...]:
    """An attribute with one integer for every spatial axis."""
    values = tuple(int(value) for value in (node.attribute(name, None) or (default,) * spatial))
    if len(values) != spatial:
        node.refuse(f"{name} has {len(values)} values for {spatial} spatial axes")
    return values


@dataclass(frozen=True)
class Window:
    """A window that slides over the spatial axes of a tensor [batch, channels, *spatial].

    `after` is as large as the last window needs; `declared_after` is what the model asked for, which is
    smaller when the output's size was rounded up.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    declared_after: tuple[int, ...]
    output: tuple[int, ...]

    @property
    def padding(self) -> list[int]:
        """Paddings in Relax's order: all befores, then all afters."""
        return [*self.before, *self.after]

    @property
    def padded(self) -> bool:
        """Whether any window reaches outside of the input."""
        return any(self.before) or any(self.after)

    @property
    def dilated(self) -> bool:
        """Whether the window has holes."""
        return any(step != 1 for step in self.dilations)


def sliding_window(node: Node, sizes: Sequence[int], kernel: Sequence[int]) -> Window:
    """The window that a convolution's or pooling's attributes describe over spatial `sizes`."""
    spatial = len(sizes)
    if len(kernel) != spatial:
        node.refuse(f"a kernel of {len(kernel)} axes does not fit {spatial} spatial axes")
    strides = per_axis(node, "strides", spatial, 1)
    dilations = per_axis(node, "dilations", spatial, 1)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    mode = node.attribute("auto_pad", "NOTSET") or "NOTSET"
    if mode in {"SAME_UPPER", "SAME_LOWER"}:
        output = [-(-size // stride) for size, stride in zip(sizes, strides, strict=True)]
        total = [
            max(0, (out - 1) * stride + span - size)
            for out, stride, span, size in zip(output, strides, reach, sizes, strict=True)
        ]
        before = [pad // 2 if mode == "SAME_UPPER" else pad - pad // 2 for pad in total]
        declared = [pad - first for pad, first in zip(total, before, strict=True)]
        after = declared
    else:
        pads = [int(pad) for pad in (node.attribute("pads", None) or [0] * 2 * spatial)]
        if mode == "VALID":
            pads = [0] * 2 * spatial
        if len(pads) != 2 * spatial:
            node.refuse(f"pads has {len(pads)} values for {spatial} spatial axes")
        before, declared = pads[:spatial], pads[spatial:]
        output = _explicit_sizes(
            sizes, before, declared, reach, strides, bool(node.attribute("ceil_mode", 0))
        )
        after = [
            max(last, (out - 1) * stride + span - size - first)
            for out, stride, span, size, first, last in zip(
                output, strides, reach, sizes, before, declared, strict=True
            )
        ]
    if min(output, default=1) < 1:
        node.refuse(f"the window {tuple(reach)} is larger than the padded input {tuple(sizes)}")
    if min([*before, *declared]) < 0:
        node.refuse("negative pads are not supported")
    return Window(
        tuple(kernel), strides, dilations, tuple(before), tuple(after), tuple(declared), tuple(output)
    )


def _explicit_sizes(
    sizes: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    reach: Sequence[int],
    strides: Sequence[int],
    ceil: bool,
) -> list[int]:
    """Output sizes under given paddings; with `ceil` a last partial window counts if it starts on the input."""
    output = []
    for size, first, last, span, stride in zip(sizes, before, after, reach, strides, strict=True):
        room = size + first + last - span
        count = (-(-room // stride) if ceil else room // stride) + 1
        if ceil and (count - 1) * stride >= size + first:
            count -= 1
        output.append(count)
    return output
