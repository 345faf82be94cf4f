"""A torch model that is trained: its parameters and buffers by name, and its outputs as a function of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from ..._errors import InvalidArgument, Unsupported

__all__ = ["TrainedModel"]

_STATISTICS = (
    "running_mean",
    "running_var",
)  # a layer of which one is frozen keeps both, and counts no batches


_RECURRENT = "_flat_weights"
"""Where recurrent layers of torch keep their parameters a second time."""


class TrainedModel:
    """TorchScript that was vetted, and the names of what it holds.

    A model of its own is loaded for each use: TorchScript keeps what it computed when it first ran. `trained` are the
    parameters that steps change, `kept` the buffers that runs in training mode change, `fixed` everything else; each
    tensor once, under its first name. All are float32, but for buffers.
    """

    def __init__(
        self,
        archive: bytes,
        names: Mapping[str, str],
        keys: Sequence[str | None] | None,
        freeze: Sequence[str],
    ) -> None:
        self._archive = archive
        self._names = names
        self._keys = keys
        module = self._loaded()
        self._held = _held(module, names, freeze)
        self._slots = _slots(module, names)
        every = {name: slots[0].tensor for name, slots in self._slots.items()}
        parameters = {name for name, slots in self._slots.items() if slots[0].is_parameter}
        self.trained = {
            name: every[name]
            for name in every
            if name in parameters and every[name].requires_grad and not _matches(name, freeze)
        }
        self._check(freeze, parameters)
        for name, tensor in self.trained.items():
            if tensor.dtype != torch.float32:
                raise InvalidArgument(
                    f"parameter {name!r} is of type {str(tensor.dtype).removeprefix('torch.')}; only float32 is trained"
                )
        self.trained = {name: tensor.detach().clone() for name, tensor in self.trained.items()}
        self.buffers = {
            name: tensor.detach().clone() for name, tensor in every.items() if name not in parameters
        }
        self.parameters = {name: every[name].detach() for name in parameters}

    def function(self, training: bool, dtype: torch.dtype | None = None) -> _Function:
        """The model as a function, from a module of its own; with floats of that type, if it is given."""
        module = self._loaded()
        module.train(training)
        for part in _modules(module, self._held):
            part.train(False)
        if dtype is not None:
            module.to(dtype)
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        return _Function(module, _slots(module, self._names), self._keys)

    def check_places(self, inputs: Sequence[Tensor]) -> None:
        """Errors: `Unsupported` where the model keeps a parameter in places that `function` does not know of.

        Run as it is, the model gives such a parameter another gradient, or one where the function has none. inputs: of
        a batch in training mode, which draws no random numbers.
        """
        module = self._loaded()
        module.train(True)
        for part in _modules(module, self._held):
            part.train(False)
        slots = _slots(module, self._names)
        own = [slots[name][0].tensor for name in self.trained]
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in self.trained.items()}
        buffers = {name: tensor.clone() for name, tensor in self.buffers.items()}
        with torch.enable_grad(), _plain_operators():
            known = _gradients(pytree.tree_leaves(module(*inputs)), own)
            returned = self.function(training=True)({**leaves, **buffers}, inputs)
            found = _gradients([tensor for _, tensor in returned], list(leaves.values()))
        for name, ours, theirs in zip(leaves, found, known, strict=True):
            zero = torch.zeros_like(self.trained[name])
            a, b = (zero if each is None else each for each in (ours, theirs))
            largest = float(b.abs().max()) if b.numel() else 0.0
            if not torch.allclose(a, b, rtol=1e-3, atol=1e-4 * largest + 1e-7, equal_nan=True):
                raise Unsupported(
                    f"the model keeps the parameter {name!r} in another place as well, such as in a list of its own: a "
                    "compiled step would not train it there; use the parameter itself in forward"
                )

    def _loaded(self) -> torch.jit.ScriptModule:
        loaded = torch.jit.load(io.BytesIO(self._archive), map_location="cpu")  # type: ignore[no-untyped-call]
        assert isinstance(loaded, torch.jit.ScriptModule)
        return loaded

    def _check(self, freeze: Sequence[str], parameters: set[str]) -> None:
        for pattern in freeze:
            names = [n for n in self._slots if n in parameters or n.rpartition(".")[2] in _STATISTICS]
            if not any(_matches(name, [pattern]) for name in names):
                raise InvalidArgument(
                    f"no trainable parameter and no running statistic matches {pattern!r}, which is to be frozen"
                )
        if not self.trained:
            raise InvalidArgument(
                "all parameters are frozen; at least one must be trained"
                if any(self._slots[name][0].tensor.requires_grad for name in parameters)
                else "the model has no trainable parameter"
            )


class _Slot:
    """A place in a module that holds a tensor."""

    def __init__(self, module: torch.jit.ScriptModule, name: str, tensor: Tensor, is_parameter: bool) -> None:
        self._module = module
        self._name = name
        self.tensor = tensor
        self.is_parameter = is_parameter

    def put(self, tensor: Tensor) -> None:
        """Another tensor there."""
        self._module._c.setattr(self._name, tensor)


class _ListSlot(_Slot):
    """A place in a list that a module holds."""

    def __init__(self, module: torch.jit.ScriptModule, name: str, index: int, tensor: Tensor) -> None:
        super().__init__(module, name, tensor, is_parameter=True)
        self._index = index

    def put(self, tensor: Tensor) -> None:
        """Another tensor there."""
        values = list(self._module._c.getattr(self._name))
        values[self._index] = tensor
        self._module._c.setattr(self._name, values)


class _Function:
    """Outputs of a model for inputs, with other tensors in the places of some of its own."""

    def __init__(
        self,
        module: torch.jit.ScriptModule,
        slots: Mapping[str, Sequence[_Slot]],
        keys: Sequence[str | None] | None,
    ) -> None:
        self._module = module
        self._slots = slots
        self._keys = keys

    def __call__(
        self, tensors: Mapping[str, Tensor], inputs: Sequence[Tensor]
    ) -> list[tuple[str | None, Tensor]]:
        """Every tensor that the model returns, with its name where it has one. What it writes goes to `tensors`."""
        for name, tensor in tensors.items():
            for slot in self._slots[name]:
                slot.put(tensor)
        with _plain_operators():
            returned = self._module(*inputs)
        if self._keys is not None:
            return list(zip(self._keys, returned, strict=True))
        leaves = pytree.tree_leaves_with_path(returned)
        for _, leaf in leaves:
            if leaf is not None and not isinstance(leaf, Tensor):
                raise Unsupported(
                    f"the model returns a value of type {type(leaf).__name__}, expected tensors only"
                )
        return [(_key(path), leaf) for path, leaf in leaves if leaf is not None]

    def current(self, name: str) -> Tensor:
        """The tensor in that place now: a model may put another one there."""
        tensor: Tensor = self._slots[name][0]._module._c.getattr(self._slots[name][0]._name)
        return tensor


@contextlib.contextmanager
def _plain_operators() -> Iterator[None]:
    """Attention and recurrent layers by operators that have gradients here."""
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)


def _gradients(outputs: Sequence[Any], of: Sequence[Tensor]) -> list[Tensor | None]:
    """Of a sum that weighs every element of the outputs by another number."""
    total = torch.zeros(())
    for output in outputs:
        if isinstance(output, Tensor) and output.requires_grad:
            weights = torch.arange(1, output.numel() + 1, dtype=output.dtype).sin()
            total = total + (output.flatten() * weights).sum()
    if not total.requires_grad:
        return [None] * len(of)
    return list(torch.autograd.grad(total, of, allow_unused=True))


def _key(path: Sequence[Any]) -> str | None:
    if not any(isinstance(key, pytree.MappingKey) for key in path):
        return None
    return ".".join(str(getattr(key, "key", getattr(key, "idx", key))) for key in path)


def _slots(module: torch.jit.ScriptModule, names: Mapping[str, str]) -> dict[str, list[_Slot]]:
    """Every place that holds a parameter or buffer, by the name of the tensor, which is that of its first place."""
    first: dict[int, str] = {}
    found: dict[str, list[_Slot]] = {}
    alive = []
    for kind in ("_parameters", "_buffers"):
        for prefix, part in module.named_modules():
            for own, tensor in getattr(part, kind).items():
                if tensor is None:
                    continue
                alive.append(tensor)  # so that no other tensor takes its place in memory
                name = f"{prefix}.{own}" if prefix else own
                key = first.setdefault(tensor._cdata, names.get(name, name))
                found.setdefault(key, []).append(_Slot(part, own, tensor, kind == "_parameters"))
    for _, part in module.named_modules():
        if part._c.hasattr(_RECURRENT):
            for index, tensor in enumerate(part._c.getattr(_RECURRENT)):
                if tensor._cdata in first:
                    found[first[tensor._cdata]].append(_ListSlot(part, _RECURRENT, index, tensor))
    return found


def _held(module: torch.jit.ScriptModule, names: Mapping[str, str], freeze: Sequence[str]) -> frozenset[str]:
    """Names of the layers whose running statistics are frozen."""
    held = set()
    for prefix, part in module.named_modules():
        for own in _STATISTICS:
            name = f"{prefix}.{own}" if prefix else own
            if own in dict(part.named_buffers(recurse=False)) and _matches(names.get(name, name), freeze):
                held.add(prefix)
    return frozenset(held)


def _modules(module: torch.jit.ScriptModule, names: frozenset[str]) -> Iterator[Any]:
    for name, part in module.named_modules():
        if name in names:
            yield part


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns)
