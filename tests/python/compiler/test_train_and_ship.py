"""A model that `wasmgrad train` has trained, compiled: its predictions are libtorch's, image by image."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[3]
BATCH = 250


def idx(name: str, header: int) -> NDArray[np.uint8]:
    raw = gzip.decompress((ROOT / "data/mnist" / f"{name}.gz").read_bytes())
    return np.frombuffer(raw, np.uint8, offset=header)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a short `wasmgrad train` saved."""
    output = tmp_path_factory.mktemp("trained") / "model.pt"
    options = ["--epochs", "1", "--batches-per-epoch", "50", "--output", str(output)]
    subprocess.run([sys.executable, "-m", "wasmgrad", "train", *options], check=True, cwd=output.parent)
    return output


@pytest.fixture(scope="module")
def images() -> NDArray[np.float32]:
    """The 10,000 test images, 0 to 1."""
    return idx("t10k-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28).astype(np.float32) / np.float32(255)


@pytest.fixture(scope="module")
def shipped(trained: Path, images: NDArray[np.float32]) -> NDArray[Any]:
    """Logits of the compiled model for all test images."""
    module = wasmgrad.compile(trained, shapes={"input": (BATCH, 1, 28, 28)})
    results = [module(batch) for batch in np.split(images, len(images) // BATCH)]
    module.close()
    return np.concatenate(results)


def test_predictions_equal_libtorchs(
    trained: Path, images: NDArray[np.float32], shipped: NDArray[Any]
) -> None:
    model = torch.jit.load(trained).eval()
    with torch.no_grad():
        expected = np.concatenate([model(batch).numpy() for batch in torch.from_numpy(images).split(BATCH)])
    np.testing.assert_array_equal(shipped.argmax(1), expected.argmax(1))


def test_the_shipped_model_has_learnt(shipped: NDArray[Any]) -> None:
    accuracy = np.mean(shipped.argmax(1) == idx("t10k-labels-idx1-ubyte", 8))
    assert accuracy > 0.8
