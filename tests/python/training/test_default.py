"""The packaged MNIST files are decompressed once and checked."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
import wasmgrad
from wasmgrad._files import find_part
from wasmgrad._training.default import guest_with_grants, prepare_mnist


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the packed data that is looked at first, with an empty cache."""
    folder = tmp_path / "home/data/mnist"
    shutil.copytree(find_part("data/mnist", "data/mnist"), folder)
    monkeypatch.setenv("WASMGRAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WASMGRAD_CACHE", str(tmp_path / "cache"))
    return folder


def test_four_files_of_the_right_size(mnist: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in mnist.glob("*-ubyte")}
    assert sizes == {
        "train-images-idx3-ubyte": 47040016,
        "train-labels-idx1-ubyte": 60008,
        "t10k-images-idx3-ubyte": 7840016,
        "t10k-labels-idx1-ubyte": 10008,
    }


def test_second_time_nothing_is_written(packed: Path) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in prepare_mnist().iterdir()}
    assert {path: path.stat().st_mtime_ns for path in prepare_mnist().iterdir()} == stamps


def test_wrong_contents_are_refused(packed: Path) -> None:
    (packed / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"other"))
    with pytest.raises(wasmgrad.InvalidEncoding, match=r"t10k-labels-idx1-ubyte\.gz: its SHA-256 is not"):
        prepare_mnist()


def test_truncated_file_is_refused(packed: Path) -> None:
    path = packed / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(wasmgrad.InvalidEncoding, match="not a whole gzip file"):
        prepare_mnist()


def test_missing_file_is_named(packed: Path) -> None:
    (packed / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(wasmgrad.NotFound, match=r"train-images-idx3-ubyte\.gz: this MNIST file is missing"):
        prepare_mnist()


def test_named_model_takes_the_place_of_the_default(mnist: Path) -> None:
    _, settings = guest_with_grants(
        None, mnist, {"args": ["--f32"], "dirs": [], "models": {"mine.pt": "m.pt"}}
    )
    assert settings["models"] == {"mine.pt": "m.pt"}
    assert settings["args"] == ["--model", "mine.pt", "--f32"]
    assert settings["dirs"] == [f"{mnist}:/data:ro"]
