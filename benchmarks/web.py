"""Speed of compiled models against what runs models in a browser: onnxruntime-web and LiteRT.js, one thread, batch 1.

    python -m benchmarks.web [--models resnet50 ...] [--rounds 10] [--json FILE]

In headless Chromium and in Node, as float32 and in 8 bits. Ours are compiled with relaxed SIMD, those in 8 bits from
the file that onnxruntime-web runs; LiteRT.js, which runs in browsers only, has the same weights, quantized by Google's
own tool. Contestants take turns as in `benchmarks.graph`. A ratio is a peer's time by ours, in the same place and
with as many bits.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import graph_modules, graph_page
from benchmarks.graph import machine
from benchmarks.graph_modules import MODELS
from benchmarks.graph_process import Contestant, in_chromium, in_node

WEB_MODELS = ("resnet50", "efficientnet-lite0", "mobilenetv2", "vit-tiny")
PEERS = ("onnxruntime-web", "LiteRT.js")
_OURS = "wasmgrad"
_PLACES = {"Chromium": in_chromium, "Node": in_node}
_SUFFIXES = {"f32": "", "int8": "-int8"}
_WARMING_SECONDS = 1.0


@dataclass(frozen=True)
class Way:
    """Which runtime runs a model, where, and in which precision."""

    place: str
    precision: str
    runtime: str

    def start(self, model: str, cache: Path) -> Contestant:
        """The contestant, when its model is loaded."""
        name = model + _SUFFIXES[self.precision]
        if self.runtime == _OURS:
            file = graph_modules.compiled(name, "relaxed")
        else:
            file = graph_modules.zoo(f"{name}.tflite" if self.runtime == "LiteRT.js" else name)
        return Contestant(_PLACES[self.place](self.runtime, file, MODELS[model].inputs), cache)


WAYS = tuple(
    Way(place, precision, runtime)
    for place in _PLACES
    for precision in _SUFFIXES
    for runtime in (_OURS, *PEERS)
    if (place, runtime) != ("Node", "LiteRT.js")
)


@dataclass(frozen=True)
class Figures:
    """What one way reached on one model."""

    model: str
    place: str
    precision: str
    runtime: str
    milliseconds: float
    """Median."""
    ratio: tuple[float, float, float]
    """Quartiles of its time by ours."""


def compare(model: str, rounds: int) -> list[Figures]:
    """One interleaved run of all ways on one model."""
    runs = MODELS[model].runs
    with tempfile.TemporaryDirectory() as cache, contextlib.ExitStack() as running:
        contestants: dict[Way, Contestant] = {}
        for way in WAYS:
            contestants[way] = way.start(model, Path(cache))
            running.callback(contestants[way].close)
        for contestant in contestants.values():
            contestant.run(max(2, int(_WARMING_SECONDS / contestant.run(1))))
        seconds: dict[Way, list[float]] = {way: [] for way in WAYS}
        for number in range(rounds):
            start = number % len(WAYS)
            for way in WAYS[start:] + WAYS[:start]:
                seconds[way].append(contestants[way].run(runs))
    return [_figures(model, way, seconds) for way in WAYS]


def _figures(model: str, way: Way, seconds: dict[Way, list[float]]) -> Figures:
    ours = seconds[Way(way.place, way.precision, _OURS)]
    low, middle, high = statistics.quantiles(
        [theirs / own for theirs, own in zip(seconds[way], ours, strict=True)], n=4
    )
    milliseconds = statistics.median(seconds[way]) * 1e3
    return Figures(model, way.place, way.precision, way.runtime, milliseconds, (low, middle, high))


def versions() -> list[str]:
    """Of the engines and the peers."""
    found = []
    for name, program in (("Chromium", graph_page.program()), ("Node", graph_modules.node())):
        line = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
        number = re.search(r"\d+(\.\d+)+", line)
        assert number is not None, line
        found.append(f"{name} {number.group()}")
    for package in ("onnxruntime-web", "@litertjs/core"):
        description = json.loads((graph_modules.peers() / package / "package.json").read_text())
        found.append(f"{package} {description['version']}")
    return found


def table(all_figures: Sequence[Figures]) -> Table:
    """A row for each model, place and precision."""
    result = Table(
        title="Models in browsers and Node, batch 1, one thread: time of each by ours (median, quartiles)"
    )
    for column in ("model", "in", "as"):
        result.add_column(column)
    for column in (_OURS, *PEERS):
        result.add_column(column, justify="right")
    before = None
    for key in dict.fromkeys((each.model, each.place, each.precision) for each in all_figures):
        row = {each.runtime: each for each in all_figures if (each.model, each.place, each.precision) == key}
        model, place, precision = key
        if before not in (None, model):
            result.add_section()
        result.add_row("" if model == before else model, place, precision, *_cells(row))
        before = model
    return result


def _cells(row: dict[str, Figures]) -> Iterator[str]:
    yield f"{row[_OURS].milliseconds:.3g} ms"
    for peer in PEERS:
        if peer in row:
            low, middle, high = row[peer].ratio
            yield f"{row[peer].milliseconds:.3g} ms, {middle:.2f}x ({low:.2f}-{high:.2f})"
        else:
            yield "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=WEB_MODELS, default=WEB_MODELS)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    figures = [each for model in options.models for each in compare(model, options.rounds)]
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(table(figures))
    console.print(", ".join([machine(), *versions()]), style="dim")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(each) for each in figures], indent=2) + "\n")


if __name__ == "__main__":
    main()
