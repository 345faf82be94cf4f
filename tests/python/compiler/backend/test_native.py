"""Models compiled for this computer: the same plan and kernels as in WebAssembly, in a shared library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from wasmgrad import InvalidArgument, InvalidEncoding, Unsupported
from wasmgrad._graph.format import cpu
from wasmgrad._graph.format.cpu import LEVELS, missing
from wasmgrad.compiler import (
    Compiled,
    CompileOptions,
    _compile,
    compile_model,
    differences,
    open_source,
    random_inputs,
    single_operator,
)

from .. import quantized_nets

SHAPES = {"input": (2, 3, 19, 17)}


def _network() -> torch.nn.Module:
    """Every algorithm of the convolutions, ragged channels, pooling, a product, softmax."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 10, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(10, 32, 1),
        torch.nn.SiLU(),
        torch.nn.Conv2d(32, 32, 3, padding=1, groups=32),
        torch.nn.Conv2d(32, 48, 3, padding=1),
        torch.nn.ReLU6(),
        torch.nn.MaxPool2d(3, 2, padding=1),
        torch.nn.Conv2d(48, 64, 5, stride=2),
        torch.nn.GELU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.LayerNorm(64),
        torch.nn.Linear(64, 21),
        torch.nn.Softmax(-1),
    ).eval()


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return compile_model(_network(), CompileOptions(target="native", shapes=SHAPES))


def test_a_library_computes_what_onnxruntime_does(compiled: Compiled) -> None:
    module = wasmgrad.load(compiled.module, engine="native")
    feeds = random_inputs(module.inputs)
    for difference in differences(open_source(_network(), SHAPES, {}), module, feeds, {}):
        assert difference.ok, difference


def test_a_library_can_be_saved_and_profiled(compiled: Compiled, tmp_path: Path) -> None:
    compiled.save(tmp_path / "network.so")
    module = wasmgrad.load(tmp_path / "network.so", engine="native")
    feeds: dict[str, Any] = random_inputs(module.inputs)
    seconds = module.profile(**feeds)
    assert len(seconds) == len(module.metadata.plan)
    np.testing.assert_array_equal(module.results(), module(**feeds))


def test_two_loads_of_one_library_do_not_share_memory(compiled: Compiled) -> None:
    first, second = (wasmgrad.load(compiled.module, engine="native") for _ in range(2))
    feeds = random_inputs(first.inputs)
    expected = first(**feeds)
    second(**random_inputs(second.inputs, seed=1))
    first.run()
    np.testing.assert_array_equal(first.results(), expected)
    second.close()
    np.testing.assert_array_equal(first(**feeds), expected)


def test_what_is_no_library_is_refused(compiled: Compiled, tmp_path: Path) -> None:
    wasm = compile_model(single_operator("relu", [4], "float32"), CompileOptions()).module
    with pytest.raises(InvalidEncoding, match="not a shared library"):
        wasmgrad.load(wasm, engine="native")
    with pytest.raises(InvalidEncoding, match="not a graph library for this computer"):
        wasmgrad.load(compiled.module[:4096], engine="native")
    with pytest.raises(InvalidEncoding, match="not a WebAssembly module"):
        wasmgrad.load(compiled.module)


@pytest.mark.parametrize("level", [level for level in LEVELS if not missing(level)])
def test_quantized_models_give_the_same_bits_at_every_level(
    level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_compile, "best_level", lambda: level)
    model = quantized_nets.quantized(quantized_nets.net(), tmp_path, "QDQ", "uint8", "int8", per_channel=True)
    library = wasmgrad.load(compile_model(model, CompileOptions(target="native")).module, engine="native")
    module = wasmgrad.load(compile_model(model, CompileOptions()).module)
    x = quantized_nets.sample(9)
    assert library.metadata.options.simd == level
    np.testing.assert_array_equal(library(x), module(x))


@pytest.mark.parametrize("level", [level for level in LEVELS if level != "baseline"])
def test_a_library_for_a_better_cpu_is_refused(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compile, "best_level", lambda: level)
    library = compile_model(single_operator("relu", [4], "float32"), CompileOptions(target="native")).module
    monkeypatch.setattr(cpu, "_features", lambda: frozenset({"avx"}))
    with pytest.raises(Unsupported, match=r"is compiled for a CPU with .*avx2.*, which this one has not"):
        wasmgrad.load(library, engine="native")


def test_a_library_holds_its_weights() -> None:
    with pytest.raises(InvalidArgument, match="a native library holds its weights itself"):
        CompileOptions(target="native", weights="file")
