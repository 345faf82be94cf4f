"""Every wrong call of the training import ends with its own sentence, and leaves the model as it was."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import wasmgrad

GUESTS = Path(__file__).resolve().parents[2] / "guests"
MODES: dict[str, dict[str, str]] = json.loads((GUESTS / "misuse.json").read_text())


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train_misuse")
    shutil.copy(GUESTS / "train_misuse.c", folder)
    return wasmgrad.build_guest(folder, folder / "train_misuse.wasm")


@pytest.fixture(scope="session")
def archive() -> bytes:
    """A model that maps [N, 4] to logits [N, 3]."""
    import torch

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(4, 3)), buffer)
    return buffer.getvalue()


@pytest.fixture
def granted(tmp_path: Path, archive: bytes) -> Path:
    """A directory to grant, with a good model, a bad one, and a link to a good one that lies outside."""
    (tmp_path / "outside.pt").write_bytes(archive)
    folder = tmp_path / "granted"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.pt").write_bytes(archive)
    (folder / "garbage.pt").write_bytes(b"this is no archive" * 100)
    (folder / "escape.pt").symlink_to(tmp_path / "outside.pt")
    return folder


def test_right_call_trains_and_writes_beside_the_model(guest: Path, granted: Path) -> None:
    result = wasmgrad.Sandbox(guest, args=["none"], dirs=[f"{granted}:."]).run()
    assert result.exit_code == 0
    assert result.stdout.endswith("train returned\n")
    assert (granted / "trained_model.pt").exists()


@pytest.mark.parametrize("mode", MODES)
def test_wrong_call_is_told_what_is_wrong(guest: Path, granted: Path, archive: bytes, mode: str) -> None:
    before = sorted(granted.iterdir())
    with pytest.raises(wasmgrad.Error) as caught:
        wasmgrad.Sandbox(guest, args=[mode], dirs=[f"{granted}:."]).run()
    assert MODES[mode]["says"] in caught.value.message
    assert caught.value.kind == MODES[mode]["kind"]
    assert "\n" not in caught.value.message
    assert sorted(granted.iterdir()) == before
    assert (granted / "model.pt").read_bytes() == archive


def test_table_has_every_mode_of_the_guest() -> None:
    source = (GUESTS / "train_misuse.c").read_text()
    assert [line.split('"')[1] for line in source.splitlines() if line.startswith('  MODE("')] == list(MODES)
