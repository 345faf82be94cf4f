"""Files are replaced whole or not at all, and parts are found or named."""

from __future__ import annotations

from pathlib import Path

import pytest
import wasmgrad
from wasmgrad._files import cache_dir, find_part, write_atomic


def test_write_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(wasmgrad.RuntimeFailure, match="folder: cannot be written"):
        write_atomic(tmp_path / "folder", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_write_into_missing_directory_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(wasmgrad.RuntimeFailure, match="No such file or directory"):
        write_atomic(tmp_path / "missing" / "file", b"")


def test_cache_follows_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.delenv("WASMGRAD_CACHE")
    assert cache_dir() == Path("/somewhere/wasmgrad")
    monkeypatch.setenv("WASMGRAD_CACHE", "/elsewhere")
    assert cache_dir() == Path("/elsewhere")


def test_missing_part_is_named() -> None:
    with pytest.raises(wasmgrad.NotFound, match="no-such-part: this part of wasmgrad is missing"):
        find_part("no-such-part")
