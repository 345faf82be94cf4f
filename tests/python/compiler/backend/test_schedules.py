"""Schedules of generated kernels: searched, kept, used again, and ignored when they are damaged."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import tvm_ffi
import wasmgrad
from onnx import TensorProto, helper, numpy_helper
from tvm import te
from wasmgrad import InvalidArgument
from wasmgrad.compiler import CompileOptions, Found, compile_model, random_inputs
from wasmgrad.compiler._compile import _machine
from wasmgrad.compiler.backend import schedules, search

CANDIDATES = 8


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """A transposed convolution with gaps between its taps, for which the library has no kernel."""
    weights = np.random.default_rng(0).standard_normal((8, 4, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], dilations=[2, 2])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 27, 27])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.fixture(scope="module")
def searched(model: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Found]]:
    """The cache after a search, and what was found."""
    cache = tmp_path_factory.mktemp("cache")
    found: list[Found] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WASMGRAD_CACHE", str(cache))
        compile_model(model, CompileOptions(tune=CANDIDATES), on_kernel=found.append)
    return cache, found


@pytest.fixture
def cache(searched: tuple[Path, list[Found]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only entry of a cache of the test's own: what the search kept."""
    (entry,) = (searched[0] / "schedules").iterdir()
    own = tmp_path / "schedules" / entry.name
    own.parent.mkdir()
    own.write_bytes(entry.read_bytes())
    monkeypatch.setenv("WASMGRAD_CACHE", str(tmp_path))
    return own


def _result(model: onnx.ModelProto, tune: int = 0) -> np.ndarray:
    compiled = compile_model(model, CompileOptions(tune=tune))
    module = wasmgrad.load(compiled.module)
    result = module(**random_inputs(compiled.metadata.inputs))
    assert isinstance(result, np.ndarray)
    return result


def _untuned(model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, folder: Path) -> np.ndarray:
    with monkeypatch.context() as patch:
        patch.setenv("WASMGRAD_CACHE", str(folder))
        return _result(model)


def test_a_search_finds_a_faster_schedule(searched: tuple[Path, list[Found]]) -> None:
    (found,) = searched[1]
    assert found.searched
    assert found.schedule.trace is not None
    assert found.schedule.speedup > 1


def test_candidates_leave_the_kernel_as_it_was() -> None:
    """TVM's schedules change statements in place: the next candidates would be those of another kernel."""
    column = te.reduce_axis((0, 196), "column")
    x = te.placeholder((1, 196, 128), name="x")
    mean = te.create_prim_func([x, te.compute((1, 128), lambda i, j: te.sum(x[i, column, j], axis=column))])
    before = tvm_ffi.structural_hash(mean)
    candidates = search._candidates(mean, _machine(CompileOptions()).target, 16)
    assert len(candidates) > 4
    assert tvm_ffi.structural_hash(mean) == before
    for candidate in candidates:
        applied = schedules.apply(mean, candidate.trace)
        assert tvm_ffi.structural_hash(applied) == tvm_ffi.structural_hash(candidate.function)


def test_a_schedule_changes_no_result(
    model: onnx.ModelProto, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cache.is_file()
    np.testing.assert_allclose(
        _result(model), _untuned(model, monkeypatch, tmp_path / "empty"), rtol=1e-4, atol=1e-4
    )


def test_a_known_schedule_is_used_without_a_search(model: onnx.ModelProto, cache: Path) -> None:
    before = cache.read_bytes()
    found: list[Found] = []
    compile_model(model, CompileOptions(tune=CANDIDATES), on_kernel=found.append)
    assert [each.searched for each in found] == [False]
    assert cache.read_bytes() == before


def test_compiling_with_a_known_schedule_is_deterministic(model: onnx.ModelProto, cache: Path) -> None:
    assert cache.is_file()
    first, second = (compile_model(model, CompileOptions()).module for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda entry: "{", id="no JSON"),
        pytest.param(lambda entry: json.dumps({"trace": None}), id="fields are missing"),
        pytest.param(lambda entry: json.dumps(entry | {"candidates": "many"}), id="another type"),
        pytest.param(
            lambda entry: json.dumps(entry | {"trace": [[["Sing", [], [], []]], []]}), id="no trace"
        ),
    ],
)
def test_a_damaged_schedule_is_ignored(
    model: onnx.ModelProto, cache: Path, damage: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert callable(damage)
    cache.write_text(damage(json.loads(cache.read_bytes())))
    with pytest.warns(UserWarning, match="ignored"):
        result = _result(model)
    np.testing.assert_array_equal(result, _untuned(model, monkeypatch, tmp_path / "empty"))


def test_shipped_schedules_are_whole() -> None:
    entries = json.loads(schedules.SHIPPED.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(schedules.find(key) is not None for key in entries)


def test_a_native_library_is_not_tuned() -> None:
    with pytest.raises(InvalidArgument, match="tune: "):
        CompileOptions(target="native", tune=4)
