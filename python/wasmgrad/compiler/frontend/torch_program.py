"""Models of torch as functions of tensors: files, once they are vetted, and objects of the caller's.

TorchScript is a program, part of which runs while it loads, so every file goes through the reader that training has:
it vets the file, makes TorchScript of a `torch.export` program, which torch's own reader would unpickle in part, and
lets no memory be read before it is written.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from ... import _core
from ..._errors import Error, InvalidArgument, InvalidEncoding, RuntimeFailure, Unsupported
from ..._graph.format.pt2 import read_exported

__all__ = ["Argument", "Program", "of_object", "read_file"]


@dataclass(frozen=True)
class Argument:
    """An input. `dtype` and `shape` are None where the model does not say; an open extent is its name."""

    name: str
    dtype: torch.dtype | None = None
    shape: tuple[int | str, ...] | None = None


@dataclass(frozen=True)
class Program:
    """`call` takes a tensor for each argument and gives what the model gives, in evaluation mode.

    `on_placeholders` is the same for tensors without values. TorchScript keeps what it computed of constants when it
    first ran, and from there on it would hold placeholders: it has a module of its own for them.
    """

    call: Callable[..., Any]
    on_placeholders: Callable[..., Any]
    arguments: list[Argument]
    format: str
    keys: list[str | None] | None = None
    """Of the tensors that `call` returns in a tuple, where it does not return the model's own structure."""

    def outputs(
        self, *tensors: torch.Tensor, placeholders: bool = False
    ) -> list[tuple[str | None, torch.Tensor]]:
        """All tensors that the model returns, in order, however they are nested; with its keys where it has some.

        Errors: `Unsupported` for a result that is neither a tensor nor nothing.
        """
        returned = (self.on_placeholders if placeholders else self.call)(*tensors)
        if self.keys is not None:
            return list(zip(self.keys, returned, strict=True))
        leaves = pytree.tree_leaves_with_path(returned)
        for _, leaf in leaves:
            if leaf is not None and not isinstance(leaf, torch.Tensor):
                raise Unsupported(
                    f"the model returns a value of type {type(leaf).__name__}, expected tensors only"
                )
        return [(_name(path), leaf) for path, leaf in leaves if leaf is not None]


def _name(path: Sequence[Any]) -> str | None:
    """The keys on the way to a result, joined by dots; none when no dictionary is among what holds it."""
    if not any(isinstance(key, pytree.MappingKey) for key in path):
        return None
    return ".".join(str(getattr(key, "key", getattr(key, "idx", key))) for key in path)


