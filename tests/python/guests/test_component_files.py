"""Files, clocks and the console of a component: WASI 0.2 as Python's own library calls it."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import wasmgrad
from wasmgrad import Limits, Sandbox

SOURCE = Path(__file__).resolve().parents[3] / "tests/guests/files_python.py"

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("componentize_py") is None and not os.environ.get("CI"):
        pytest.skip("no compiler of Python guests is installed")
    folder = tmp_path_factory.mktemp("files")
    (folder / "main.py").write_text(SOURCE.read_text())
    return wasmgrad.build_guest(folder)


def run(guest: Path, kind: str, folder: Path, ending: str = "", limits: Limits | None = None) -> str:
    done = Sandbox(guest, args=[kind, "/work"], dirs=[f"{folder}:/work{ending}"], limits=limits).run()
    assert done.exit_code == 0, done.stderr
    if kind == "files":
        assert done.stderr == "error of mine\n"
    return done.stdout


def test_files_clocks_and_console_are_those_of_a_program(guest: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not for the guest")
    folder = tmp_path / "work"
    folder.mkdir()
    seen = json.loads(run(guest, "files", folder))
    assert [name for name, held in seen.items() if not held] == []
    assert len(seen) == 15
    assert (folder / "d/b").read_bytes()[5:11] == b"middle"


def test_nothing_changes_in_a_read_only_directory(guest: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    before = kept.stat()
    seen = json.loads(run(guest, "read-only", tmp_path, ":ro"))
    assert [name for name, held in seen.items() if not held] == []
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (kept.stat().st_mtime_ns, kept.stat().st_nlink) == (before.st_mtime_ns, before.st_nlink)


def test_no_more_files_are_open_than_the_limit_allows(guest: Path, tmp_path: Path) -> None:
    assert run(guest, "open", tmp_path, limits=Limits(open_files=9)) == "9 True\n"
