"""The compilation of a training step: its plans, over one set of parameters and optimizer state."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._errors import InvalidArgument, Unsupported
from .._graph.format.metadata import FixedTensor, TensorInfo, Training
from ._options import CompileOptions
from ._planner import Planner
from ._shapes import variants
from ._states import States, find_states
from .frontend.importer import Imported, from_onnx
from .frontend.source import Source, of_program

if TYPE_CHECKING:
    from .training.step import TrainingStep

__all__ = ["TrainingPlans", "plan_training"]


@dataclass(frozen=True)
class TrainingPlans:
    """What is built of a training step: a source for each plan, the import of the first, what metadata says of it."""

    step: TrainingStep
    sources: list[Source]
    imported: Imported
    info: Training


def plan_training(
    model: Any, options: CompileOptions, planner: Planner, reach: Callable[[str], None]
) -> TrainingPlans:
    """Adds the plans of a training step to `planner`: first the step itself, then evaluation and prediction.

    Errors: of `open_step`; `InvalidArgument` for options that mean nothing for a training step.
    """
    from .frontend.torch_arrays import from_tensor
    from .training.check import is_exact_for_fewer
    from .training.open import open_step, recording
    from .training.step import ENTRIES

    _refuse(options)
    assert options.train is not None
    reach("read")
    step = open_step(model, _shapes(options), options.train)
    name = options.name or _name_of(model)
    sources, first = [], None
    for entry in ENTRIES:
        reach("read")
        with recording():
            program = step.program(entry)
        if entry == "step":
            partial = is_exact_for_fewer(step, program.call)
        source = of_program(program, name, step.digest)
        reach("import")
        imported = from_onnx(source.model, source.shapes, source.constants)
        reach("optimize")
        inputs, outputs = (
            tuple(TensorInfo(each.name, each.dtype, each.shape) for each in side)
            for side in (imported.inputs, imported.outputs)
        )
        if entry == "step":
            after = {info.name.removeprefix("next.") for info in outputs if info.name.startswith("next.")}
            states = find_states(
                {each: f"next.{each}" for each in step.states if each in after}, inputs, outputs
            )
            planner.add(imported.module, states, entry, [each for each in step.states if each not in after])
        else:
            planner.add_reader(imported.module, States((), (), inputs, outputs), entry)
        sources.append(source)
        first = first or replace(imported, module=None)
        del imported
    assert first is not None
    arrays = {each: from_tensor(tensor) for each, tensor in step.states.items()}
    planner.begin_with({each: array for each, array in arrays.items() if np.any(array)})
    first.parameters = sum(tensor.numel() for tensor in step.model.parameters.values())
    info = Training(
        options.train.loss,
        options.train.optimizer,
        step.batch,
        step.least,
        partial,
        options.train.top_k,
        step.classes,
        tuple(
            FixedTensor(each, hashlib.sha256(from_tensor(tensor).tobytes()).hexdigest())
            for each, tensor in step.fixed.items()
        ),
    )
    return TrainingPlans(step, sources, first, info)


def _shapes(options: CompileOptions) -> dict[str, tuple[int, ...]]:
    chosen = variants(options.shapes)
    if len(chosen) != 1 or chosen[0].batch is not None:
        raise Unsupported("shapes: a training step is compiled for one shape of each input")
    return chosen[0].at(0)


def _refuse(options: CompileOptions) -> None:
    for name in ("quantize", "preprocess", "labels"):
        if getattr(options, name) is not None:
            raise InvalidArgument(f"{name}: means nothing for a training step")
    for name in ("state", "constants"):
        if getattr(options, name):
            raise InvalidArgument(f"{name}: means nothing for a training step, which has its own")


def _name_of(model: Any) -> str:
    import os
    from pathlib import Path

    return Path(model).stem if isinstance(model, str | os.PathLike) else type(model).__name__
