"""Speed of compiled models against onnxruntime-web, as ratios from one interleaved run, one thread, batch 1.

    python -m benchmarks.graph [--models resnet50 ...] [--rounds 10] [--json FILE]

Each contestant is a process of its own that has loaded and warmed its model; runs go to them in turn, in an
order that rotates, so that a noisy machine is noisy for all. The ratio of a round is onnxruntime-web's
time by the contestant's. Beside each of our contestants a second one measures, in the same turns, the engine's
attainable SIMD peak (`peak.c`), and a third one runs the same module with kernels that return at once: the time that a
run spends outside its kernels. Of calls and peak, the fastest of all turns count.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import graph_modules
from benchmarks.graph_modules import MODELS
from benchmarks.graph_process import NATIVE, OURS, PEER, Contestant, Way

_WARMING_SECONDS = 1.0
_HOLLOW_WARMING, _HOLLOW_RUNS = 1000, 100


@dataclass(frozen=True)
class Figures:
    """What one way reached on one model. Times are medians; shares are of the engine's attainable SIMD peak."""

    model: str
    way: str
    milliseconds: float
    ratio: tuple[float, float, float]
    """Quartiles of onnxruntime-web's time by this one's."""
    peak_gflops: float | None = None
    direct_share: float | None = None
    """Of convolutions that do the multiplications of their definition."""
    winograd_share: float | None = None
    """Of Winograd's, counting the multiplications that it saves."""
    overhead: float | None = None
    """Part of a run that is outside its kernels: copies of inputs and outputs, calls, and what the engine adds."""
    load_seconds: tuple[float, float] | None = None
    """From file to instance: the first time, and with the engine's cache."""
    peak_memory: int | None = None
    weight_bytes: int | None = None


class _Entrant:
    """One way with its processes, and what they measured."""

    def __init__(self, way: Way, model: graph_modules.Model, cache: Path) -> None:
        self.way = way
        self.model = model
        self.seconds: list[float] = []
        self._calls: list[list[float]] = []
        self._tiles: list[list[float]] = []
        self._hollow_seconds: list[float] = []
        self._peak: Contestant | None = None
        self._hollow: Contestant | None = None
        self._metadata: dict[str, Any] = {}
        file = graph_modules.zoo(model.name)
        if way.build is not None:
            file = graph_modules.compiled(model.name, way.build)
            self._metadata = graph_modules.metadata(file)
        if way.build is not None and way.build != "native":
            stubs = graph_modules.hollow(model.name, way.build)
            self._hollow = Contestant(way.command(stubs, model.inputs), cache)
            module = graph_modules.peak_module(way.build)
            self._peak = Contestant(way.command(module, ()), cache)
            self._tile_flops = [entry["flops"] for entry in graph_modules.metadata(module)["plan"]]
        command = way.command(file, model.inputs)
        first = Contestant(command, cache)
        first.close()
        self._contestant = Contestant(command, cache)
        self._loads = first.load, self._contestant.load

    def warm(self) -> None:
        once = self._contestant.run(1)
        self._contestant.run(max(2, int(_WARMING_SECONDS / once)))
        if self._peak is not None:
            self._peak.calls(20)
        if self._hollow is not None:
            self._hollow.run(_HOLLOW_WARMING)

    def turn(self) -> None:
        self.seconds.append(self._contestant.run(self.model.runs))
        if self._peak is not None:
            self._tiles += self._peak.calls(3)
            self._calls += self._contestant.calls(self.model.runs)
        if self._hollow is not None:
            self._hollow_seconds.append(self._hollow.run(_HOLLOW_RUNS))

    def figures(self, peer: Sequence[float]) -> Figures:
        each = [other / own for other, own in zip(peer, self.seconds, strict=True)]
        low, middle, high = statistics.quantiles(each, n=4)
        milliseconds = statistics.median(self.seconds) * 1e3
        figures = Figures(self.model.name, self.way.label, milliseconds, (low, middle, high))
        if self.way.build is None:
            return figures
        figures = replace(
            figures,
            load_seconds=self._loads,
            peak_memory=self._contestant.peak_memory(),
            weight_bytes=self._metadata["weights"]["bytes"],
        )
        if self._peak is None:
            return figures
        peak = max(
            flops / seconds for flops, seconds in zip(self._tile_flops, _fastest(self._tiles), strict=True)
        )
        outside = statistics.median(self._hollow_seconds) * 1e3
        return replace(
            figures,
            peak_gflops=peak / 1e9,
            direct_share=self._share(peak, winograd=False),
            winograd_share=self._share(peak, winograd=True),
            overhead=outside / milliseconds,
        )

    def _share(self, peak: float, *, winograd: bool) -> float | None:
        """The share of `peak` (FLOP/s) that convolutions reach; None when the model has none of that kind."""
        chosen = [
            (entry["flops"], seconds)
            for entry, seconds in zip(self._metadata["plan"], _fastest(self._calls), strict=True)
            if entry["kernel"].startswith("wg_conv2d") and ("winograd" in entry["kernel"]) == winograd
        ]
        if not chosen:
            return None
        flops, times = zip(*chosen, strict=True)
        return float(sum(flops) / sum(times) / peak)

    def close(self) -> None:
        self._contestant.close()
        for beside in (self._peak, self._hollow):
            if beside is not None:
                beside.close()


