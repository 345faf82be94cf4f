"""`wasmgrad federated new` and `run`: a project for Flower, tried in one process."""

from __future__ import annotations

import io
import tomllib
import zipfile
from collections.abc import Callable
from importlib.metadata import requires, version
from pathlib import Path

import pytest
import torch
from flwr.cli.build import build_fab_from_disk
from packaging.requirements import Requirement
from safetensors.numpy import load_file

from ..conftest import Command
from .nodes import Small, initial, scripted, write_rows


@pytest.fixture
def project(tmp_path: Path, command: Command, build_c_guest: Callable[[str], Path]) -> Path:
    torch.manual_seed(1)
    (tmp_path / "model.pt").write_bytes(scripted(Small()))
    write_rows(tmp_path / "data", seed=1)
    how = ("--guest", str(build_c_guest("task")), "--model", "model.pt", "--args", "fit", "--data", "data")
    done = command("federated", "new", "my rows", *how)
    assert done.returncode == 0, done.stderr
    return tmp_path / "my rows"


def test_a_project_runs_and_goes_on(project: Path, command: Command) -> None:
    run = ("federated", "run", str(project), *2 * ("--policy", str(project / "policy.toml")))
    first = command(*run, "--set", "rounds=1")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("round 1: accuracy ")
    again = command(
        *run, "--set", "rounds=2", "--set", "strategy=fedavg", "--set", "option.learning_rate=0.01"
    )
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in (project / "rounds").iterdir()) == [
        "round-00001.safetensors",
        "round-00002.safetensors",
    ]
    state = initial(scripted(Small()))
    assert {name: value.shape for name, value in load_file(project / "trained.safetensors").items()} == {
        name: value.shape for name, value in state.items()
    }


def test_flower_builds_the_app_of_a_project(project: Path) -> None:
    """As `flwr run` does. Guests are no part of it."""
    packed = zipfile.ZipFile(io.BytesIO(build_fab_from_disk(project))).namelist()
    assert "my_rows/server_app.py" in packed
    assert "guest.wasm" not in packed


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ("nonsense=1", "'nonsense'"),
        ("strategy=best", "strategy 'best'"),
        ("rounds=many", "rounds is 'many'"),
        ("x", "--set x"),
    ],
)
def test_what_is_wrong_is_one_sentence(project: Path, command: Command, changed: str, named: str) -> None:
    done = command(
        "federated", "run", str(project), "--policy", str(project / "policy.toml"), "--set", changed
    )
    assert done.returncode == 3
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_with_files_is_left_alone(project: Path, command: Command) -> None:
    done = command("federated", "new", str(project))
    assert "exists already" in done.stderr
    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"] == "my-rows"


def test_a_node_starts_no_other_program(project: Path, command: Command) -> None:
    policy = str(project / "policy.toml")
    for option in ("--isolation=process", "--allow-runtime-dependency-installation"):
        done = command("federated", "node", policy, option)
        assert done.returncode == 3
        assert "starts its own program" in done.stderr
    done = command("federated", "node", str(project / "none.toml"))
    assert "none.toml" in done.stderr


def test_wasmgrad_and_flower_are_installed_together() -> None:
    """Every version that one of them asks for is here."""
    for package in ("wasmgrad", "flwr", "dp-accounting"):
        for text in requires(package) or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                assert wanted.specifier.contains(version(wanted.name), prereleases=True), f"{package}: {text}"
