"""One guest, unchanged: alone, in two processes under torchrun, and as a task of Flower's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from wasmgrad import Sandbox, models
from wasmgrad.federated import Federation, run_rounds
from wasmgrad.federated._grid import LocalGrid

from ..training.torchrun import WASMGRAD, torchrun
from .nodes import any_policy, initial

OPTIONS = {"epochs": 1, "optimizer": "sgd", "learning_rate": 0.05, "batch_size": 128, "seed": 3, "threads": 1}


@pytest.mark.long
def test_a_guest_trains_the_same_alone_under_torchrun_and_under_flower(
    tmp_path: Path, mnist_guest: Path, few_digits: Path
) -> None:
    model, args = models.build("lenet-5"), ("--model", "model")
    (tmp_path / "model.pt").write_bytes(model)
    sandbox = Sandbox(
        mnist_guest, args=args, dirs=[f"{few_digits}:/data:ro"], models={"model": tmp_path / "model.pt"}
    )
    alone = load(sandbox.run(weights=initial(model), **OPTIONS).weights or b"")  # type: ignore[arg-type]

    guest = mnist_guest.read_bytes()
    how = Federation(guest=guest, model=model, args=args, options=OPTIONS, rounds=1, nodes=1)
    federated, _ = run_rounds(how, LocalGrid([any_policy(few_digits)]))
    for name, value in alone.items():
        np.testing.assert_array_equal(federated[name], value, err_msg=name)

    options = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    command = (str(WASMGRAD), "train", "--json", "--distributed", "--model", "model=model.pt", "-o", "out.pt")
    grant = ("--dir", f"{few_digits}:/data:ro")
    done = torchrun(2, "--no-python", *command, *options, *grant, str(mnist_guest), *args, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    together = torch.jit.load(str(tmp_path / "out.pt")).state_dict()
    for name, value in alone.items():
        np.testing.assert_allclose(together[name].numpy(), value, atol=1e-5, err_msg=name)
