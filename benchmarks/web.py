"""Speed of compiled models against what runs models in a browser: onnxruntime-web and LiteRT.js, one thread, batch 1.

In headless Chromium and in Node, as float32 and in 8 bits. Ours are compiled with relaxed SIMD, those in 8 bits from
the file that onnxruntime-web runs; LiteRT.js, which runs in browsers only, has the same weights, quantized by Google's
own tool. Contestants take turns as in `benchmarks.engines`. A ratio is a peer's time by ours, in the same place and
with as many bits.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import graph_modules, graph_page
from benchmarks.graph_process import Contestant, in_chromium, in_node
from benchmarks.report import Ratio, ratio

TITLE = "Models in browsers and Node, batch 1, one thread: time of each peer by ours"
MODELS = ("resnet50", "efficientnet-lite0", "mobilenetv2", "vit-tiny")
ROUNDS = 10
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
        return Contestant(_PLACES[self.place](self.runtime, file, graph_modules.MODELS[model].inputs), cache)


WAYS = tuple(
    Way(place, precision, runtime)
    for place in _PLACES
    for precision in _SUFFIXES
    for runtime in (_OURS, *PEERS)
    if (place, runtime) != ("Node", "LiteRT.js")
)


def measure(model: str, rounds: int) -> list[Ratio]:
    """One interleaved run of all ways on one model."""
    runs = graph_modules.MODELS[model].runs
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
    return [
        ratio(
            model,
            f"{way.place}, {way.precision}",
            (way.runtime, seconds[way]),
            seconds[Way(way.place, way.precision, _OURS)],
        )
        for way in WAYS
        if way.runtime != _OURS
    ]


def versions() -> list[str]:
    """Of the engines and the peers."""
    program = graph_page.program()
    line = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    number = re.search(r"\d+(\.\d+)+", line)
    assert number is not None, line
    found = [f"Chromium {number.group()}", graph_modules.node_version()]
    for package in ("onnxruntime-web", "@litertjs/core"):
        description = json.loads((graph_modules.peers() / package / "package.json").read_text())
        found.append(f"{package} {description['version']}")
    return found