def read_file(path: Path) -> Program:
    """Vets and loads a TorchScript file (.pt), or what `torch.export.save` wrote (.pt2).

    Errors: `SecurityError`, `InvalidEncoding`, `TooLarge`, `Unsupported`, `RuntimeFailure` when it cannot be read.
    """
    try:
        archive = path.read_bytes()
    except OSError as error:
        raise RuntimeFailure(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        safe = _core.torchscript_for_inference(archive)
    except Error as error:
        raise type(error)(f"{path}: {error.message}") from error
    if path.suffix == ".pt2":
        return _exported(path, archive, safe)
    return _torchscript(path, safe)


def of_object(model: Any) -> Program:
    """A torch module, TorchScript, or a `torch.export` program.

    Errors: `InvalidArgument` for anything else, `Unsupported` for a program whose inputs are not tensors.
    """
    if isinstance(model, torch.export.ExportedProgram):
        return _of_program(model)
    if isinstance(model, torch.jit.ScriptModule):
        buffer = io.BytesIO()
        torch.jit.save(model, buffer)
        return _torchscript("the module", buffer.getvalue())  # a copy, whose mode is ours
    if isinstance(model, torch.nn.Module):

        def call(*tensors: torch.Tensor) -> Any:
            with _evaluating(model):
                return model(*tensors)

        return Program(call, call, [Argument(name) for name in _parameters(model)], "torchscript")
    raise InvalidArgument(
        f"a model is a path, an onnx.ModelProto, a torch module or an exported program, not {type(model)}"
    )


def _torchscript(path: Path | str, archive: bytes) -> Program:
    module, twin, names = _loaded(path, archive)
    return Program(module, twin, [Argument(name) for name in names], "torchscript")


def _exported(path: Path, archive: bytes, safe: bytes) -> Program:
    module, twin, names = _loaded(path, safe)
    program = read_exported(archive, path)
    arguments: list[Argument] = []
    for name, tensor in zip(names, program.inputs, strict=True):
        dtype = getattr(torch, tensor.dtype, None)
        if dtype is None:
            raise Unsupported(f"{path}: the input {name!r} has an element type that models here do not take")
        arguments.append(Argument(name, dtype, tensor.shape))
    return Program(module, twin, arguments, "torch.export", program.keys)


def _loaded(
    path: Path | str, archive: bytes
) -> tuple[torch.jit.ScriptModule, torch.jit.ScriptModule, list[str]]:
    """The module, another over the same weights, and the names of its arguments."""
    records = {_NAMES_RECORD: ""}  # to be filled
    try:
        loaded, twin = (
            torch.jit.load(io.BytesIO(archive), map_location="cpu", _extra_files=records)  # type: ignore[no-untyped-call]
            for _ in range(2)
        )
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise InvalidEncoding(f"{path}: torch cannot load it: {reason}") from error
    for tensors, others in ((loaded.parameters(), twin.parameters()), (loaded.buffers(), twin.buffers())):
        for tensor, other in zip(tensors, others, strict=True):
            other.data = tensor.data
    carried = _parameters(loaded)
    own = _own_names(path, records[_NAMES_RECORD])
    names = [own.get(name, name) for name in carried]
    if len(set(names)) != len(names):
        raise InvalidEncoding(f"{path}: its record of names gives two arguments the same one")
    return loaded.eval(), twin.eval(), names


_NAMES_RECORD = "wasmgrad_names.json"


def _own_names(path: Path | str, record: str | bytes) -> dict[str, str]:
    """The arguments' own names by those that TorchScript carries, where a saved model has such a record."""
    if not record:
        return {}
    try:
        names = json.loads(record)["arguments"]
        if all(isinstance(name, str) for pair in names.items() for name in pair):
            return dict(names)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise InvalidEncoding(f"{path}: its record of names is damaged")


def _of_program(program: torch.export.ExportedProgram) -> Program:
    module = program.module(check_guards=False)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    arguments: list[Argument] = []
    fixed: list[
        Any
    ] = []  # of each input: None for a tensor, a value that the program was exported for in a tuple
    for spec in program.graph_signature.input_specs:
        if spec.kind is not torch.export.graph_signature.InputKind.USER_INPUT:
            continue
        value = values.get(spec.arg.name)
        if isinstance(value, torch.Tensor):
            shape = tuple(extent if isinstance(extent, int) else str(extent) for extent in value.shape)
            arguments.append(Argument(spec.arg.name, value.dtype, shape))
            fixed.append(None)
        elif isinstance(spec.arg, torch.export.graph_signature.ConstantArgument):
            fixed.append((spec.arg.value,))
        else:
            raise Unsupported(f"input {spec.arg.name!r} is not a tensor; only dense tensors are supported")
    structure = program.call_spec.in_spec

    def call(*tensors: torch.Tensor) -> Any:
        given = iter(tensors)
        leaves = [next(given) if constant is None else constant[0] for constant in fixed]
        args, kwargs = pytree.tree_unflatten(leaves, structure) if structure else (leaves, {})
        return module(*args, **kwargs)

    return Program(call, call, arguments, "torch.export")


def _parameters(model: torch.nn.Module) -> list[str]:
    """Names of what `forward` takes, without those that have a default."""
    forward: Any = getattr(model, "forward", None)
    if forward is None:
        raise InvalidArgument("the model has no method 'forward'")
    if isinstance(model, torch.jit.ScriptModule):
        arguments = forward.schema.arguments[1:]
        return [argument.name for argument in arguments if not argument.has_default_value()]
    parameters = inspect.signature(forward).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty]


@contextlib.contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The whole model in evaluation mode, and each of its modules as it was afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
