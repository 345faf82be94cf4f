"""What a matcher is given and what it finds: a kernel for some bindings of a Relax function."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from tvm import relax

from .bindings import Bindings
from .kernels import Kernel
from .stored import Tables

__all__ = ["Computed", "Context", "Match"]


@dataclass(frozen=True)
class Computed:
    """An operand that a run makes of a tensor, operator by operator, before the kernel reads it."""

    tensor: Any
    steps: Sequence[Callable[[Any], Any]]

    def bound(self, name: str) -> tuple[list[Any], Any]:
        """Bindings that make it, and the variable that is it."""
        builder, bindings, value = relax.BlockBuilder(), [], self.tensor
        for number, step in enumerate(self.steps):
            call = builder.normalize(step(value))
            value = relax.DataflowVar(f"{name}_{number}", call.ty)
            bindings.append(relax.VarBinding(value, call))
        return bindings, value


@dataclass
class Match:
    """A kernel for the binding `last`, which makes the `absorbed` ones superfluous.

    An operand is a Relax expression, a weight as it is stored, one that is computed, or None: there is no such operand.
    """

    kernel: Kernel
    operands: Sequence[Any]
    last: int
    absorbed: Sequence[int] = field(default_factory=list)


@dataclass(frozen=True)
class Context:
    """What a matcher works on: a module and the bindings of its `main`, floats of a vector, and what others took.

    `tables`: matrices that stay as they are, for what is made of their columns. `batch` and `most`: for how many
    samples the module is, and for how many algorithms are chosen; 0 for the same.
    """

    module: Any
    bindings: Bindings
    lanes: int
    taken: Container[int]
    tables: Tables
    batch: int = 0
    most: int = 0

    def pictures_of_most(self, pictures: int) -> int:
        """How many pictures there are with the most samples, where there are so many now."""
        return pictures // self.batch * self.most if self.batch and pictures % self.batch == 0 else 0
