"""Speed of compiled models against onnxruntime-web, as ratios from one interleaved run, one thread, batch 1.

Each contestant is a process of its own that has loaded and warmed its model; runs go to them in turn, in an
order that rotates, so that a noisy machine is noisy for all. The ratio of a round is onnxruntime-web's
time by the contestant's. Beside each of our contestants a second one measures, in the same turns, the engine's
attainable SIMD peak (`peak.c`), and a third one runs the same module with kernels that return at once: the time that a
run spends outside its kernels. Of calls and peak, the fastest of all turns count.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import graph_modules
from benchmarks.graph_modules import MODELS
from benchmarks.graph_process import NATIVE, OURS, PEER, Contestant, Way
from benchmarks.report import Ratio, ratio

TITLE = "Models as wasm, batch 1, one thread: time of each peer by ours"
ROUNDS = 10
_WARMING_SECONDS = 1.0
_HOLLOW_WARMING, _HOLLOW_RUNS = 1000, 100


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

    def details(self) -> dict[str, float]:
        """Of ours, in this order: speed of the engine, shares of it, what is outside of kernels, loading, memory.

        `overhead` is the part of a run that is outside its kernels: copies of inputs and outputs, calls, and what the
        engine adds. Winograd's share counts the multiplications that it saves. `load` is from file to instance, `again`
        with the engine's cache.
        """
        found: dict[str, float | None] = {}
        if self._peak is not None:
            speeds = zip(self._tile_flops, _fastest(self._tiles), strict=True)
            peak = max(flops / seconds for flops, seconds in speeds)
            found["peak, GFLOP/s"] = peak / 1e9
            found["direct"] = self._share(peak, winograd=False)
            found["Winograd"] = self._share(peak, winograd=True)
            found["overhead"] = statistics.median(self._hollow_seconds) / statistics.median(self.seconds)
        found["load, s"], found["again, s"] = self._loads
        found["memory, MB"] = self._contestant.peak_memory() / 1e6
        found["weights, MB"] = self._metadata["weights"]["bytes"] / 1e6
        return {name: value for name, value in found.items() if value is not None}

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


def measure(model: str, rounds: int) -> list[Ratio]:
    """One interleaved run of all ways on one model: those in wasm against onnxruntime-web, native against native."""
    with tempfile.TemporaryDirectory() as cache, contextlib.ExitStack() as running:
        entrants = []
        for way in (*OURS, PEER, NATIVE):
            entrants.append(_Entrant(way, MODELS[model], Path(cache)))
            running.callback(entrants[-1].close)
        for entrant in entrants:
            entrant.warm()
        for number in range(rounds):
            start = number % len(entrants)
            for entrant in entrants[start:] + entrants[:start]:
                entrant.turn()
        seconds = {entrant.way: entrant.seconds for entrant in entrants}
        found = []
        for entrant in entrants[: len(OURS)]:
            peer = NATIVE if entrant.way.build == "native" else PEER
            against = peer.label, seconds[peer]
            found.append(ratio(model, entrant.way.label, against, entrant.seconds, entrant.details()))
        return found


def versions() -> list[str]:
    """Of the engines and the peers."""
    web = json.loads((graph_modules.peers() / "onnxruntime-web/package.json").read_text())["version"]
    packages = [f"{name} {importlib.metadata.version(name)}" for name in ("wasmtime", "onnxruntime")]
    return [graph_modules.node_version(), f"onnxruntime-web {web}", *packages]
