"""Every engine runs the same modules to the same results and refuses the same lies."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wasmgrad import InvalidEncoding, NotFound, RuntimeFailure
from wasmgrad._graph.engines import ENGINES, create
from wasmgrad._graph.format import wasm
from wasmgrad._graph.format.file import GraphFile
from wasmgrad._graph.format.metadata import SECTION
from wasmgrad._graph.module import GraphModule, load

from .conftest import METADATA, PAGES, WEIGHTS, MakeModule

Arrays = dict[str, Any]


@pytest.fixture(params=[name for name in ENGINES if name != "native"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def loaded(engine: str, module: bytes) -> Iterator[GraphModule]:
    made = load(module, engine)
    yield made
    made.close()


def test_outputs_are_those_of_the_model(loaded: GraphModule, arrays: Arrays) -> None:
    total, count = loaded(**arrays)
    np.testing.assert_array_equal(total, arrays["a"] + arrays["b"] + WEIGHTS.reshape(2, 3))
    assert (total.dtype, count.dtype, count.shape, int(count)) == (np.float32, np.int64, (), 42)


def test_each_run_takes_its_own_inputs(loaded: GraphModule, arrays: Arrays) -> None:
    counts = [int(loaded(**arrays | {"n": np.array(n)})[1]) for n in (-3, 0, 1 << 40)]
    assert counts == [-6, 0, 1 << 41]


def test_the_calls_one_by_one_are_a_run(loaded: GraphModule, arrays: Arrays) -> None:
    times = loaded.profile(**arrays)
    assert len(times) == 2
    np.testing.assert_array_equal(loaded.results()[0], arrays["a"] + arrays["b"] + WEIGHTS.reshape(2, 3))


def test_outputs_can_be_written_to(loaded: GraphModule, arrays: Arrays) -> None:
    total, _ = loaded(**arrays)
    total += 1


def test_weights_from_a_file_are_used(
    engine: str, make_module: MakeModule, metadata: dict[str, Any], arrays: Arrays
) -> None:
    metadata["weights"]["mode"] = "file"
    emptied = make_module("WEIGHTS={0}", metadata=metadata)
    total, _ = load(emptied, engine, weights=WEIGHTS.tobytes())(**arrays)
    np.testing.assert_array_equal(total, arrays["a"] + arrays["b"] + WEIGHTS.reshape(2, 3))


@pytest.mark.parametrize("from_file", [False, True], ids=["bytes", "file"])
def test_large_weights_in_the_module_are_used(
    engine: str, make_module: MakeModule, arrays: Arrays, from_file: bool, tmp_path: Path
) -> None:
    pages, address = 64, 1 << 20
    moved = make_module(f"WEIGHTS_AT={address}", pages=pages)
    values = np.random.default_rng(3).random(400_000, np.float32)
    large = wasm.with_data(moved, address, values.tobytes())
    path = tmp_path / "large.wasm"
    path.write_bytes(large)
    total, _ = load(path if from_file else large, engine)(**arrays)
    np.testing.assert_allclose(total, arrays["a"] + arrays["b"] + values[:6].reshape(2, 3))


def test_large_weights_outside_the_memory_are_refused(
    engine: str, make_module: MakeModule, tmp_path: Path
) -> None:
    path = tmp_path / "lying.wasm"
    path.write_bytes(wasm.with_data(make_module(), (PAGES - 1) * wasm.PAGE + 1, bytes(2 << 20)))
    with pytest.raises((InvalidEncoding, RuntimeFailure), match="data segment"):
        load(path, engine)


def test_a_file_that_is_cut_short_meanwhile_is_refused(
    engine: str, make_module: MakeModule, tmp_path: Path
) -> None:
    address = 1 << 20
    path = tmp_path / "large.wasm"
    path.write_bytes(wasm.with_data(make_module(f"WEIGHTS_AT={address}", pages=64), address, bytes(2 << 20)))
    for size in (1 << 20, 100):
        graph = GraphFile(path)
        contents = path.read_bytes()
        os.truncate(path, size)
        with pytest.raises((InvalidEncoding, RuntimeFailure), match=r"large\.wasm"):
            create(engine, graph)
        graph.close()
        path.write_bytes(contents)


@pytest.mark.parametrize("mode", ["embed", "file"])
def test_weights_are_in_memory_once(
    engine: str, mode: str, make_module: MakeModule, metadata: dict[str, Any], tmp_path: Path
) -> None:
    weights = bytes(range(256)) * (128 << 12)
    address = 1 << 20
    metadata["weights"] = {"mode": mode, "bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}
    pages = (address + len(weights)) // wasm.PAGE
    metadata["memory"] = {"bytes": pages * wasm.PAGE, "weights": len(weights), "workspace": 320}
    module = make_module(f"WEIGHTS_AT={address}", metadata=metadata, pages=pages)
    path = tmp_path / "large.wasm"
    path.write_bytes(wasm.with_data(module, address, weights) if mode == "embed" else module)
    if mode == "file":
        path.with_suffix(".weights").write_bytes(weights)
    code = f"""
