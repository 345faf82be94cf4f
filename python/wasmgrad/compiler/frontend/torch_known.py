"""Numbers of a torch model that are known before it runs: what it computes from constants and shapes alone.

A trace computes sizes with tensors, whose values placeholders do not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, make_fx
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from ..._errors import Unsupported

__all__ = ["with_known_values"]

_aten = torch.ops.aten
_FRESH = (_aten.empty, _aten.empty_like, _aten.empty_strided, _aten.new_empty, _aten.new_empty_strided)


def with_known_values(
    run: Callable[..., tuple[Tensor, ...]], examples: Sequence[Tensor]
) -> torch.fx.GraphModule:
    """What `run` asks of torch, recorded with real tensors: what does not depend on the examples' values is a constant.

    Errors: `Unsupported` when a known tensor is overwritten by an unknown one; torch's when a number depends on the
    examples.
    """

    def recorded(*tensors: Tensor) -> tuple[Tensor, ...]:
        with _KnownValues(tensors):
            return run(*tensors)

    return make_fx(recorded, tracing_mode="real")(*examples)


class _KnownValues(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps from the recording what does not depend on `unknown` tensors."""

    def __init__(self, unknown: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._unknown = WeakIdKeyDictionary(dict.fromkeys(unknown, True))

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._is_known(func, args, kwargs):
            with disable_proxy_modes_tracing():
                result = func(*args, **kwargs)
                # Fresh memory would put into the module whatever lay there.
                return result.zero_() if func.overloadpacket in _FRESH else result
        written = [
            value
            for argument, value in zip(func._schema.arguments, args, strict=False)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        if any(isinstance(value, Tensor) and value not in self._unknown for value in written):
            raise Unsupported(
                f"{func}: a tensor whose values are known is overwritten by one that depends on the inputs"
            )
        result = func(*args, **kwargs)
        for leaf in pytree.tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._unknown[leaf] = True
        return result

    def _is_known(self, func: Any, args: Any, kwargs: Any) -> bool:
        if torch.Tag.nondeterministic_seeded in func.tags:
            return False
        leaves = pytree.tree_leaves((args, kwargs))
        return not any(isinstance(leaf, Tensor) and leaf in self._unknown for leaf in leaves)
