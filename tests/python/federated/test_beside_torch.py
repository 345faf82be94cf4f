"""Rounds on MNIST by guests beside rounds by plain PyTorch, both through Flower, over the same pictures in one order.

`python tools/federated_beside_torch.py` does it with four owners, five rounds and three seeds.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def beside(mnist: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "beside_torch", ROOT / "tools" / "federated_beside_torch.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.long
@pytest.mark.parametrize(("net", "skewed"), [("lenet-5", True), ("batch norm", False)])
def test_guests_train_as_plain_pytorch_does(beside: ModuleType, net: str, skewed: bool) -> None:
    torch.set_num_threads(1)
    parts = beside.deal(beside.read_mnist("train"), 2, 512, skewed, seed=1)
    model = beside.scripted(net, 1)
    ours, theirs = beside.by_guests(model, parts, 2), beside.by_torch(model, parts, 2)
    for name, value in theirs.items():
        if name.endswith("num_batches_tracked"):
            assert ours[name] == round(float(value))
        else:
            np.testing.assert_allclose(ours[name], value, atol=2e-4, err_msg=name)
    test = beside.read_mnist("t10k")
    accuracies = [beside.accuracy(model, state, test) for state in (ours, theirs)]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.005)
