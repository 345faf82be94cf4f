"""Files that earlier versions wrote are read by this one: models, checkpoints, graph modules and guests.

tests/artefacts/make.py wrote each folder with the version that it is called after.
"""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import wasmgrad

ARTEFACTS = Path(__file__).resolve().parents[1] / "artefacts"
VERSIONS = sorted(path for path in ARTEFACTS.iterdir() if (path / "expected.json").exists())

pytestmark = pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_artefacts", ARTEFACTS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def expected(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "expected.json").read_text()))


@pytest.mark.parametrize("name", ["model.pt", "model.pt2", "trained.pt"])
def test_a_model_trains(folder: Path, maker: ModuleType, name: str) -> None:
    trainer = maker.trainer((folder / name).read_bytes())
    losses = [trainer.train_epoch(maker.data()).train.loss for _ in range(5)]
    assert losses[-1] < losses[0]


def test_a_checkpoint_goes_on(folder: Path, maker: ModuleType, expected: dict[str, Any]) -> None:
    trainer = maker.trainer((folder / "model.pt").read_bytes())
    trainer.restore(folder / "state.safetensors")
    assert trainer.epoch == 1
    trainer.train_epoch(maker.data())
    # The bias before the batch norm has no gradient but rounding, which Adam scales to whole steps: another CPU takes
    # others.
    assert trainer.evaluate(maker.data()).loss == pytest.approx(expected["loss_after_restore"], rel=0.1)


@pytest.mark.parametrize("engine", ["wasmtime", "wasmedge", pytest.param("node", marks=pytest.mark.node)])
def test_a_graph_module_runs(folder: Path, expected: dict[str, Any], engine: Any) -> None:
    module = wasmgrad.load(folder / "model.wasm", engine=engine)
    output = module(np.array(expected["input"], np.float32))
    module.close()
    np.testing.assert_allclose(output, np.array(expected["output"], np.float32), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ["wasmedge", "wasmtime"])
def test_a_guest_of_the_earlier_interface_trains(
    folder: Path, engine: Any, linear_model: Path, tmp_path: Path
) -> None:
    result = wasmgrad.train(
        folder / "earlier_interface.wasm",
        args=["--samples", "256"],
        models={"linear.pt": linear_model},
        output=tmp_path / "out.pt",
        engine=engine,
    )
    assert result.epochs[-1].train.loss < result.epochs[0].train.loss


@pytest.mark.parametrize("engine", ["wasmedge", "wasmtime"])
def test_a_guest_of_the_training_interface_trains(folder: Path, engine: Any, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 28, 28), np.uint8)
    for name in ("train", "t10k"):
        head = struct.pack(">IIII", 0x803, 64, 28, 28)
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        labels = struct.pack(">II", 0x801, 64) + bytes(i % 10 for i in range(64))
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(labels)
    (tmp_path / "mlp.pt").write_bytes(wasmgrad.models.build("mlp"))
    (tmp_path / "out").mkdir()
    result = wasmgrad.Sandbox(
        folder / "training_v1.wasm",
        args=["--epochs", "2"],
        dirs=[f"{tmp_path}:/data:ro", f"{tmp_path / 'out'}:/out"],
        models={"model.pt": tmp_path / "mlp.pt"},
        engine=engine,
    ).run()
    assert result.exit_code == 0, result.stderr
    assert "epoch 2" in result.stdout
