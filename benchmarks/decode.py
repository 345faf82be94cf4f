"""Tokens a second of a language model that writes: with its cache kept in the module, and handed in and out each time.

    python -m benchmarks.decode [--rounds 10] [--json FILE]

The model is a GPT of 33 million weights with a cache of 256 tokens, in headless Chromium and in Node, one thread, ours
with relaxed SIMD. onnxruntime-web runs the same file; it takes the cache as inputs and gives it back as outputs, as our
module does that keeps no state. Contestants take turns as in `benchmarks.graph`. A ratio is the time of each by that of
the module that keeps its state.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import graph_modules
from benchmarks.graph import machine
from benchmarks.graph_modules import DECODER
from benchmarks.graph_process import Contestant, in_chromium, in_node
from benchmarks.web import versions

__all__ = ["KEPT", "PLACES", "Figures", "compare"]

KEPT, HANDED, PEER = "state kept", "state handed over", "onnxruntime-web"
PLACES = {"Chromium": in_chromium, "Node": in_node}
_WARMING_SECONDS = 1.0


@dataclass(frozen=True)
class Figures:
    """What one way reached."""

    place: str
    way: str
    tokens_a_second: float
    ratio: tuple[float, float, float]
    """Quartiles of its time by that of the module that keeps its state, in the same place."""


def _contestant(place: str, way: str, cache: Path) -> Contestant:
    if way == KEPT:
        file = graph_modules.stateful(DECODER, "relaxed")
    else:
        file = (
            graph_modules.zoo(DECODER.name)
            if way == PEER
            else graph_modules.compiled(DECODER.name, "relaxed")
        )
    return Contestant(PLACES[place](PEER if way == PEER else "wasmgrad", file, DECODER.inputs), cache)


def compare(rounds: int) -> list[Figures]:
    """One interleaved run of all ways."""
    ways = [(place, way) for place in PLACES for way in (KEPT, HANDED, PEER)]
    with tempfile.TemporaryDirectory() as cache, contextlib.ExitStack() as running:
        contestants = {}
        for place, way in ways:
            contestants[place, way] = _contestant(place, way, Path(cache))
            running.callback(contestants[place, way].close)
        for contestant in contestants.values():
            contestant.run(max(2, int(_WARMING_SECONDS / contestant.run(1))))
        seconds: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
        for number in range(rounds):
            start = number % len(ways)
            for way in ways[start:] + ways[:start]:
                seconds[way].append(contestants[way].run(DECODER.runs))
    return [_figures(place, way, seconds[place, way], seconds[place, KEPT]) for place, way in ways]


def _figures(place: str, way: str, seconds: Sequence[float], kept: Sequence[float]) -> Figures:
    low, middle, high = statistics.quantiles(
        [theirs / own for theirs, own in zip(seconds, kept, strict=True)], n=4
    )
    return Figures(place, way, 1 / statistics.median(seconds), (low, middle, high))


def table(all_figures: Sequence[Figures]) -> Table:
    """A row for each place and way."""
    result = Table(
        title="A step of GPT, 33 M: tokens a second, and time by that of the module that keeps its state"
    )
    for column in ("in", "way"):
        result.add_column(column)
    for column in ("tokens/s", "ratio (quartiles)"):
        result.add_column(column, justify="right")
    for each in all_figures:
        low, middle, high = each.ratio
        result.add_row(
            each.place, each.way, f"{each.tokens_a_second:.1f}", f"{middle:.2f}x ({low:.2f}-{high:.2f})"
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    figures = compare(options.rounds)
    console = Console(width=120)
    console.print(table(figures))
    console.print(", ".join([machine(), *versions()]), style="dim")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(each) for each in figures], indent=2) + "\n")


if __name__ == "__main__":
    main()
