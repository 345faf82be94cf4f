"""Compiled models as Python callables: arrays in, arrays out, on any engine.

It checks what a caller hands in; the engines check what a module hands out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._errors import InvalidArgument
from .._files import write_atomic
from .engines import Engine, NativeFile, create
from .format.file import GraphFile, Source
from .format.metadata import GraphMetadata, PlanInfo, StateInfo, TensorInfo
from .pool import Outcome, Runner, run_all

__all__ = ["GraphModule", "load", "opened"]


class GraphModule:
    """A model compiled to WebAssembly, ready to run: `outputs = module(array)` or `module(name=array)`.

    A module may have several plans, for inputs of several shapes: those of the arrays choose one. Plans that are for
    something else have an entry of another name: `module.entry(name)` is called in the same way.

    One instance may not be used by several threads at a time. It is made by `load`. It can be pickled: the other
    process loads it again from the same file, or from the bytes when it was loaded from bytes, without its state.
    """

    def __init__(self, graph: GraphFile | NativeFile, engine: str, threads: int | None) -> None:
        self._graph = graph
        self._engine: Engine = create(engine, graph, threads)
        self._engine_name = engine
        self._threads = threads
        self._chosen = (0, 0)
        self._plans = self.metadata.plans
        self._plan = self._plans[0]

    @property
    def metadata(self) -> GraphMetadata:
        """What the module says about itself: plan, operators, memory, how it was compiled."""
        return self._graph.metadata

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """Names, dtypes and shapes of the inputs, in order, of the plan fed last (at first, the first)."""
        return self._plan.inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """Names, dtypes and shapes of the outputs, in order, of the same plan."""
        return self._plan.outputs

    @property
    def states(self) -> tuple[StateInfo, ...]:
        """Names, dtypes and shapes of what the module keeps from one run to the next."""
        return self.metadata.states

    @property
    def engine(self) -> str:
        """The engine it runs on: "wasmtime", "wasmedge", "node", or "native" for none."""
        return self._engine_name

    def __call__(self, /, *arrays: Any, **named: Any) -> NDArray[Any] | tuple[NDArray[Any], ...]:
        """Runs the model on NumPy arrays or torch tensors: by position, by input name, or both.

        Returns one array, or a tuple when the model has several outputs. Nothing is converted: dtype and shape must
        be the input's. Errors: `InvalidArgument` for inputs that do not fit, `RuntimeFailure` when the module fails.
        """
        return self.entry(self._plans[0].entry)(*arrays, **named)

    def entry(self, name: str) -> Callable[..., NDArray[Any] | tuple[NDArray[Any], ...]]:
        """What runs a plan of that entry, as a call of the module does one of the first plan's.

        Errors: `InvalidArgument` for an unknown name.
        """
        self._of_entry(name)

        def call(*arrays: Any, **named: Any) -> NDArray[Any] | tuple[NDArray[Any], ...]:
            self._feed(name, arrays, named)
            self._engine.run()
            return self.results()

        return call

    @property
    def entries(self) -> tuple[str, ...]:
        """Names of what the module's plans are for, the first one's first."""
        return tuple(dict.fromkeys(plan.entry for plan in self._plans))

    def feed(self, /, *arrays: Any, **named: Any) -> None:
        """Copies the inputs into the module. Errors: as for a call; then no input has been changed."""
        self._feed(self._plans[0].entry, arrays, named)

    def run(self) -> float:
        """Runs the model on the inputs it was fed, and on its states; the seconds it took. Errors: `RuntimeFailure`."""
        return self._engine.run()

    def results(self) -> NDArray[Any] | tuple[NDArray[Any], ...]:
        """Copies of the outputs of the last run: one array, or a tuple when there are several."""
        values = tuple(self._engine.read_output(index) for index in range(len(self.outputs)))
        return values[0] if len(values) == 1 else values

    def state(self, name: str) -> NDArray[Any]:
        """A copy of a state, which is zero before the first run. Errors: `InvalidArgument` for an unknown name."""
        return self._engine.read_state(self._state_index(name))

    def set_state(self, name: str, value: Any) -> None:
        """Replaces a state. Errors: `InvalidArgument` for an unknown name or an array that does not fit."""
        index = self._state_index(name)
        self._engine.write_state(index, _checked("state", self.states[index], value))

    def reset(self) -> None:
        """Makes all states zero again, as after a run that failed, which leaves them in between."""
        for index, info in enumerate(self.states):
            self._engine.write_state(index, np.zeros(info.shape, info.numpy_dtype))

    def profile(self, /, *arrays: Any, **named: Any) -> list[float]:
        """Runs the model call by call; the seconds of each call of the plan. Errors: as for a call."""
        self.feed(*arrays, **named)
        return self.profile_run()

    def profile_run(self) -> list[float]:
        """As `profile`, on the inputs it was fed."""
        return [self._engine.call(index) for index in range(len(self._plan.plan))]

    @property
    def plan(self) -> PlanInfo:
        """The plan that was fed last, at first the first one."""
        return self._plan

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the module, and `<stem>.weights` beside it when its weights are apart.

        Errors: `RuntimeFailure` with the system's reason; then `path` is as it was.
        """
        target = Path(path)
        if self._graph.weights is not None:
            write_atomic(target.with_suffix(".weights"), self._graph.weights.read())
        write_atomic(target, self._graph.module.read())

    def map(
        self,
        inputs: Iterable[Any],
        workers: int | None = None,
        runner: Callable[[GraphModule], Runner] | None = None,
    ) -> Iterator[Outcome]:
        """Runs the model on many inputs at once: an `Outcome` for each, in their order.

        An input is what a call takes: an array, a tuple of arrays, or a dict of them by name; or the path of a file as
        `wasmgrad run` takes them, whose result is a `Result`. `workers` is the number of instances, each with memory of
        its own and one thread, the usable cores when None; this instance is not used. `runner` makes of each what runs
        the inputs, where that is to be something else. A module that keeps state has one instance, whose runs go on
        from each other. Errors: `InvalidArgument`, also for more workers than that; `RuntimeFailure`; those of a single
        input are in its outcome.
        """
        from .inputs import AnyInput

        if self.states:
            if workers not in (None, 1):
                raise InvalidArgument(f"workers: a model that keeps state has one instance, not {workers}")
            workers = 1
        make = AnyInput if runner is None else runner
        return run_all(lambda: make(self._again()), inputs, workers)

    def __reduce__(self) -> tuple[Any, ...]:
        return _loaded_again, (*self._sources(), self._engine_name, self.metadata, self._threads)

    def _again(self) -> GraphModule:
        """Another instance of the same module, on one thread."""
        return _loaded_again(*self._sources(), self._engine_name, self.metadata, 1)

    def _sources(self) -> tuple[Source, Source | None]:
        """Where the module and its weights come from."""
        weights = self._graph.weights
        return self._graph.module.origin(), None if weights is None else weights.origin()

    def close(self) -> None:
        """Frees the instance now rather than with the last reference; it cannot run afterwards."""
        self._engine.close()
        self._graph.close()

    def __repr__(self) -> str:
        every = [(plan, side) for side in ("inputs", "outputs") for plan in self._plans]
        texts = [", ".join(map(plan.text_of, getattr(plan, side))) for plan, side in every]
        sides = ["; ".join(texts[: len(self._plans)]), "; ".join(texts[len(self._plans) :])]
        return f"<GraphModule {self.metadata.model.name} on {self.engine}: {sides[0]} -> {sides[1]}>"

    def _state_index(self, name: str) -> int:
        names = [info.name for info in self.states]
        if name not in names:
            listed = ", ".join(map(str, self.states)) or "none"
            raise InvalidArgument(f"there is no state {name!r}; the states are {listed}")
        return names.index(name)

    def _of_entry(self, name: str) -> list[int]:
        """Numbers of the plans of an entry."""
        found = [number for number, plan in enumerate(self._plans) if plan.entry == name]
        if not found:
            raise InvalidArgument(f"there is no entry {name!r}; the entries are {', '.join(self.entries)}")
        return found

    def _feed(self, entry: str, arrays: Sequence[Any], named: dict[str, Any]) -> None:
        numbers = self._of_entry(entry)
        infos = self._plans[numbers[0]].inputs
        values = [_as_array(value) for value in _assigned(infos, arrays, named)]
        chosen = self._fitting(numbers, values)
        plan = self._plans[chosen[0]].of_batch(chosen[1])
        ready = [_checked("input", info, value) for info, value in zip(plan.inputs, values, strict=True)]
        if chosen != self._chosen:
            self._engine.select(*chosen)
            self._chosen, self._plan = chosen, plan
        for index, array in enumerate(ready):
            self._engine.write_input(index, array)

    def _fitting(self, numbers: list[int], values: Sequence[NDArray[Any]]) -> tuple[int, int]:
        """The number and batch of the first of these plans that takes arrays of these shapes."""
        if len(numbers) == 1 and self._plans[numbers[0]].batch is None:
            return numbers[0], 0
        shapes = [value.shape for value in values]
        for number in numbers:
            batch = self._plans[number].batch_of(shapes)
            if batch is not None:
                return number, batch
        takes = "; or ".join(
            ", ".join(map(self._plans[number].text_of, self._plans[number].inputs)) for number in numbers
        )
        given = ", ".join(str(list(shape)) for shape in shapes)
        raise InvalidArgument(f"no plan takes inputs of the shapes {given}; expected {takes}")


