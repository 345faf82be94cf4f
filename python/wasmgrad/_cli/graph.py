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

from .sizes import read_byte_size, tell_old_spelling

if TYPE_CHECKING:
    from .._graph.inputs import Result
    from .._graph.module import GraphModule

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
        help="A picture, an .npy array, or an .npz archive with an array for each input. May be repeated.",
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


def run(
    module: ModuleArgument,
    inputs: InputsOption,
    output: OutputOption = None,
    preprocess: PreprocessOption = None,
    labels: LabelsOption = None,
    engine: EngineOption = "wasmtime",
    weights: WeightsOption = None,
    memory: MemoryOption = None,
    max_memory: MaxMemoryOption = None,
    repeat: RepeatOption = 1,
    profile: ProfileOption = False,
    json: JsonOption = False,
) -> None:
    """Run a compiled model on pictures or arrays."""
    from .._graph import inputs as files
    from .._graph.module import load

    with _ended_by_interrupt():
        graph = load(module, engine, weights, _most_memory(memory, max_memory))
        if output is not None:
            files.check_output(output, graph)
        reader = files.InputReader(graph, preprocess, labels)
        results = []
        for path in _with_progress(inputs):
            result = reader.run(path)
            results.append(result)
            if not json:
                _print_result(result)
        times = [graph.run() for _ in range(repeat)] if repeat > 1 else []
        rows = files.profile(graph, repeat) if profile else []
    if output is not None:
        files.write_outputs(output, graph, results)
    if json:
        document = {
            "module": str(module),
            "model": graph.metadata.model.name,
            "engine": engine,
            "results": [result.as_dict() for result in results],
            "times": times,
            "profile": [row._asdict() for row in rows],
        }
        print(json_format.dumps(document, ensure_ascii=False))
        return
    if times:
        print(_summary_of(times))
    if rows:
        _print_profile(graph, rows)


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


def _with_progress(inputs: list[Path]) -> Iterator[Path]:
    """The paths, with a bar on standard error when they are many and somebody watches."""
    if len(inputs) < 2 or not sys.stderr.isatty():
        yield from inputs
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        yield from progress.track(inputs, description="Running")


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
    seconds, flops = sum(row.seconds for row in rows), graph.metadata.flops
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
