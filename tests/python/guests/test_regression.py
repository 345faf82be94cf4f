"""The regression guest: small generated data, named tensors, losses without classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import wasmgrad

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wasmgrad.build_guest(
        ROOT / "guests/examples/regression", tmp_path_factory.mktemp("guest") / "regression.wasm"
    )


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "linear.pt"
    path.write_bytes(wasmgrad.models.build("linear-regression"))
    return path


def test_model_reaches_the_noise_floor(guest: Path, model: Path) -> None:
    result = wasmgrad.train(guest, args=["--noise", "0.1"], models={"linear.pt": model}, threads=1)
    test = result.epochs[-1].test
    assert test is not None
    assert test.loss == pytest.approx(0.01, rel=0.15)
    assert test.accuracy is None


def test_weights_are_those_of_the_printed_function(guest: Path, model: Path) -> None:
    import io

    import torch

    result = wasmgrad.train(guest, models={"linear.pt": model}, threads=1)
    lines = result.stdout.splitlines()
    weights = [float(word) for word in lines[1].removeprefix("w =").split()]
    trained = torch.jit.load(io.BytesIO(result.model)).state_dict()  # type: ignore[no-untyped-call]
    assert trained["0.weight"].flatten().tolist() == pytest.approx(weights, abs=0.02)
    assert trained["0.bias"].item() == pytest.approx(float(lines[2].removeprefix("b = ")), abs=0.02)


def test_tensors_carry_their_names(guest: Path, model: Path) -> None:
    names: list[str] = []

    def collect(event: wasmgrad.Event) -> None:
        if event["event"] == "tensor":
            names.append(event["name"])

    wasmgrad.train(guest, models={"linear.pt": model}, epochs=1, threads=1, on_event=collect)
    assert names == ["features", "target", "features", "target"]


def test_same_seed_prints_the_same_function(guest: Path, model: Path) -> None:
    def printed(seed: str) -> str:
        args = ["--seed", seed]
        return wasmgrad.train(guest, args=args, models={"linear.pt": model}, epochs=0, threads=1).stdout

    assert printed("5") == printed("5")
    assert printed("5") != printed("6")


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
def test_each_regression_loss_falls(guest: Path, model: Path, loss: str) -> None:
    result = wasmgrad.train(guest, args=["--loss", loss], models={"linear.pt": model}, epochs=5, threads=1)
    assert result.epochs[-1].train.loss < result.epochs[0].train.loss / 2
