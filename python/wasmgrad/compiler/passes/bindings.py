"""A Relax function as a list: its bindings by position, who uses what, and constants as arrays.

What pattern matching and rewriting need; it knows no kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from tvm import relax

from .._relax import array_of

__all__ = ["Bindings", "constant", "is_float32", "shape", "typed", "with_bindings"]


def shape(expression: Any) -> tuple[int, ...]:
    """The static shape of a tensor expression."""
    return tuple(int(extent) for extent in expression.ty.shape)


def is_float32(expression: Any) -> bool:
    """Whether it is a tensor of float32, or a tuple of such."""
    types = expression.ty.fields if isinstance(expression.ty, relax.TupleType) else [expression.ty]
    return all(isinstance(ty, relax.TensorType) and str(ty.dtype) == "float32" for ty in types)


def constant(expression: Any) -> NDArray[Any] | None:
    """The array of a constant tensor; None for anything else."""
    value: Any = getattr(expression, "value", None)
    return array_of(value) if hasattr(value, "numpy") else None


def typed(call: Any) -> Any:
    """With its type, which only a builder infers."""
    return relax.BlockBuilder().normalize(call)


class Bindings:
    """The bindings of a function of one dataflow block."""

    def __init__(self, function: Any) -> None:
        (self.block,) = function.body.blocks
        self.bindings = list(self.block.bindings)
        self._position = {binding.var: index for index, binding in enumerate(self.bindings)}
        self._users: dict[Any, list[int]] = {}
        for index, binding in enumerate(self.bindings):
            for variable in {*relax.analysis.free_vars(binding.value)}:
                self._users.setdefault(variable, []).append(index)
        self._results = {*relax.analysis.free_vars(function.body.body)}

    def __len__(self) -> int:
        return len(self.bindings)

    def variable(self, position: int) -> Any:
        """The variable that a binding defines."""
        return self.bindings[position].var

    def value(self, position: int) -> Any:
        """The expression of a binding."""
        return self.bindings[position].value

    def operator(self, position: int) -> str | None:
        """The Relax operator that a binding calls, such as "relax.add"; None for anything else."""
        value = self.value(position)
        return getattr(value.op, "name", None) if isinstance(value, relax.Call) else None

    def producer(self, expression: Any) -> int | None:
        """Where a variable is bound; None for parameters and everything that is no variable."""
        return self._position.get(expression) if isinstance(expression, relax.Var) else None

    def users(self, position: int) -> Sequence[int]:
        """The bindings that use the result, in order; none when the function also returns it."""
        variable = self.variable(position)
        return [] if variable in self._results else self._users.get(variable, [])


def with_bindings(module: Any, bindings: Sequence[Any]) -> Any:
    """The module whose `main` binds these in place of its own, and returns the same variables."""
    main = module["main"]
    body = relax.SeqExpr([relax.DataflowBlock(bindings)], main.body.body)
    function = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    module = module.clone()
    module.update_func(module.get_global_var("main"), function)
    return module