def _assigned(infos: Sequence[TensorInfo], arrays: Sequence[Any], named: dict[str, Any]) -> list[Any]:
    """The value for each input."""
    names = [info.name for info in infos]
    listed = f"the inputs are {', '.join(map(str, infos)) or 'none'}"
    if len(arrays) > len(names):
        raise InvalidArgument(f"{len(arrays)} arrays for {len(names)} inputs; {listed}")
    values = dict(zip(names, arrays, strict=False))
    for name, value in named.items():
        if name not in names:
            raise InvalidArgument(f"there is no input {name!r}; {listed}")
        if name in values:
            raise InvalidArgument(f"input {name!r} is given by position and by name")
        values[name] = value
    if missing := [name for name in names if name not in values]:
        raise InvalidArgument(f"no array for {', '.join(map(repr, missing))}; {listed}")
    return [values[name] for name in names]


def opened(
    source: Source, engine: str, weights: Source | None = None, max_memory: int | None = None
) -> GraphFile | NativeFile:
    """The file, checked. Errors: as `load`."""
    return NativeFile(source) if engine == "native" else GraphFile(source, weights, max_memory)


def load(
    source: Source,
    engine: str = "wasmtime",
    weights: Source | None = None,
    max_memory: int | None = None,
    threads: int | None = None,
) -> GraphModule:
    """As `wasmgrad.load`, but also a module that trains is one that computes: its plans, and states by name."""
    graph = opened(source, engine, weights, max_memory)
    try:
        return GraphModule(graph, engine, threads)
    except BaseException:
        graph.close()
        raise


def _loaded_again(
    module: Source, weights: Source | None, engine: str, expected: GraphMetadata, threads: int | None
) -> GraphModule:
    """Errors: as `load`, and `InvalidArgument` when the file holds another model by now."""
    graph = load(module, engine, weights, threads=threads)
    if graph.metadata != expected:
        graph.close()
        raise InvalidArgument(f"{module!s}: this file is another one than when it was first loaded")
    return graph


def _checked(side: str, info: TensorInfo, value: Any) -> NDArray[Any]:
    array = _as_array(value)
    if array.dtype != info.numpy_dtype:
        raise InvalidArgument(f"{side} {info.name!r}: expected dtype {info.dtype}, got {array.dtype}")
    if array.shape != info.shape:
        raise InvalidArgument(
            f"{side} {info.name!r}: expected shape {list(info.shape)}, got {list(array.shape)}"
        )
    return array


def _as_array(value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # which torch does not hand to NumPy
            import ml_dtypes
            import torch

            raw: NDArray[Any] = value.view(torch.int16).numpy()
            return raw.view(ml_dtypes.bfloat16)
        return np.asarray(value.numpy())
    return np.asarray(value)
