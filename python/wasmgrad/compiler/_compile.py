"""The compilation of one model, stage by stage."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tvm

from .._errors import Error, InvalidArgument, TooLarge
from .._files import write_atomic
from .._graph.format import wasm
from .._graph.format.cpu import LEVELS, best_level
from .._graph.format.metadata import (
    ABI,
    GraphMetadata,
    Memory,
    Model,
    Options,
    Preprocess,
    TensorInfo,
    Training,
    Weights,
)
from .._graph.pictures import preprocessing
from .._version import __version__
from ._batch import sample_batches
from ._blame import blamed
from ._foreign import unsupported
from ._options import CompileOptions
from ._planner import Machine, Planner
from ._shapes import Variant, shapes_text, variants
from ._states import States, find_states
from ._train import plan_training
from .backend.codegen import build_object
from .backend.layout import lay_out, memory_of_thread, weights
from .backend.link import finish, link
from .backend.native import link_library, target_options
from .backend.schedules import scheduled
from .backend.search import Found, search
from .backend.symbolic import number_of_batch
from .frontend.importer import Imported, Tensor, from_onnx
from .frontend.source import Source, opener
from .quantization import QuantizationReport, quantized

if TYPE_CHECKING:
    from .training.step import TrainingStep

__all__ = ["STAGES", "Compiled", "build", "compile_model"]

STAGES = ("read", "quantize", "import", "optimize", "schedule", "generate", "link")


@dataclass(frozen=True)
class Compiled:
    """A graph module (or native library), and what it was made of: `source` is the model as it was read, or quantized.

    `sources` has it for each plan, with the shapes that it takes.

    `weights` are the side file's bytes, None when the module holds them. `graph_object` and `archive` are the object
    file and libgraph_wasm32.a (None for a library); `all_weights` is the image of all constants, wherever it ended
    up. `quantization` is None for a model that was not quantized, `training` for a module that does not train.
    """

    module: bytes
    weights: bytes | None
    metadata: GraphMetadata
    graph_object: bytes
    archive: bytes | None
    all_weights: bytes
    source: Source
    sources: tuple[Source, ...]
    quantization: QuantizationReport | None = None
    training: TrainingStep | None = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the module, and `<stem>.weights` beside it when the weights are apart.

        Errors: `RuntimeFailure` with the system's reason.
        """
        target = Path(path)
        if self.weights is not None:
            write_atomic(target.with_suffix(".weights"), self.weights)
        write_atomic(target, self.module)

    def keep(self, folder: str | os.PathLike[str]) -> None:
        """Writes graph.o, libgraph_wasm32.a, weights.bin and plan.txt into the folder, which is made when missing."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        write_atomic(target / "graph.o", self.graph_object)
        if self.archive is not None:
            write_atomic(target / "libgraph_wasm32.a", self.archive)
        write_atomic(target / "weights.bin", self.all_weights)
        write_atomic(target / "plan.txt", self.plan_text().encode())

    def plan_text(self) -> str:
        """The plan for people: a line for each call with kernel, FLOPs, bytes."""
        lines = []
        for plan in self.metadata.plans:
            if self.metadata.further:
                lines.append(f"{plan.entry}: {', '.join(map(plan.text_of, plan.inputs))}")
            lines.append(f"{'call':>4}  {'MFLOP':>10}  {'KiB':>10}  kernel  name")
            for index, entry in enumerate(plan.plan):
                work = f"{index:>4}  {entry.flops / 1e6:>10.3f}  {entry.bytes / 1024:>10.1f}"
                lines.append(f"{work}  {entry.kernel}  {entry.name}")
        return "\n".join(lines) + "\n"


def compile_model(
    model: Any,
    options: CompileOptions,
    on_stage: Callable[[str], object] = lambda stage: None,
    on_kernel: Callable[[Found], object] = lambda found: None,
) -> Compiled:
    """Compiles what `open_source` takes.

    `on_stage` is called with each of `STAGES` before it begins, `on_kernel` after the search for a kernel's schedule.
    Errors: of the source, and of `quantized`; `Unsupported` naming the operator, or the stage whose tools fail;
    `TooLarge` for a 32-bit module; `NotFound` without a linker.
    """
    reached = STAGES[0]
    models: _Models | None = None

    def reach(stage: str) -> None:
        nonlocal reached
        reached = stage
        on_stage(stage)

    try:
        if options.train is not None:
            return _compile_training(model, options, reach, on_kernel)
        reach("read")
        plans = [each for variant in _checked(options) for each in _plans_of(variant)]
        models = _Models(model, options, reach, several=len(plans) > 1 or plans[0][1] is not None)
        planner = Planner(_machine(options), options.opt_level)
        made = [models.add_to(planner, shapes, within) for shapes, within in plans]
        models.imported = None  # whose weights the plans have; it is made again for who asks what failed
        sources = [source for source, _ in made]
        compiled = build(planner, sources, made[0][1], options, reach, on_kernel)
        return replace(compiled, quantization=models.report)
    except (Error, OSError):
        raise
    except MemoryError as error:
        raise TooLarge(f"the memory does not suffice to compile this model (stage {reached!r})") from error
    except Exception as error:  # TVM and ONNX report what they cannot do by many classes
        node = None if models is None else models.blamed()
        raise unsupported(node or _of_the_whole(reached, options.opt_level), error) from error


_ShapesAt = Callable[[int], dict[str, tuple[int, ...]]]


class _Models:
    """A model with the shapes that it is compiled for, one after another. `imported` is the last one."""

    def __init__(
        self, model: Any, options: CompileOptions, reach: Callable[[str], None], *, several: bool
    ) -> None:
        self._options = options
        self._reach = reach
        self._several = several
        self._at = opener(model, options.constants)
        self._source: Source | None = None
        self.imported: Imported | None = None
        self.report: QuantizationReport | None = None

    def add_to(self, planner: Planner, shapes: _ShapesAt, within: range | None) -> tuple[Source, Imported]:
        """Adds a plan; returns the model with its shapes, or with those of the largest batch."""
        if within is None:
            source, imported, states = self._import(shapes(0))
            planner.add(imported.module, states)
            return source, replace(imported, module=None)
        samples, ends, made = [], [], []
        for batch in sample_batches(within):
            source, imported, states = self._import(shapes(batch))
            samples.append(planner.lowered(imported.module, batch, within[-1]))
            ends.append(states)
            made.append((source, replace(imported, module=None)))
        planner.add_range(samples, within, ends)
        return made[0]

    def blamed(self) -> str | None:
        """A sentence that names the node for which code cannot be generated, if there is one."""
        source = self._source
        if source is None:
            return None
        imported = self.imported or from_onnx(source.model, source.shapes, source.constants)
        return blamed(imported, source.model, _machine(self._options).target)

    def _import(self, shapes: dict[str, tuple[int, ...]]) -> tuple[Source, Imported, States]:
        try:
            source = self._at(shapes)
            self._reach("quantize")
            if self._options.quantize is not None:
                source, self.report = quantized(source, self._options)
            self._reach("import")
            imported = from_onnx(source.model, source.shapes, source.constants)
            self._reach("optimize")
            states = find_states(self._options.state, _infos(imported.inputs), _infos(imported.outputs))
        except Error as error:
            if not self._several:
                raise
            raise type(error)(f"with {shapes_text(shapes)}: {error.message}") from error
        self._source, self.imported = source, imported
        return source, imported, states


def _checked(options: CompileOptions) -> list[Variant]:
    """The shapes that are wanted. Errors: `InvalidArgument`, also for what is possible with one of them only."""
    chosen = variants(options.shapes)
    if options.quantize is not None and (len(chosen) > 1 or chosen[0].batch is not None):
        raise InvalidArgument(
            "quantize: the model is quantized for one shape of each input; quantize it by onnxruntime's tools, which "
            "keep shapes open, and compile the result for several"
        )
    if options.state and any(variant.batch is not None for variant in chosen):
        raise InvalidArgument("state: a model that keeps state has one batch; give shapes with numbers alone")
    return chosen


def _plans_of(variant: Variant) -> Iterator[tuple[_ShapesAt, range | None]]:
    """The plans that a variant needs: one, or for a batch one for a single sample and one for several.

    A single one is what most ask for, and has kernels that no other number has.
    """
    if variant.batch is None:
        yield variant.at, None
        return
    several = variant.batch
    if several[0] == 1:
        yield (lambda _: variant.at(1)), None
        several = several[1:]
    if len(several) == 1:
        yield (lambda _: variant.at(several[0])), None
    else:
        yield variant.at, several


def _compile_training(
    model: Any,
    options: CompileOptions,
    reach: Callable[[str], None],
    on_kernel: Callable[[Found], object],
) -> Compiled:
    planner = Planner(_machine(options), options.opt_level)
    plans = plan_training(model, options, planner, reach)
    compiled = build(planner, plans.sources, plans.imported, options, reach, on_kernel, plans.info)
    return replace(compiled, training=plans.step)


def _of_the_whole(stage: str, level: int) -> str:
    """The sentence of a failure for which no node is to blame."""
    if stage in ("read", "quantize", "import"):
        advice = ""
    elif level > 0:
        advice = "each operator alone can, so opt_level 0 may help; "
    else:
        advice = "each operator alone can; "
    return f"this model cannot be compiled (stage {stage!r}): {advice}WASMGRAD_DEBUG=1 shows what the compiler said"


def build(
    planner: Planner,
    sources: Sequence[Source],
    imported: Imported,
    options: CompileOptions,
    on_stage: Callable[[str], object] = lambda stage: None,
    on_kernel: Callable[[Found], object] = lambda found: None,
    training: Training | None = None,
) -> Compiled:
    """The stages after the plans are made. `sources`: one for each of them; `imported`: the first of them."""
    program, machine = planner.program, planner.machine
    on_stage("schedule")
    called = planner.called()
    fixed = _by_variable({name: each for name, each in called.items() if number_of_batch(each) is None})
    if options.tune > 0:
        search(program.plans, fixed, machine.target, options.simd, options.tune, on_kernel)
    for_any = {name: each for name, each in called.items() if number_of_batch(each) is not None}
    fast = {**scheduled(fixed, machine.target), **_by_variable(for_any)}
    on_stage("generate")
    layout = lay_out(program)
    thread_bytes = memory_of_thread(kernel.scratch_bytes() for kernel in planner.kernels)
    graph_object, scratch_bytes = build_object(
        {**fast, **_by_variable(planner.in_place)},
        program,
        layout,
        machine.target,
        options.threads,
        thread_bytes,
        embedded=options.weights == "embed",
    )
    on_stage("link")
    image = weights(program, layout)
    workspace = layout.workspace_bytes + scratch_bytes + (options.threads - 1) * thread_bytes
    first, *further = planner.plan_infos()
    program.constants.clear()  # of which there are enough copies
    source = sources[0]
    metadata = GraphMetadata(
        abi=ABI,
        producer=f"wasmgrad {__version__}",
        model=Model(options.name or source.name, source.format, source.sha256, imported.opset),
        inputs=first.inputs,
        outputs=first.outputs,
        operators=dict(imported.operators.most_common()),
        parameters=imported.parameters,
        flops=first.flops,
        memory=Memory(layout.weights_bytes + workspace, layout.weights_bytes, workspace),
        weights=Weights(options.weights, len(image), hashlib.sha256(image).hexdigest()),
        options=Options(machine.simd, options.opt_level, options.threads),
        plan=first.plan,
        preprocess=_preprocess(options, first.inputs),
        labels=options.labels,
        states=planner.states,
        entry=first.entry,
        batch=first.batch,
        further=tuple(further),
        training=training,
    )
    return _linked(graph_object, image, metadata, options, sources)


def _by_variable(functions: Mapping[str, Any]) -> dict[Any, Any]:
    return {tvm.ir.GlobalVar(name): function for name, function in functions.items()}


def _linked(
    graph_object: bytes,
    image: bytes,
    metadata: GraphMetadata,
    options: CompileOptions,
    sources: Sequence[Source],
) -> Compiled:
    """The last stage."""
    simd = metadata.options.simd
    if options.target == "native":
        library = link_library(graph_object, image, metadata, simd)
        return Compiled(library, None, metadata, graph_object, None, image, sources[0], tuple(sources))
    linked = link(
        graph_object,
        simd,
        has_states=bool(metadata.states),
        selects=metadata.selects,
        threads=options.threads > 1,
    )
    pages = linked.pages(metadata.memory.bytes)
    whole = replace(metadata.memory, bytes=pages * wasm.PAGE)
    metadata = replace(metadata, memory=whole)
    embedded = options.weights == "embed"
    module_bytes = finish(linked, pages, image if embedded else None, metadata)
    weights_apart = None if embedded else image
    return Compiled(
        module_bytes, weights_apart, metadata, graph_object, linked.archive, image, sources[0], tuple(sources)
    )


def _machine(options: CompileOptions) -> Machine:
    if options.target == "native":
        level = best_level()
        chosen, lanes, simd = target_options(level), LEVELS[level][0], level
    else:
        # Generated code gains nothing from relaxed SIMD, and WasmEdge's compiler fails on its relaxed lane selects.
        features = ["+bulk-memory", *([] if options.simd == "off" else ["+simd128"])]
        chosen = {
            "kind": "llvm",
            "mtriple": "wasm32-unknown-unknown",
            "mattr": features,
            "num-cores": 1,
            "vector-width": 128,
        }
        lanes, simd = (1 if options.simd == "off" else 4), options.simd
    target = tvm.target.Target(chosen)
    return Machine(target.with_host(target), lanes, simd)


def _preprocess(options: CompileOptions, inputs: Sequence[TensorInfo]) -> Preprocess | None:
    if not isinstance(options.preprocess, str):
        return options.preprocess
    if not inputs:
        raise InvalidArgument("the model has no input that a picture could become")
    return preprocessing(options.preprocess, inputs[0])


def _infos(tensors: Iterable[Tensor]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors)
