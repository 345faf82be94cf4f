"""Speed of a language model that writes, whose module keeps its cache, against handing the cache in and out each time.

A GPT of 33 million weights reads one token a run, with a cache of 256, in headless Chromium and in Node, one thread.
Ours are compiled with relaxed SIMD, with and without `--state`; onnxruntime-web runs the file that they are made from,
whose cache goes in and out. Contestants take turns as in `benchmarks.engines`. A ratio is a way's time by that of the
module that keeps its state, in the same place.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from pathlib import Path

from benchmarks import graph_modules
from benchmarks.graph_modules import DECODER
from benchmarks.graph_process import Contestant, in_chromium, in_node
from benchmarks.report import Ratio, ratio
from benchmarks.web import versions

__all__ = ["MODELS", "ROUNDS", "TITLE", "measure", "versions"]

TITLE = "A step of a language model, one thread: time of each way by ours with its state in the module"
MODELS = (DECODER.name,)
ROUNDS = 10
_KEPT, _HANDED, _PEER = "state kept", "wasmgrad without state", "onnxruntime-web"
_PLACES = {"Chromium": in_chromium, "Node": in_node}
_WARMING_SECONDS = 1.0


def _contestant(place: str, way: str, cache: Path) -> Contestant:
    """The contestant, when its model is loaded."""
    if way == _PEER:
        return Contestant(_PLACES[place](_PEER, graph_modules.zoo(DECODER.name), DECODER.inputs), cache)
    make = graph_modules.stateful if way == _KEPT else graph_modules.compiled
    return Contestant(_PLACES[place]("wasmgrad", make(DECODER.name, "relaxed"), DECODER.inputs), cache)


def measure(model: str, rounds: int) -> list[Ratio]:
    """One interleaved run of all ways."""
    ways = [(place, way) for place in _PLACES for way in (_KEPT, _HANDED, _PEER)]
    with tempfile.TemporaryDirectory() as cache, contextlib.ExitStack() as running:
        contestants: dict[tuple[str, str], Contestant] = {}
        for way in ways:
            contestants[way] = _contestant(*way, Path(cache))
            running.callback(contestants[way].close)
        for contestant in contestants.values():
            contestant.run(max(2, int(_WARMING_SECONDS / contestant.run(1))))
        seconds: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
        for number in range(rounds):
            start = number % len(ways)
            for way in ways[start:] + ways[:start]:
                seconds[way].append(contestants[way].run(DECODER.runs))
    found = []
    for place, way in ways:
        if way != _KEPT:
            ours = seconds[place, _KEPT]
            details = {"tokens/s": 1 / statistics.median(ours)}
            found.append(ratio(model, place, (way, seconds[place, way]), ours, details))
    return found
