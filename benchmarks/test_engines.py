"""Compiled models on every engine, alone and against onnxruntime-web."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import wasmgrad
from pytest_benchmark.fixture import BenchmarkFixture
from wasmgrad._files import find_part

from benchmarks import graph_modules
from benchmarks.engines import measure
from benchmarks.graph_process import OURS, Way
from benchmarks.report import Ratio

_ROOT = Path(__file__).resolve().parent.parent
_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""
_AT_LEAST = {
    "resnet50": {
        "node relaxed": 1.5,
        "node 128": 1.3,
        "wasmtime 128": 1.3,
        "wasmedge 128": 1.3,
        "native": 0.5,
    },
    "efficientnet-lite0": {"node relaxed": 1.5, "native": 0.5},
    "mobilenetv2": {"node relaxed": 1.5, "native": 0.5},
    "opennsfw": {"node relaxed": 1.5, "native": 0.5},
    "lenet5": {"node relaxed": 3.0},
}
"""How many times as fast as onnxruntime-web each way has to be; native, as onnxruntime itself."""


@pytest.fixture(scope="module")
def resnet() -> list[Ratio]:
    return measure("resnet50", rounds=8)


@pytest.mark.parametrize("way", OURS, ids=lambda way: way.label)
@pytest.mark.parametrize("model", graph_modules.MODELS)
def test_run(benchmark: BenchmarkFixture, model: str, way: Way) -> None:
    """One run on inputs that are in the module."""
    assert way.build is not None
    module = wasmgrad.load(graph_modules.compiled(model, way.build), engine=way.engine)
    benchmark.pedantic(module.run, rounds=20, warmup_rounds=3)
    module.close()


@pytest.fixture(scope="module", params=["efficientnet-lite0", "mobilenetv2", "opennsfw"])
def smaller(request: pytest.FixtureRequest) -> list[Ratio]:
    return measure(request.param, rounds=8)


def test_faster_than_onnxruntime_web(smaller: list[Ratio]) -> None:
    _check_ratios(smaller)


def test_resnet_faster_than_onnxruntime_web(resnet: list[Ratio]) -> None:
    _check_ratios(resnet)


def test_lenet_faster_than_onnxruntime_web() -> None:
    _check_ratios(measure("lenet5", rounds=12))


def test_resnet_convolutions_reach_most_of_the_peak(resnet: list[Ratio]) -> None:
    assert {way: share for way, share in _details(resnet, "direct").items() if share < 0.85} == {}


def test_resnet_spends_its_time_in_kernels(resnet: list[Ratio]) -> None:
    _check_overheads(resnet)


def test_spends_its_time_in_kernels(smaller: list[Ratio]) -> None:
    _check_overheads(smaller)


def test_resnet_loads_fast_in_wasmtime(resnet: list[Ratio]) -> None:
    assert _details(resnet, "load, s")["wasmtime 128"] < 1.0
    assert _details(resnet, "again, s")["wasmtime 128"] < 0.2


def test_resnet_loads_fast_in_wasmedge(resnet: list[Ratio]) -> None:
    assert _details(resnet, "again, s")["wasmedge 128"] < 0.2


@pytest.mark.parametrize("way", [way.label for way in OURS])
def test_resnet_needs_little_more_than_its_weights(resnet: list[Ratio], way: str) -> None:
    """Packed weights, which is what the module holds."""
    memory, weights = (_details(resnet, name)[way] for name in ("memory, MB", "weights, MB"))
    assert memory < 1.6 * weights + 64


def test_resnet_without_python_needs_little_more_than_onnxs_weights(tmp_path: Path) -> None:
    """The native tool, its code from the cache: as ONNX has them, the weights are fewer than packed."""
    module = graph_modules.compiled("resnet50", "128")
    bound = 1.6 * 4 * graph_modules.metadata(module)["parameters"] + 64e6
    tool, cat = find_part("bin/wasm-graphruntime"), _ROOT / "data/pictures/chelsea.png"
    command = [tool, "-c", module, "-i", cat, "--cache-dir", tmp_path]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    # Of a small parent: a process begins with the peak of the one that forked it.
    again = subprocess.run([sys.executable, "-c", _PEAK, *command], check=True, stdout=subprocess.PIPE)
    assert int(again.stdout) < bound


def _details(ratios: list[Ratio], name: str) -> dict[str, float]:
    return {each.setting: each.details[name] for each in ratios if name in each.details}


def _check_ratios(ratios: list[Ratio]) -> None:
    least = _AT_LEAST[ratios[0].model]
    found = {each.setting: each.median for each in ratios}
    assert {way: found[way] for way in least if found[way] < least[way]} == {}


def _check_overheads(ratios: list[Ratio]) -> None:
    overheads = _details(ratios, "overhead")
    assert {way: overhead for way, overhead in overheads.items() if overhead >= 0.01} == {}
