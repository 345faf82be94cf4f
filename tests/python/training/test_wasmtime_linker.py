"""Guests in wasmtime: the imports for users of its Python package, and whole runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmgrad
import wasmtime

BuildGuest = Callable[[str], Path]

# Stores to address 0 the number of rows of a new dataset, and returns the errno of both calls.
COUNTS_ROWS = """
(module
  (import "wasmgrad:training@0.1" "dataset_create" (func $create (param i32) (result i32)))
  (import "wasmgrad:training@0.1" "dataset_size" (func $size (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "create") (param $at i32) (result i32) (call $create (local.get $at)))
  (func (export "size") (result i32) (call $size (i32.load (i32.const 0)) (i32.const 8)))
  (func (export "grow") (result i32) (memory.grow (i32.const 100))))
"""


class Guest:
    """A module whose imports are defined."""

    def __init__(self, text: str, **arguments: object) -> None:
        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        linker = wasmtime.Linker(engine)
        wasmgrad.add_to_linker(linker, self.store, **arguments)  # type: ignore[arg-type]
        self.exports = linker.instantiate(self.store, wasmtime.Module(engine, text)).exports(self.store)

    def call(self, name: str, *arguments: int) -> int:
        function = self.exports[name]
        assert isinstance(function, wasmtime.Func)
        return int(function(self.store, *arguments) or 0)


def test_functions_see_the_guests_memory_even_after_it_has_grown() -> None:
    guest = Guest(COUNTS_ROWS)
    assert guest.call("create", 0) == 0
    assert guest.call("grow") == 1
    assert guest.call("size") == 0
    assert guest.call("create", 100 * 65536) == 0


def test_addresses_have_all_32_bits() -> None:
    assert Guest(COUNTS_ROWS).call("create", -4) == 1  # past the end, not before the start


def test_guests_do_not_share_handles() -> None:
    first, second = Guest(COUNTS_ROWS), Guest(COUNTS_ROWS)
    assert first.call("create", 0) == 0
    memory = second.exports["memory"]
    assert isinstance(memory, wasmtime.Memory)
    memory.write(second.store, bytearray(b"\1\0\0\0"), 0)
    assert second.call("size") == 1


def test_memory_limit_is_set_on_the_store() -> None:
    guest = Guest(COUNTS_ROWS, limits=wasmgrad.Limits(memory_pages=50))
    assert guest.call("grow") == -1


def test_guest_without_an_exported_memory_is_told_so() -> None:
    guest = Guest(COUNTS_ROWS.replace('(export "memory")', ""))
    with pytest.raises(wasmgrad.InvalidEncoding, match="exports no memory"):
        guest.call("create", 0)


@pytest.mark.parametrize(
    "limit", [{"wall_seconds": 1.0}, {"open_files": 9}, {"output_bytes": 9}, {"process_bytes": 1 << 30}]
)
def test_limits_of_a_process_are_refused(limit: dict[str, int]) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match=next(iter(limit))):
        Guest(COUNTS_ROWS, limits=wasmgrad.Limits(**limit))  # type: ignore[arg-type]


def test_every_import_of_the_other_engine_is_defined() -> None:
    names = ("wasmgrad:training@0.1", "wasi_ephemeral_nn", "wasmedge-nn-training", "naive-math")
    from wasmgrad import _core

    modules = {module for module, _, _, _ in _core.GuestHost('{"guest": "g.wasm"}', None).functions()}
    assert modules == set(names)


def test_earlier_guest_trains(regression_guest: Path, linear_model: Path, tmp_path: Path) -> None:
    events = []
    sandbox = wasmgrad.Sandbox(
        regression_guest,
        args=["--epochs", "2", "linear"],
        dirs=[f"{tmp_path}:."],
        models={"linear": linear_model},
        engine="wasmtime",
    )
    result = sandbox.run(on_event=lambda event: events.append(event["event"]))
    assert result.exit_code == 0, result.stderr
    assert events.count("epoch") == 2
    assert result.stdout


def test_exit_code_comes_back(build_c_guest: BuildGuest) -> None:
    sandbox = wasmgrad.Sandbox(build_c_guest("misbehave"), args=["exit-3"], engine="wasmtime")
    assert sandbox.run().exit_code == 3


def test_endless_loop_ends_at_the_time_limit(build_c_guest: BuildGuest) -> None:
    limits = wasmgrad.Limits(wall_seconds=0.5)
    sandbox = wasmgrad.Sandbox(build_c_guest("misbehave"), args=["loop"], limits=limits, engine="wasmtime")
    with pytest.raises(wasmgrad.TimeLimit):
        sandbox.run()


WRITES_MUCH = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\00\\04\\00\\00")
  (func (export "_start") (local $left i32)
    (memory.fill (i32.const 16) (i32.const 120) (i32.const 1024))
    (local.set $left (i32.const 2000))
    (loop $again
      (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $again (local.get $left)))))"""
"""2000 times 1024 bytes, to standard output."""


@pytest.fixture
def writes_much(tmp_path: Path) -> wasmgrad.Sandbox:
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(wasmtime.wat2wasm(WRITES_MUCH))
    return wasmgrad.Sandbox(guest, engine="wasmtime")


def test_all_that_the_guest_wrote_has_arrived_at_its_end(writes_much: wasmgrad.Sandbox) -> None:
    result = writes_much.run()
    assert result.exit_code == 0
    assert result.stdout == "x" * 2_048_000


def test_what_on_event_raises_comes_out_of_the_run(writes_much: wasmgrad.Sandbox) -> None:
    def refuse(event: wasmgrad.Event) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        writes_much.run(on_event=refuse)


def test_package_asks_for_the_versions_that_the_native_code_knows() -> None:
    root = Path(__file__).resolve().parents[3]
    known = re.search(
        r'kTestedVersions\[\] = \{"(\d+)"\}', (root / "cpp/sandbox/wasmtime_api.cpp").read_text()
    )
    assert known is not None
    wanted = f'"wasmtime>={known[1]},<{int(known[1]) + 1}"'
    assert wanted in (root / "pyproject.toml").read_text()


def test_unknown_engine_is_refused() -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="expected one of wasmedge, wasmtime"):
        wasmgrad.Sandbox("guest.wasm", engine="v8")
