"""Any guest in the sandbox: how it ends, and that each limit ends it with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import wasmgrad
from wasmgrad import Limits, Sandbox

Build = Callable[[str], Path]


@pytest.fixture
def guest(build_c_guest: Build) -> Path:
    return build_c_guest("misbehave")


def test_exit_code_is_a_result(regression_guest: Path) -> None:
    result = Sandbox(regression_guest, args=["--no-such-option"]).run()
    assert result.exit_code == 2
    assert "--no-such-option" in result.stderr
    assert result.stdout == ""


def test_console_output_is_returned(regression_guest: Path) -> None:
    result = Sandbox(regression_guest, args=["--help"]).run()
    assert result.exit_code == 0
    assert result.stdout.startswith("usage: regression.wasm")


def test_missing_guest_is_named(tmp_path: Path) -> None:
    with pytest.raises(wasmgrad.NotFound, match=r"absent\.wasm"):
        Sandbox(tmp_path / "absent.wasm").run()


def test_file_that_is_no_wasm_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.wasm").write_text("hello")
    with pytest.raises(wasmgrad.InvalidEncoding):
        Sandbox(tmp_path / "text.wasm").run()


@pytest.mark.parametrize(
    "limits",
    [Limits(wall_seconds=1), Limits(handles=9), Limits(output_bytes=9), Limits(process_bytes=1 << 30)],
)
def test_limits_of_the_child_process_need_isolation(regression_guest: Path, limits: Limits) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="needs an isolated run"):
        Sandbox(regression_guest, limits=limits, isolate=False).run()


@pytest.mark.parametrize("isolate", [True, False])
def test_trap_is_an_error(guest: Path, isolate: bool) -> None:
    with pytest.raises(wasmgrad.RuntimeFailure, match="unreachable"):
        Sandbox(guest, args=["trap"], isolate=isolate).run()


@pytest.mark.parametrize("code", [3, 300])
@pytest.mark.parametrize("isolate", [True, False])
def test_own_exit_code_is_kept(guest: Path, isolate: bool, code: int) -> None:
    assert Sandbox(guest, args=[f"exit-{code}"], isolate=isolate).run().exit_code == code


def test_endless_loop_ends_at_its_time_limit(guest: Path) -> None:
    with pytest.raises(wasmgrad.TimeLimit, match=r"time limit of 0\.5 s"):
        Sandbox(guest, args=["loop"], limits=Limits(wall_seconds=0.5)).run()


@pytest.mark.parametrize("mode", ["recurse", "recurse-native"])
def test_endless_recursion_ends_the_child_only(guest: Path, mode: str) -> None:
    with pytest.raises(wasmgrad.Error) as caught:
        Sandbox(guest, args=[mode], limits=Limits(wall_seconds=60)).run()
    assert not isinstance(caught.value, wasmgrad.TimeLimit)
    assert "\n" not in caught.value.message


def test_memory_stops_at_its_limit(guest: Path) -> None:
    result = Sandbox(guest, args=["grow"], limits=Limits(memory_pages=1024)).run()
    pages = int(result.stderr.split()[-2])
    assert result.exit_code == 1
    assert 512 < pages <= 1024


def test_guest_that_needs_more_memory_than_allowed_is_refused(guest: Path) -> None:
    with pytest.raises(wasmgrad.TooLarge, match="page"):
        Sandbox(guest, args=["exit-3"], limits=Limits(memory_pages=1)).run()


def test_console_flood_ends_at_its_limit(guest: Path) -> None:
    with pytest.raises(wasmgrad.TooLarge, match="limit of 100000 bytes"):
        Sandbox(guest, args=["flood"], limits=Limits(output_bytes=100_000)).run()


@pytest.mark.parametrize("limit", [8, 64])
def test_open_files_stop_at_their_limit(guest: Path, tmp_path: Path, limit: int) -> None:
    result = Sandbox(guest, args=["open-many"], dirs=[f"{tmp_path}:."], limits=Limits(handles=limit)).run()
    assert result.exit_code == 1
    assert result.stderr == f"refused after {limit} files\n"


def test_written_file_stops_at_its_limit(guest: Path, tmp_path: Path) -> None:
    limits = Limits(output_bytes=1 << 20)
    result = Sandbox(guest, args=["fill-disk"], dirs=[f"{tmp_path}:."], limits=limits).run()
    assert result.exit_code == 1
    assert (tmp_path / "filler").stat().st_size <= 1 << 20


def test_tensors_stop_at_their_limit(regression_guest: Path, linear_model: Path) -> None:
    with pytest.raises(wasmgrad.TooLarge):
        Sandbox(
            regression_guest, models={"linear.pt": linear_model}, limits=Limits(tensor_bytes=10_000)
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


def test_environment_is_only_what_was_given(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(ENVIRONMENT)
    guest = wasmgrad.build_guest(tmp_path, tmp_path / "environment.wasm")
    assert Sandbox(guest, env={"A": "1"}).run().stdout == "A=1\n"
