"""Torch models as ONNX models.

A model is run once with placeholders of the shapes that it is compiled for, and what it asks of torch's dispatcher is
recorded: branches on shapes and scripted control flow are gone, whatever the model was written in. torch's exporter
then translates operator by operator. Its optimizer is left out: it compares constants with an absolute tolerance, so
that small ones vanish.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper

from ..._errors import Error, InvalidArgument, RuntimeFailure, Unsupported
from . import torch_attention, torch_exact, torch_indexing
from .normalize import static_shape
from .reference import Arrays, Reference
from .rename import rename
from .torch_arrays import from_tensor, to_tensor
from .torch_known import with_known_values
from .torch_program import Argument, Program

__all__ = ["from_torch", "quiet", "unspecialized"]

_OPSET = 18
_SHOWN = 300  # characters of an exporter's message
_MOST_TRIALS = 64  # of element types


class _Function(torch.nn.Module):
    """What the exporter takes: the program as a module whose tensors are constants to it.

    `run` calls it. It is kept out of torch's sight, which would look into it and restore what it changes.
    """

    def __init__(self, run: Callable[..., tuple[torch.Tensor, ...]]) -> None:
        super().__init__()
        self.__dict__["run"] = run

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.__dict__["run"](*tensors)


def from_torch(
    program: Program, shapes: Mapping[str, Sequence[int]], constants: Arrays, name: str
) -> tuple[onnx.ModelProto, Reference]:
    """The program for inputs of one shape, as ONNX, and what torch itself computes.

    shapes: of inputs whose own are open or unknown. constants: arrays for inputs that become part of the model.
    Where the program does not say an element type, it is float32, or int64 where the program runs with that only.
    Errors: `InvalidArgument` when a shape is missing or does not fit, `Unsupported` naming the operator.
    """
    with unspecialized():
        examples = _examples(program, shapes, constants, name)
    try:
        with unspecialized(), quiet(), torch.no_grad(), torch_exact.exact_constants():
            exported, names = _recorded(program, examples)
            translated = torch.onnx.export(exported, dynamo=True, optimize=False, opset_version=_OPSET)
            assert translated is not None, "without a file name, the exporter returns a program"
            proto = translated.model_proto
    except Error as error:
        raise type(error)(f"{name}: {error.message}") from error
    except Exception as error:
        raise Unsupported(f"{name}: {_reason(error)}") from error
    rename(proto, [argument.name for argument in program.arguments], names)
    return proto, Reference("torch", lambda inputs: _outputs(program, inputs))


def _recorded(
    program: Program, examples: Sequence[torch.Tensor]
) -> tuple[torch.export.ExportedProgram, list[str | None]]:
    """What the program asks of torch, and the names of its outputs."""
    names: list[str | None] = []

    def run(*tensors: torch.Tensor, placeholders: bool = False) -> tuple[torch.Tensor, ...]:
        results = program.outputs(*tensors, placeholders=placeholders)
        names[:] = [name for name, _ in results]
        return tuple(tensor for _, tensor in results)

    try:
        on_placeholders = _Function(functools.partial(run, placeholders=True))
        exported = torch.export.export(on_placeholders, tuple(examples), strict=False)
    except Exception as error:
        if not _depends_on_data(error):
            raise
        try:
            known = with_known_values(run, examples)
        except Exception:
            raise error from None
        exported = torch.export.export(known, tuple(examples), strict=False)
    decompositions = {
        **torch_exact.DECOMPOSITIONS,
        **torch_attention.DECOMPOSITIONS,
        **torch_indexing.DECOMPOSITIONS,
    }
    return exported.run_decompositions(decompositions), names


def _outputs(program: Program, inputs: Arrays) -> list[NDArray[Any]]:
    try:
        with torch.no_grad():
            tensors = [to_tensor(inputs[argument.name]) for argument in program.arguments]
            return [from_tensor(tensor) for _, tensor in program.outputs(*tensors)]
    except Exception as error:
        raise RuntimeFailure(f"torch cannot run the model: {_last_line(error)}") from error


def _examples(
    program: Program, shapes: Mapping[str, Sequence[int]], constants: Arrays, name: str
) -> list[torch.Tensor]:
    arguments = program.arguments
    names = [argument.name for argument in arguments]
    given = {**shapes, **{key: np.shape(value) for key, value in constants.items()}}
    unknown = [key for key in given if key not in names]
    missing = [each.name for each in arguments if each.shape is None and each.name not in given]
    if unknown or missing:
        hint = " ".join(f"--input {wanted}=..." for wanted in names)
        raise InvalidArgument(
            f"{name}: the inputs are {', '.join(names)}, and a torch module does not say their shapes: "
            f"give each its own (such as {hint}, 1x3x224x224)"
        )
    static = [
        tuple(given[each.name]) if each.shape is None else _static_shape(each, given.get(each.name))
        for each in arguments
    ]
    dtypes = [
        to_tensor(np.asarray(constants[each.name])).dtype if each.name in constants else each.dtype
        for each in arguments
    ]
    return _runnable(program, static, dtypes)


def _static_shape(argument: Argument, given: Sequence[int] | None) -> tuple[int, ...]:
    assert argument.dtype is not None
    assert argument.shape is not None
    elem_type = helper.np_dtype_to_tensor_dtype(from_tensor(torch.empty(0, dtype=argument.dtype)).dtype)
    return static_shape(helper.make_tensor_value_info(argument.name, elem_type, argument.shape), given)


def _runnable(
    program: Program, shapes: Sequence[Sequence[int]], dtypes: Sequence[torch.dtype | None]
) -> list[torch.Tensor]:
    """Zeros of the element types that are known; for the others, of the first that the program runs with."""
    choices = [(torch.float32, torch.int64) if dtype is None else (dtype,) for dtype in dtypes]
    trials = [
        [torch.zeros(tuple(shape), dtype=dtype) for shape, dtype in zip(shapes, chosen, strict=True)]
        for chosen in itertools.islice(itertools.product(*choices), _MOST_TRIALS)
    ]
    if len(trials) > 1:
        for trial in trials:
            with quiet(), torch.no_grad(), contextlib.suppress(Exception):
                program.outputs(*trial)
                return trial
    return trials[0]


@contextlib.contextmanager
def unspecialized() -> Iterator[None]:
    """TorchScript that first runs in here stays as it was written, however often it runs.

    After some runs its executor rewrites a graph for what it has seen. Without an executor, numbers that a trace holds
    as tensors would count as tensors in the types of results.
    """
    runs: Any = torch._C._jit_set_num_profiled_runs(1 << 30)  # type: ignore[arg-type]  # its stub is wrong
    try:
        yield
    finally:
        torch._C._jit_set_num_profiled_runs(runs)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's notes on deprecation and progress."""
    with (
        warnings.catch_warnings(),
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)


_DATA_DEPENDENT = ("data-dependent", "DataDependent", "DynamicOutputShape", "_local_scalar_dense")


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__
    return chain


def _text(chain: Sequence[BaseException]) -> str:
    return "\n".join(f"{type(each).__name__}: {each}" for each in chain)


def _depends_on_data(error: BaseException) -> bool:
    return any(word in _text(_chain(error)) for word in _DATA_DEPENDENT)


def _reason(error: BaseException) -> str:
    """A sentence about what torch's exporter could not do, naming the operator where it does."""
    chain = _chain(error)
    text = _text(chain)
    if any(word in text for word in _DATA_DEPENDENT):
        return (
            "a branch, a loop, an assertion or a size depends on the values of a tensor, which a compiled model "
            f"cannot follow ({_last_line(chain[-1])})"
        )
    missing = re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)', overload='(\w+)'\)>", text)
    if missing:
        return f"the operator {missing[1]} (overload {missing[2]}) is not supported"
    return f"torch cannot export it to ONNX: {_last_line(chain[-1])}"


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:_SHOWN]
