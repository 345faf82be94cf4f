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
from benchmarks.graph import Figures, compare
from benchmarks.graph_process import OURS, Way

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
    },
    "efficientnet-lite0": {"node relaxed": 1.5},
    "mobilenetv2": {"node relaxed": 1.5},
    "opennsfw": {"node relaxed": 1.5},
    "lenet5": {"node relaxed": 3.0},
}
"""How many times as fast as onnxruntime-web each way has to be."""


@pytest.fixture(scope="module")
def resnet() -> list[Figures]:
    return compare("resnet50", rounds=8)


@pytest.mark.parametrize("way", OURS, ids=lambda way: way.label)
@pytest.mark.parametrize("model", graph_modules.MODELS)
def test_run(benchmark: BenchmarkFixture, model: str, way: Way) -> None:
    """One run on inputs that are in the module."""
    assert way.build is not None
    module = wasmgrad.load(graph_modules.compiled(model, way.build), engine=way.engine)
    benchmark.pedantic(module.run, rounds=20, warmup_rounds=3)
    module.close()


@pytest.fixture(scope="module", params=["efficientnet-lite0", "mobilenetv2", "opennsfw"])
def smaller(request: pytest.FixtureRequest) -> list[Figures]:
    return compare(request.param, rounds=8)


def test_faster_than_onnxruntime_web(smaller: list[Figures]) -> None:
    _check_ratios(smaller)


def test_resnet_faster_than_onnxruntime_web(resnet: list[Figures]) -> None:
    _check_ratios(resnet)


def test_lenet_faster_than_onnxruntime_web() -> None:
    _check_ratios(compare("lenet5", rounds=12))


def test_native_half_as_fast_as_onnxruntime(smaller: list[Figures]) -> None:
    _check_native(smaller)


def test_resnet_native_half_as_fast_as_onnxruntime(resnet: list[Figures]) -> None:
    _check_native(resnet)


def test_resnet_convolutions_reach_most_of_the_peak(resnet: list[Figures]) -> None:
    shares = {figures.way: figures.direct_share for figures in resnet if figures.direct_share is not None}
    assert {way: share for way, share in shares.items() if share < 0.85} == {}


def test_resnet_spends_its_time_in_kernels(resnet: list[Figures]) -> None:
    _check_overheads(resnet)


def test_spends_its_time_in_kernels(smaller: list[Figures]) -> None:
    _check_overheads(smaller)


def test_resnet_loads_fast_in_wasmtime(resnet: list[Figures]) -> None:
    first, again = _loads(resnet)["wasmtime 128"]
    assert first < 1.0 and again < 0.2


def test_resnet_loads_fast_in_wasmedge(resnet: list[Figures]) -> None:
    assert _loads(resnet)["wasmedge 128"][1] < 0.2


@pytest.mark.parametrize("way", [way.label for way in OURS])
def test_resnet_needs_little_more_than_its_weights(resnet: list[Figures], way: str) -> None:
    """Packed weights, which is what the module holds."""
    (figures,) = (figures for figures in resnet if figures.way == way)
    assert figures.peak_memory is not None and figures.weight_bytes is not None
    assert figures.peak_memory < 1.6 * figures.weight_bytes + 64e6


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


def _loads(resnet: list[Figures]) -> dict[str, tuple[float, float]]:
    return {figures.way: figures.load_seconds for figures in resnet if figures.load_seconds is not None}


def _check_ratios(figures: list[Figures]) -> None:
    ratios = {each.way: each.ratio[1] for each in figures}
    least = _AT_LEAST[figures[0].model]
    assert {way: ratios[way] for way in least if ratios[way] < least[way]} == {}


def _check_native(figures: list[Figures]) -> None:
    ratios = {each.way: each.ratio[1] for each in figures}
    assert ratios["native"] >= 0.5 * ratios["onnxruntime"]


def _check_overheads(figures: list[Figures]) -> None:
    overheads = {each.way: each.overhead for each in figures if each.overhead is not None}
    assert {way: overhead for way, overhead in overheads.items() if overhead >= 0.01} == {}
