"""Guests are compiled by what is there, and what is missing is named."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
import wasmgrad
from wasmgrad import Sandbox
from wasmgrad._guests.toolchain import find_tool_chain, sdk_include

HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); }\n'


def test_c_guest_is_compiled_and_runs(tmp_path: Path) -> None:
    (tmp_path / "hello.c").write_text(HELLO)
    assert Sandbox(wasmgrad.build_guest(tmp_path)).run().stdout == "hello\n"


def test_missing_tool_chain_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(wasmgrad.NotFound, match="pip install ziglang"):
        find_tool_chain()


def test_compiler_s_words_are_passed_on(tmp_path: Path) -> None:
    (tmp_path / "broken.c").write_text("int main(void) { return undeclared; }")
    with pytest.raises(wasmgrad.RuntimeFailure, match="undeclared"):
        wasmgrad.build_guest(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.c"]


def test_directory_without_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="holds no source of a guest"):
        wasmgrad.build_guest(tmp_path)


def test_mixed_languages_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.c").touch()
    (tmp_path / "b.cpp").touch()
    with pytest.raises(wasmgrad.InvalidArgument, match="one language"):
        wasmgrad.build_guest(tmp_path)


def test_new_guest_needs_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(wasmgrad.InvalidArgument, match="exists already"):
        wasmgrad.new_guest(tmp_path)


def test_sdk_headers_are_there() -> None:
    assert (sdk_include() / "wasmgrad/training.h").is_file()
