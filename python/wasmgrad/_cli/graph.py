"""`wasmgrad run` and `wasmgrad inspect`: options, and what is printed. Modules are run and pictures read elsewhere."""

from __future__ import annotations

import contextlib
import json as json_format
import math
import signal
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._errors import InvalidArgument, RuntimeFailure
from .sizes import read_byte_size, tell_old_spelling

if TYPE_CHECKING:
    from .._graph.inputs import Result
    from .._graph.module import GraphModule
    from .._graph.pool import Outcome

__all__ = ["inspect", "run"]

_INPUT, _MODULE, _MEASURE = "Inputs and outputs", "Module", "Measuring"

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document.")]
ModuleArgument = Annotated[Path, typer.Argument(metavar="MODULE", help="A compiled model, a .wasm file.")]
InputsOption = Annotated[
    list[Path],
    typer.Option(
        "--input",
        "-i",
        metavar="FILE",
        help="A picture, an .npy array, an .npz archive with an array for each input, or a folder of these. "
        "May be repeated; a model that keeps state goes on from one to the next.",
        rich_help_panel=_INPUT,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the outputs to an .npy or .npz file; of several inputs, one after another.",
        rich_help_panel=_INPUT,
    ),
]
PreprocessOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How pictures become tensors: imagenet, raw, or a JSON file.",
        show_default="as compiled",
        rich_help_panel=_INPUT,
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Class names, one a line.", rich_help_panel=_INPUT),
]
EngineOption = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="wasmtime, wasmedge, node, or native for a library.", rich_help_panel=_MODULE
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The weights of a module compiled with --weights file.",
        show_default="beside it",
        rich_help_panel=_MODULE,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="How many threads run a module compiled with --threads.",
        show_default="as many as there are CPUs",
        rich_help_panel=_MODULE,
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Refuse a module that needs more memory.", rich_help_panel=_MODULE),
]
MaxMemoryOption = Annotated[int | None, typer.Option(min=1, hidden=True)]  # as version 0.1 called it, in MiB
RepeatOption = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Run the last input N times and show the times.",
        rich_help_panel=_MEASURE,
    ),
]
ProfileOption = Annotated[
    bool, typer.Option("--profile", help="Show the time of each layer.", rich_help_panel=_MEASURE)
]


WorkersOption = Annotated[
    int,
    typer.Option(
        min=1, metavar="N", help="Run so many inputs at once, each in an instance.", rich_help_panel=_MODULE
    ),
]


def run(
    module: ModuleArgument,
    inputs: InputsOption,
    output: OutputOption = None,
    preprocess: PreprocessOption = None,
    labels: LabelsOption = None,
    engine: EngineOption = "wasmtime",
    weights: WeightsOption = None,
    threads: ThreadsOption = None,
    memory: MemoryOption = None,
    max_memory: MaxMemoryOption = None,
    workers: WorkersOption = 1,
    repeat: RepeatOption = 1,
    profile: ProfileOption = False,
    json: JsonOption = False,
) -> None:
    """Run a compiled model on pictures or arrays."""
    from .._graph import inputs as files
    from .._graph.module import load

    if workers > 1 and (repeat > 1 or profile):
        raise InvalidArgument(
            "--workers: measuring needs a single instance; leave out --repeat and --profile"
        )
    with _ended_by_interrupt():
        graph = load(module, engine, weights, _most_memory(memory, max_memory), threads)
        if output is not None:
            files.check_output(output, graph)
        paths = files.listed(inputs)
        reader = files.InputReader(graph, preprocess, labels)
        outcomes = (
            graph.map(paths, workers, lambda instance: files.InputReader(instance, preprocess, labels))
            if workers > 1
            else reader.run_all(paths)
        )
        done = [_told(outcome, len(paths), json) for outcome in _with_progress(outcomes, len(paths))]
        times = [graph.run() for _ in range(repeat)] if repeat > 1 else []
        rows = files.profile(graph, repeat) if profile else []
    results = [outcome.result for outcome in done if outcome.error is None]
    if output is not None and results:
        files.write_outputs(output, graph, results)
    if json:
        document = {
            "module": str(module),
            "model": graph.metadata.model.name,
            "engine": engine,
            "results": [_as_dict(outcome) for outcome in done],
            "times": times,
            "profile": [row._asdict() for row in rows],
        }
        print(json_format.dumps(document, ensure_ascii=False))
    elif times:
        print(_summary_of(times))
    if rows and not json:
        _print_profile(graph, rows)
    if len(results) < len(done):
        raise RuntimeFailure(f"{len(done) - len(results)} of {len(done)} inputs failed")