def _fastest(passes: Sequence[Sequence[float]]) -> list[float]:
    """The shortest time of each call over all passes: what other processes disturbed least."""
    return [min(each) for each in zip(*passes, strict=True)]


def compare(model: str, rounds: int, ways: Sequence[Way] = OURS) -> list[Figures]:
    """One interleaved run of `ways`, onnxruntime-web and native onnxruntime on one model."""
    with tempfile.TemporaryDirectory() as cache, contextlib.ExitStack() as running:
        entrants = []
        for way in (*ways, PEER, NATIVE):
            entrants.append(_Entrant(way, MODELS[model], Path(cache)))
            running.callback(entrants[-1].close)
        for entrant in entrants:
            entrant.warm()
        for number in range(rounds):
            start = number % len(entrants)
            for entrant in entrants[start:] + entrants[:start]:
                entrant.turn()
        peer = next(entrant.seconds for entrant in entrants if entrant.way == PEER)
        return [entrant.figures(peer) for entrant in entrants]


def _cells(figures: Figures) -> Iterator[str]:
    yield f"{figures.milliseconds:.3g} ms"
    low, middle, high = figures.ratio
    yield f"{middle:.2f}x ({low:.2f}-{high:.2f})"
    if figures.peak_gflops is None:
        yield from ("", "")
    else:
        yield f"{figures.peak_gflops:.1f}"
        yield ", ".join(
            "-" if share is None else f"{share:.0%}"
            for share in (figures.direct_share, figures.winograd_share)
        )
    yield "" if figures.overhead is None else f"{figures.overhead:.2%}"
    if figures.load_seconds is not None:
        yield ", ".join(f"{seconds:.2f} s" for seconds in figures.load_seconds)
    if figures.peak_memory is not None and figures.weight_bytes is not None:
        yield f"{figures.peak_memory / 1e6:.0f} MB ({figures.weight_bytes / 1e6:.0f})"


def table(all_figures: Sequence[Figures]) -> Table:
    """A row for each model and way."""
    result = Table(
        title="Models as wasm, batch 1, one thread: ratios are of onnxruntime-web's time (median, quartiles)"
    )
    result.add_column("model")
    result.add_column("way")
    for column in (
        "time",
        "ratio",
        "peak, GFLOP/s",
        "of peak: direct, Winograd",
        "overhead",
        "load: first, again",
    ):
        result.add_column(column, justify="right")
    result.add_column("memory (weights)", justify="right")
    before = None
    for figures in all_figures:
        if before not in (None, figures.model):
            result.add_section()
        result.add_row("" if figures.model == before else figures.model, figures.way, *_cells(figures))
        before = figures.model
    return result


def machine() -> str:
    """The processor's name."""
    with contextlib.suppress(OSError):
        if found := re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()):
            return found.group(1)
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    figures = [each for model in options.models for each in compare(model, options.rounds)]
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table(figures))
    console.print(machine(), style="dim")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(each) for each in figures], indent=2) + "\n")


if __name__ == "__main__":
    main()