import re, wasmgrad
module = wasmgrad.load({str(path)!r}, {engine!r})
process = module._engine._child.pid if {engine!r} == "node" else "self"
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open(f"/proc/{{process}}/status").read())
print(int(peak.group(1)) * 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1.6 * len(weights) + 64e6


def test_running_a_module_loads_no_libtorch(engine: str, module: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.wasm"
    path.write_bytes(module)
    code = f"""
import wasmgrad
wasmgrad.load({str(path)!r}, {engine!r}).run()
print("libtorch" in open("/proc/self/maps").read())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_tensor_that_the_metadata_hides_is_refused(
    engine: str, make_module: MakeModule, metadata: dict[str, Any], side: str
) -> None:
    metadata[side].pop()
    with pytest.raises(InvalidEncoding, match=f"more {side} than the {len(metadata[side])}"):
        load(make_module(metadata=metadata), engine)


@pytest.mark.parametrize("side", ["INPUT", "OUTPUT"])
@pytest.mark.parametrize("address", ["-64", f"{PAGES * 65536 - 16}", "0"])
def test_an_address_outside_the_memory_is_refused(
    engine: str, make_module: MakeModule, side: str, address: str
) -> None:
    with pytest.raises(InvalidEncoding, match=side.lower()):
        load(make_module(f"{side}_ADDRESS(tensor)={address}"), engine)


def test_weights_are_not_written_outside_the_memory(
    engine: str, make_module: MakeModule, metadata: dict[str, Any]
) -> None:
    metadata["weights"]["mode"] = "file"
    lying = make_module(f"WEIGHTS_ADDRESS={PAGES * 65536 - 8}", metadata=metadata)
    with pytest.raises(InvalidEncoding, match="weights"):
        load(lying, engine, weights=WEIGHTS.tobytes())


def test_a_function_of_another_signature_is_refused(engine: str, make_module: MakeModule) -> None:
    with pytest.raises(InvalidEncoding, match="graph_input"):
        load(make_module("INPUT_PARAMETERS=int64_t index"), engine)


def test_code_that_is_no_wasm_is_refused(engine: str, module: bytes) -> None:
    broken = wasm.assemble(
        wasm.Section(10, None, memoryview(b"\7" * 9)) if part.id == 10 else part
        for part in wasm.sections(module)
    )
    with pytest.raises(InvalidEncoding):
        load(broken, engine)


def test_a_trap_is_a_failure(engine: str, make_module: MakeModule, arrays: Arrays) -> None:
    loaded = load(make_module("BEFORE_RUN=__builtin_trap()"), engine)
    with pytest.raises(RuntimeFailure, match="unreachable"):
        loaded(**arrays)


def test_a_trap_at_start_is_a_failure(engine: str, make_module: MakeModule) -> None:
    with pytest.raises(RuntimeFailure, match="unreachable"):
        load(make_module("AT_START=__builtin_trap()"), engine)


def test_the_code_of_a_failed_run_is_told(engine: str, make_module: MakeModule, arrays: Arrays) -> None:
    loaded = load(make_module("BEFORE_RUN=return 7"), engine)
    with pytest.raises(RuntimeFailure, match="7"):
        loaded(**arrays)


def test_a_trap_names_the_file(engine: str, make_module: MakeModule, arrays: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "bad.wasm"
    path.write_bytes(make_module("BEFORE_RUN=__builtin_trap()"))
    loaded = load(path, engine)
    with pytest.raises(RuntimeFailure, match=r"bad\.wasm"):
        loaded(**arrays)


def test_two_modules_do_not_share_memory(engine: str, module: bytes, arrays: Arrays) -> None:
    first, second = load(module, engine), load(module, engine)
    first.feed(**arrays)
    second(**arrays | {"n": np.array(1)})
    first.run()
    assert first.results()[1] == 42


def test_node_is_named_when_it_is_missing(module: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotFound, match="engine node is not installed"):
        load(module, "node")


@pytest.mark.node
def test_node_ends_with_its_module(module: bytes) -> None:
    loaded = load(module, "node")
    child = loaded._engine._child
    loaded.close()
    assert child.returncode is not None


@pytest.mark.node
def test_the_loss_of_node_is_a_failure(module: bytes, arrays: Arrays) -> None:
    loaded = load(module, "node")
    loaded._engine._child.kill()
    with pytest.raises(RuntimeFailure, match="node ended with exit code -9"):
        loaded(**arrays)


class TestCompiledCode:
    """What wasmtime keeps in the cache."""

    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("WASMGRAD_CACHE", str(tmp_path))
        return tmp_path / "wasmtime"

    def test_only_the_owner_can_write_there(self, module: bytes, folder: Path) -> None:
        load(module)
        assert folder.stat().st_mode & 0o077 == 0 and len(list(folder.iterdir())) == 1

    def test_it_is_used_by_the_next_load(self, module: bytes, folder: Path, arrays: Arrays) -> None:
        load(module)
        before = [path.stat().st_mtime_ns for path in folder.iterdir()]
        assert load(module)(**arrays)[1] == 42
        assert [path.stat().st_mtime_ns for path in folder.iterdir()] == before

    def test_it_does_not_hold_large_weights(self, make_module: MakeModule, folder: Path) -> None:
        moved = make_module(f"WEIGHTS_AT={1 << 20}", pages=64)
        load(wasm.with_data(moved, 1 << 20, bytes(2 << 20)))
        assert [path.stat().st_size < 1 << 20 for path in folder.iterdir()] == [True]

    def test_damaged_code_is_compiled_again(self, module: bytes, folder: Path, arrays: Arrays) -> None:
        load(module)
        (compiled,) = folder.iterdir()
        compiled.write_bytes(b"damaged")
        assert load(module)(**arrays)[1] == 42

    def test_what_was_not_used_for_longest_makes_room(
        self, make_module: MakeModule, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from wasmgrad._graph.engines import wasmtime as wasmtime_engine

        first, second, third = (make_module(f"BEFORE_RUN=return {code}") for code in (1, 2, 3))
        load(first)
        (kept,) = folder.iterdir()
        load(second)
        (dropped,) = set(folder.iterdir()) - {kept}
        for path, seconds in ((kept, 1000), (dropped, 2000)):
            os.utime(path, (seconds, seconds))
        load(first)
        monkeypatch.setattr(wasmtime_engine, "_MAX_CACHE", int(2.5 * kept.stat().st_size))
        load(third)
        assert kept.is_file() and not dropped.exists() and len(list(folder.iterdir())) == 2

    def test_a_folder_open_to_others_is_not_used(self, module: bytes, folder: Path, arrays: Arrays) -> None:
        folder.mkdir()
        folder.chmod(0o777)
        assert load(module)(**arrays)[1] == 42
        assert list(folder.iterdir()) == []

    def test_a_module_loads_where_no_cache_can_be(
        self, module: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrays: Arrays
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("WASMGRAD_CACHE", str(tmp_path / "file"))
        assert load(module)(**arrays)[1] == 42


def test_relaxed_simd_runs(engine: str) -> None:
    import json

    import wasmtime

    text = """(module
      (memory (export "memory") 1 1)
      (func (export "_initialize"))
      (func (export "graph_input") (param i32) (result i32) (select (i32.const 0) (i32.const 64) (local.get 0)))
      (func (export "graph_output") (param i32) (result i32) (select (i32.const 0) (i32.const 128) (local.get 0)))
      (func (export "graph_weights") (result i32) (i32.const 0))
      (func (export "graph_call") (param i32) (result i32) (i32.const 0))
      (func (export "graph_run") (result i32)
        (v128.store (i32.const 128) (f32x4.relaxed_madd
          (v128.load (i32.const 64)) (v128.load (i32.const 64)) (v128.const f32x4 1 1 1 1)))
        (i32.const 0)))"""
    tensor = {"dtype": "float32", "shape": [4]}
    document = METADATA | {
        "inputs": [tensor | {"name": "x"}],
        "outputs": [tensor | {"name": "y"}],
        "memory": {"bytes": 65536, "weights": 24, "workspace": 64},
        "options": {"simd": "relaxed", "opt_level": 3},
    }
    module = wasm.with_custom(bytes(wasmtime.wat2wasm(text)), SECTION, json.dumps(document).encode())
    squares = load(module, engine)(np.array([0, 1, 2, 3], np.float32))
    np.testing.assert_array_equal(squares, [1, 2, 5, 10])
