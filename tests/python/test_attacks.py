"""Hostile models against the whole host: refused before they run, or contained when they misbehave while running."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import wasmgrad
from wasmgrad import Limits

ATTACKS = Path(__file__).resolve().parents[1] / "attacks"
LOAD_ALL = """
import json, sys
from pathlib import Path
import wasmgrad
verdicts = {}
for path in Path(sys.argv[1]).glob("*.pt"):
    try:
        wasmgrad.Trainer(path)
    except wasmgrad.Error as error:
        verdicts[path.name] = [error.kind, error.message]
print(json.dumps(verdicts))
"""
SECRET = "what no model may read"


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of all attacks and their manifest."""
    folder = tmp_path_factory.mktemp("attacks")
    subprocess.run([sys.executable, "-B", ATTACKS / "make_attacks.py", folder], check=True)
    return folder


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A working directory with a file that models try to read; they try to write beside it."""
    (tmp_path / "secret.txt").write_text(SECRET)
    return tmp_path


def assert_untouched(canary: Path) -> None:
    assert [path.name for path in canary.rglob("*")] == ["secret.txt"]
    assert (canary / "secret.txt").read_text() == SECRET


def test_every_hostile_model_is_refused_and_reaches_no_file(attacks: Path, canary: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, attacks], cwd=canary, capture_output=True, text=True, check=True
    )
    verdicts: dict[str, list[str]] = json.loads(child.stdout)
    expected = json.loads((attacks / "manifest.json").read_text())["refuse"]
    assert len(expected) >= 100
    for attack in expected:
        kind, message = verdicts[attack["file"]]
        assert kind == attack["errc"], attack["file"]
        assert attack["word"] in message
        assert "\n" not in message
        assert SECRET not in message
    assert child.stderr == ""
    assert_untouched(canary)


@pytest.mark.parametrize(
    "name",
    [
        "asks-for-terabytes",
        "hoards-memory",
        "overflows-shape",
        "raises",
        "divides-by-zero",
        "looks-outside-table",
        "loops-for-ever",
    ],
)
def test_model_that_misbehaves_while_it_runs_is_contained(
    attacks: Path, canary: Path, regression_guest: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ends = {
        attack["file"]: attack["errc"]
        for attack in json.loads((attacks / "manifest.json").read_text())["contain"]
    }
    monkeypatch.chdir(canary)
    seconds = 5 if ends[f"{name}.pt"] == "timeout" else 120
    with pytest.raises(wasmgrad.Error) as caught:
        wasmgrad.train(
            regression_guest,
            models={"linear.pt": attacks / f"{name}.pt"},
            args=["--samples", "64"],
            limits=Limits(wall_seconds=seconds, process_bytes=1 << 30),
            epochs=1,
            threads=1,
        )
    assert caught.value.kind == ends[f"{name}.pt"], caught.value.message
    assert "\n" not in caught.value.message
    assert_untouched(canary)
