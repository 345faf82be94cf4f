"""Any guest in the sandbox: how it ends, and that each limit ends it with one sentence."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import wasmgrad
import wasmtime
from wasmgrad import Limits, Sandbox

Build = Callable[[str], Path]

on_both_engines = pytest.mark.parametrize("engine", ["wasmedge", "wasmtime"])


@pytest.fixture
def guest(build_c_guest: Build) -> Path:
    return build_c_guest("misbehave")


@on_both_engines
def test_exit_code_is_a_result(regression_guest: Path, engine: str) -> None:
    result = Sandbox(regression_guest, args=["--no-such-option"], engine=engine).run()
    assert result.exit_code == 2
    assert "--no-such-option" in result.stderr
    assert result.stdout == ""


@on_both_engines
def test_console_output_is_returned(regression_guest: Path, engine: str) -> None:
    result = Sandbox(regression_guest, args=["--help"], engine=engine).run()
    assert result.exit_code == 0
    assert result.stdout.startswith("usage: regression.wasm")


@on_both_engines
def test_missing_guest_is_named(tmp_path: Path, engine: str) -> None:
    with pytest.raises(wasmgrad.NotFound, match=r"absent\.wasm"):
        Sandbox(tmp_path / "absent.wasm", engine=engine).run()


@on_both_engines
def test_file_that_is_no_wasm_is_refused(tmp_path: Path, engine: str) -> None:
    (tmp_path / "text.wasm").write_text("hello")
    with pytest.raises(wasmgrad.InvalidEncoding):
        Sandbox(tmp_path / "text.wasm", engine=engine).run()


@pytest.mark.parametrize(
    "limits",
    [
        Limits(wall_seconds=1),
        Limits(open_files=9),
        Limits(output_bytes=9),
        Limits(process_bytes=1 << 30),
        Limits(grace_seconds=1),
    ],
)
@on_both_engines
def test_limits_of_the_child_process_need_isolation(
    regression_guest: Path, limits: Limits, engine: str
) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="needs an isolated run"):
        Sandbox(regression_guest, limits=limits, isolate=False, engine=engine).run()


@pytest.mark.parametrize("isolate", [True, False])
@on_both_engines
def test_trap_is_an_error(guest: Path, isolate: bool, engine: str) -> None:
    with pytest.raises(wasmgrad.RuntimeFailure, match="unreachable"):
        Sandbox(guest, args=["trap"], isolate=isolate, engine=engine).run()


@pytest.mark.parametrize("code", [3, 300])
@pytest.mark.parametrize("isolate", [True, False])
@on_both_engines
def test_own_exit_code_is_kept(guest: Path, isolate: bool, code: int, engine: str) -> None:
    assert Sandbox(guest, args=[f"exit-{code}"], isolate=isolate, engine=engine).run().exit_code == code


@on_both_engines
def test_endless_loop_ends_at_its_time_limit(guest: Path, engine: str) -> None:
    with pytest.raises(wasmgrad.TimeLimit, match=r"time limit of 0\.5 s"):
        Sandbox(guest, args=["loop"], limits=Limits(wall_seconds=0.5), engine=engine).run()


@pytest.mark.parametrize("mode", ["recurse", "recurse-native"])
@on_both_engines
def test_endless_recursion_ends_the_child_only(guest: Path, mode: str, engine: str) -> None:
    with pytest.raises(wasmgrad.Error) as caught:
        Sandbox(guest, args=[mode], limits=Limits(wall_seconds=60), engine=engine).run()
    assert not isinstance(caught.value, wasmgrad.TimeLimit)
    assert "\n" not in caught.value.message


@on_both_engines
def test_memory_stops_at_its_limit(guest: Path, engine: str) -> None:
    result = Sandbox(guest, args=["grow"], limits=Limits(memory_pages=1024), engine=engine).run()
    pages = int(result.stderr.split()[-2])
    assert result.exit_code == 1
    assert 512 < pages <= 1024


@on_both_engines
def test_guest_that_needs_more_memory_than_allowed_is_refused(guest: Path, engine: str) -> None:
    with pytest.raises(wasmgrad.TooLarge, match="page"):
        Sandbox(guest, args=["exit-3"], limits=Limits(memory_pages=1), engine=engine).run()


@on_both_engines
def test_console_flood_ends_at_its_limit(guest: Path, engine: str) -> None:
    with pytest.raises(wasmgrad.TooLarge, match="limit of 100000 bytes"):
        Sandbox(guest, args=["flood"], limits=Limits(output_bytes=100_000), engine=engine).run()


@pytest.mark.parametrize("limit", [8, 64])
@on_both_engines
def test_open_files_stop_at_their_limit(guest: Path, tmp_path: Path, limit: int, engine: str) -> None:
    result = Sandbox(
        guest, args=["open-many"], dirs=[f"{tmp_path}:."], limits=Limits(open_files=limit), engine=engine
    ).run()
    assert result.exit_code == 1
    assert result.stderr == f"refused after {limit} files\n"


@on_both_engines
def test_written_file_stops_at_its_limit(guest: Path, tmp_path: Path, engine: str) -> None:
    limits = Limits(output_bytes=1 << 20)
    result = Sandbox(guest, args=["fill-disk"], dirs=[f"{tmp_path}:."], limits=limits, engine=engine).run()
    assert result.exit_code == 1
    assert (tmp_path / "filler").stat().st_size <= 1 << 20


@on_both_engines
def test_tensors_stop_at_their_limit(regression_guest: Path, linear_model: Path, engine: str) -> None:
    with pytest.raises(wasmgrad.TooLarge):
        Sandbox(
            regression_guest,
            models={"linear.pt": linear_model},
            limits=Limits(tensor_bytes=10_000),
            engine=engine,
        ).run()


def test_refused_limits_are_named(regression_guest: Path) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match=r"limits\.memory_pages"):
        Sandbox(regression_guest, limits=Limits(memory_pages=0)).run()


ENVIRONMENT = """
#include <stdio.h>
extern char** environ;
int main(void) {
  for (char** entry = environ; *entry; ++entry) puts(*entry);
}
"""


@on_both_engines
def test_environment_is_only_what_was_given(tmp_path: Path, engine: str) -> None:
    (tmp_path / "main.c").write_text(ENVIRONMENT)
    guest = wasmgrad.build_guest(tmp_path, tmp_path / "environment.wasm")
    assert Sandbox(guest, env={"A": "1"}, engine=engine).run().stdout == "A=1\n"


SLEEPS = """(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i64.store (i32.const 24) (i64.const 1000000000000))
    (drop (call $poll (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512)))))"""
"""A subscription to the clock, for a thousand seconds."""

STARTS_FOR_EVER = "(module (func $f (loop $again (br $again))) (start $f))"


@on_both_engines
@pytest.mark.parametrize("text", [SLEEPS, STARTS_FOR_EVER], ids=["sleeps", "starts for ever"])
def test_time_limit_ends_what_the_engine_cannot_interrupt(text: str, engine: str, tmp_path: Path) -> None:
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(wasmtime.wat2wasm(text))
    with pytest.raises(wasmgrad.TimeLimit, match=r"time limit of 1 s"):
        Sandbox(guest, limits=Limits(wall_seconds=1), engine=engine).run()


class NeverEnds(torch.nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while x.numel() > 0:
            x = x * self.weight
        return x


@on_both_engines
def test_time_limit_ends_a_model_that_computes_for_ever(
    engine: str, regression_guest: Path, tmp_path: Path
) -> None:
    torch.jit.script(NeverEnds(1, 1)).save(tmp_path / "model.pt")
    limits = Limits(wall_seconds=4)
    models = {"linear.pt": tmp_path / "model.pt"}
    with pytest.raises(wasmgrad.TimeLimit):
        Sandbox(regression_guest, models=models, limits=limits, engine=engine).run()


GROWS_A_TABLE = """(module
  (table $t 1 externref)
  (func (export "_start")
    (loop $again
      (br_if $again (i32.ne (i32.const -1) (table.grow $t (ref.null extern) (i32.const 1000000)))))))"""


@on_both_engines
def test_table_growth_counts_against_a_limit(engine: str, tmp_path: Path) -> None:
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(wasmtime.wat2wasm(GROWS_A_TABLE))
    limits = Limits(process_bytes=768 << 20, wall_seconds=60)
    events: list[wasmgrad.Event] = []
    with contextlib.suppress(wasmgrad.RuntimeFailure):  # or growing is refused, and the guest ends by itself
        Sandbox(guest, limits=limits, engine=engine).run(on_event=events.append)
    assert events[-1]["event"] == "end"
    assert events[-1]["peak_rss_bytes"] < 1 << 30


@on_both_engines
@pytest.mark.parametrize("where", ["args", "env", "dirs"])
def test_text_that_is_not_utf8_is_named(engine: str, where: str, guest: Path) -> None:
    bad = os.fsdecode(b"a\xff")
    values: dict[str, dict[str, Any]] = {
        "args": {"args": ["exit-3", bad]},
        "env": {"env": {"KEY": bad}},
        "dirs": {"dirs": [f"/tmp:{bad}"]},
    }
    named = "argument 2 of the guest" if where == "args" else where
    with pytest.raises(wasmgrad.InvalidArgument, match=rf"{named}.* is not UTF-8"):
        Sandbox(guest, engine=engine, **values[where])


def test_interpreting_is_refused_where_there_is_no_interpreter(guest: Path) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="interpret: the engine wasmtime"):
        Sandbox(guest, interpret=True, engine="wasmtime")


@on_both_engines
def test_directory_in_the_place_of_the_output_is_found_before_the_training(
    engine: str, regression_guest: Path, linear_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "trained.pt").mkdir()
    seen: list[str] = []
    with pytest.raises(wasmgrad.RuntimeFailure, match="it is a directory"):
        wasmgrad.train(
            regression_guest,
            models={"linear.pt": linear_model},
            output=tmp_path / "trained.pt",
            engine=engine,
            on_event=lambda event: seen.append(event["event"]),
        )
    assert "epoch" not in seen