def _told(outcome: Outcome, count: int, json: bool) -> Outcome:
    """The outcome of one of `count` inputs, which has been printed. Errors: that of the only one."""
    if outcome.error is not None and count == 1:
        raise outcome.error
    if outcome.error is not None:
        print(f"wasmgrad: {outcome.error.message}", file=sys.stderr)
    elif not json:
        _print_result(outcome.result)
    return outcome


def _as_dict(outcome: Outcome) -> dict[str, Any]:
    """For JSON."""
    if outcome.error is None:
        found: dict[str, Any] = outcome.result.as_dict()
        return found
    return {"input": str(outcome.input), "error": outcome.error.message}


def _most_memory(memory: str | None, max_memory: int | None) -> int | None:
    if memory is not None:
        return read_byte_size("--memory", memory)
    if max_memory is None:
        return None
    tell_old_spelling("--max-memory", "--memory SIZE")
    return max_memory << 20


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .wasm, .onnx, .pt or .pt2 file.")],
    json: JsonOption = False,
) -> None:
    """Say what a model file holds: inputs, outputs, operators, parameters, FLOPs, memory."""
    from .._graph.inspect import inspect as summarize

    summary = summarize(file)
    if json:
        print(json_format.dumps(summary.as_dict(), ensure_ascii=False))
        return
    facts = [("format", summary.format)]
    facts += [("input", text) for text in summary.inputs] + [("output", text) for text in summary.outputs]
    facts += [("state", text) for text in summary.states]
    facts += [("operators", ", ".join(f"{count} {name}" for name, count in summary.operators.items()))]
    facts += [("parameters", f"{summary.parameters:,}")]
    if summary.flops is not None:
        facts.append(("FLOPs", f"{summary.flops:,}"))
    if summary.memory_bytes is not None:
        facts.append(("memory", f"{summary.memory_bytes:,} bytes"))
    facts += summary.details.items()
    width = max(len(name) for name, _ in facts)
    print(summary.file)
    for name, text in facts:
        print(f"  {name:<{width}}  {text}")


@contextlib.contextmanager
def _ended_by_interrupt() -> Iterator[None]:
    """Lets Ctrl-C end the process at once: compiled code does not return to the interpreter before it is done."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _with_progress(outcomes: Iterator[Outcome], count: int) -> Iterator[Outcome]:
    """The outcomes, with a bar on standard error when they are many and somebody watches."""
    if count < 2 or not sys.stderr.isatty():
        yield from outcomes
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        yield from progress.track(outcomes, count, description="Running")


def _print_result(result: Result) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if result.original is None:
        for name, array in result.outputs.items():
            shape = ", ".join(map(str, array.shape))
            described = f"{result.path}: {name}: {array.dtype}[{shape}]"
            if array.size and array.dtype.kind in "fiu":
                described += f", {array.min():.6g} to {array.max():.6g}, mean {array.mean():.6g}"
            print(described)
        return
    print(f"original image dimensions: {result.original}")
    print(f"resized image dimensions: {result.resized}")
    if not result.classes:
        return
    print(f"input image belongs to the class: {result.classes[0]}")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("class", justify="right")
    table.add_column("name")
    table.add_column("probability", justify="right")
    for found in result.classes:
        table.add_row(str(found.number), found.label or "", f"{found.probability:.4f}")
    Console().print(table)


def _summary_of(times: list[float]) -> str:
    ordered = sorted(times)
    p90 = ordered[math.ceil(0.9 * len(ordered)) - 1]
    return f"{len(times)} runs: median {statistics.median(times) * 1e3:.2f} ms, p90 {p90 * 1e3:.2f} ms"


def _print_profile(graph: GraphModule, rows: list[Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_footer=True)
    seconds, flops = sum(row.seconds for row in rows), graph.plan.flops
    table.add_column("layer", "total")
    table.add_column("kernel")
    table.add_column("ms", f"{seconds * 1e3:.3f}", justify="right")
    table.add_column("GFLOP/s", f"{flops / max(seconds, 1e-9) / 1e9:.1f}", justify="right")
    table.add_column("share", "100.0 %", justify="right")
    for row in rows:
        table.add_row(
            row.name, row.kernel, f"{row.seconds * 1e3:.3f}", f"{row.gflops:.1f}", f"{row.share:.1%}"
        )
    Console().print(table)
