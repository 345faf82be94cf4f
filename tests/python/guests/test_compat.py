"""Guests of both earlier revisions of the import, byte for byte in layout, run unchanged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmgrad
from wasmgrad._training.default import prepare_mnist

GUESTS = Path(__file__).resolve().parents[2] / "guests"
CLASSIC_PAGES = 6477


def build(name: str, folder: Path) -> Path:
    shutil.copy(GUESTS / f"{name}.c", folder)
    shutil.copy(GUESTS / "compat_mnist.h", folder)
    return wasmgrad.build_guest(folder, folder / f"{name}.wasm")


@pytest.fixture(scope="session")
def v11(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("compat_v11", tmp_path_factory.mktemp("compat_v11"))


@pytest.fixture(scope="session")
def v9(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("compat_v9", tmp_path_factory.mktemp("compat_v9"))


@pytest.fixture
def granted(tmp_path: Path) -> Path:
    (tmp_path / "model.pt").write_bytes(wasmgrad.models.build("mlp"))
    return tmp_path


def run(
    guest: Path,
    granted: Path,
    *,
    images: int = 600,
    epochs: int = 2,
    batches_per_epoch: int | None = None,
    default_model: Path | None = None,
    limits: wasmgrad.Limits | None = None,
    on_event: Callable[[wasmgrad.Event], None] | None = None,
) -> wasmgrad.TrainingResult:
    return wasmgrad.train(
        guest,
        args=["model.pt", str(images)],
        dirs=[f"{prepare_mnist()}:/data:ro", f"{granted}:."],
        default_model=default_model,
        limits=limits,
        on_event=on_event,
        epochs=epochs,
        batches_per_epoch=batches_per_epoch,
        threads=1,
    )


def test_v11_trains_the_model_of_its_path(v11: Path, granted: Path) -> None:
    (first, second) = run(v11, granted).epochs
    assert first.train.samples == 600
    assert second.train.loss < first.train.loss


def test_v9_trains_the_default_model(v9: Path, granted: Path) -> None:
    (first, second) = run(v9, granted, default_model=granted / "model.pt").epochs
    assert first.train.samples == 600
    assert second.train.loss < first.train.loss


def test_v9_without_a_default_model_is_told_so(v9: Path, granted: Path) -> None:
    with pytest.raises(wasmgrad.NotFound, match="no default model"):
        run(v9, granted)


def test_both_revisions_train_alike(v11: Path, v9: Path, granted: Path) -> None:
    by_path = run(v11, granted).epochs
    by_default = run(v9, granted, default_model=granted / "model.pt").epochs
    assert [epoch.train.loss for epoch in by_path] == [epoch.train.loss for epoch in by_default]


def test_v11_tensors_arrive_as_they_were_sent(v11: Path, granted: Path) -> None:
    tensors: list[tuple[str, str, list[int], str]] = []

    def collect(event: wasmgrad.Event) -> None:
        if event["event"] == "tensor":
            tensors.append((event["role"], event["name"], list(event["shape"]), event["dtype"]))

    run(v11, granted, on_event=collect)
    assert tensors == [
        ("train images", "train images", [600, 1, 28, 28], "f32"),
        ("train labels", "train labels", [600], "i64"),
        ("test images", "test images", [100, 1, 28, 28], "f32"),
        ("test labels", "test labels", [100], "i64"),
    ]


def test_whole_data_set_as_floats_fits_the_default_limits(v11: Path, granted: Path) -> None:
    result = run(v11, granted, images=60000, epochs=1, batches_per_epoch=2)
    assert result.epochs[0].train.samples == 256
    assert result.epochs[0].test is not None
    assert result.epochs[0].test.samples == 10000


def test_memory_limit_below_the_classic_size_is_named_by_the_guest(v11: Path, granted: Path) -> None:
    limits = wasmgrad.Limits(memory_pages=CLASSIC_PAGES - 1)
    with pytest.raises(wasmgrad.GuestExit) as caught:
        run(v11, granted, images=60000, limits=limits)
    assert "memory cannot grow to 6477 pages" in caught.value.stderr
