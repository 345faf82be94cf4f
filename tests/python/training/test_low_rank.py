"""Low-rank branches train as W + alpha / rank * B A does in plain torch, and are saved as PEFT saves them."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
import wasmgrad
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad import Trainer

STEPS, BATCH, RATE = 30, 8, 0.02
OPTIONS: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.9, "learning_rate": RATE, "threads": 1}


class Transposed(nn.Module):
    """A linear layer whose weight is [in, out], as GPT-2 has them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x.reshape(-1, x.size(-1)), self.weight).view(-1, self.bias.size(0))


class Layers(nn.Module):
    """A weight of every orientation and use: as `linear`, `addmm`, `matmul` of its transpose, in place afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 10)
        self.second = Transposed(10, 12)
        self.third = nn.Linear(12, 12, bias=False)
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu_()
        x = self.second(x).tanh()
        x = x + torch.matmul(x, self.third.weight.t())
        return self.head(self.norm(x))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, 1, 6) * torch.ones(1, 4, 1) + torch.arange(4.0).view(1, 4, 1)
        x = torch.cat([x, x.sin()], 2)
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


MODELS = {"layers": (Layers, "*"), "attention": (Attention, "*"), "one": (Layers, "second.weight")}
"""Each with the pattern of its weights."""


def scripted(model: nn.Module) -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(model.train()), file)  # type: ignore[no-untyped-call]
    return file.getvalue()


def exported(model: nn.Module) -> bytes:
    file = io.BytesIO()
    batch = {0: torch.export.Dim("batch")}
    torch.export.save(torch.export.export(model.train(), (torch.ones(2, 6),), dynamic_shapes=(batch,)), file)
    return file.getvalue()


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make()


def batches() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS, BATCH, 6, generator=generator)
    return x, (x[..., 0] > 0).long() + (x[..., 1] > 0.5).long()


def weight_of(branch: str, names: Any) -> str:
    """The parameter beside which a branch stands."""
    module = branch.removesuffix(".lora_A.weight").replace(".base_layer", "")
    return f"{module}.weight" if f"{module}.weight" in names else f"{module}.in_proj_weight"


class LowRank:
    """The same in plain torch: the weights that the model is called with are W + scale * B A."""

    def __init__(self, model: nn.Module, start: dict[str, Any], scale: float, transposed: set[str]) -> None:
        self.model, self.scale, self.transposed = model, scale, transposed
        own = dict(model.named_parameters())
        self.branches = {
            weight_of(name, own): (
                torch.tensor(start[name], requires_grad=True),
                torch.tensor(start[name.replace("lora_A", "lora_B")], requires_grad=True),
            )
            for name in start
            if "lora_A" in name
        }

    def merged(self) -> dict[str, Tensor]:
        own = dict(self.model.named_parameters())
        return {
            name: own[name].detach() + self.scale * (b @ a if name not in self.transposed else (b @ a).t())
            for name, (a, b) in self.branches.items()
        }

    def __call__(self, x: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(self.model, self.merged(), (x,))
        return output

    def train(self) -> list[float]:
        optimizer = torch.optim.SGD(
            [each for pair in self.branches.values() for each in pair], RATE, momentum=0.9
        )
        losses = []
        for x, y in zip(*batches(), strict=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(self(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
        return losses


def steps(trainer: Trainer) -> list[float]:
    return [trainer.step(x.numpy(), y.numpy()).loss for x, y in zip(*batches(), strict=True)]


@pytest.mark.parametrize("save", [scripted, exported])
@pytest.mark.parametrize("name", MODELS)
def test_branches_train_as_in_plain_torch_and_nothing_else_does(
    name: str, save: Callable[[nn.Module], bytes], tmp_path: Path
) -> None:
    make, pattern = MODELS[name]
    trainer = Trainer(save(seeded(make)), lora=f"{pattern}:2:6", **OPTIONS)
    start = trainer.state_dict()
    plain = LowRank(seeded(make), start, scale=3.0, transposed={"second.weight"})
    assert len(plain.branches) == {"layers": 4, "attention": 3, "one": 1}[name]
    assert trainer.parameters == sum(each.numel() for pair in plain.branches.values() for each in pair)
    np.testing.assert_allclose(steps(trainer), plain.train(), rtol=1e-4)
    after = trainer.state_dict()
    for key, value in start.items():
        if "lora_" not in key:
            np.testing.assert_array_equal(value, after[key], err_msg=key)
    for key, (a, b) in plain.branches.items():
        names = [branch for branch in after if "lora_A" in branch and weight_of(branch, start) == key]
        np.testing.assert_allclose(after[names[0]], a.detach(), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(
            after[names[0].replace("lora_A", "lora_B")], b.detach(), rtol=1e-3, atol=1e-5
        )
    x = batches()[0][0]
    wanted = plain(x).detach().numpy()
    np.testing.assert_allclose(trainer.predict(x.numpy()), wanted, rtol=1e-3, atol=1e-4)
    # Merged where it is saved, and only there.
    trainer.save(tmp_path / "trained.pt")
    saved = torch.jit.load(tmp_path / "trained.pt")  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(saved(x).detach().numpy(), wanted, rtol=1e-3, atol=1e-4)
    assert not [key for key in saved.state_dict() if "lora" in key]
    trainer.save_weights(tmp_path / "trained.safetensors")
    weights = safetensors.torch.load_file(tmp_path / "trained.safetensors")
    assert weights.keys() == seeded(make).state_dict().keys()
    for key, tensor in saved.state_dict().items():
        assert torch.equal(tensor, weights[key]), key
    for key, value in trainer.state_dict().items():
        np.testing.assert_array_equal(value, after[key], err_msg=key)


def test_a_start_is_that_of_a_linear_layer_and_of_zeros() -> None:
    first, again, other = (
        Trainer(scripted(seeded(Layers)), lora="*:2", seed=seed, **OPTIONS).state_dict() for seed in (1, 1, 2)
    )
    for name, inputs in (("first", 6), ("second", 10), ("head", 12)):
        a = first[f"{name}.lora_A.weight"]
        assert a.shape == (2, inputs) and 0.2 < np.abs(a).max() * inputs**0.5 <= 1 and a.min() < 0 < a.max()
        assert not first[f"{name}.lora_B.weight"].any()
        np.testing.assert_array_equal(a, again[f"{name}.lora_A.weight"])
        assert not np.array_equal(a, other[f"{name}.lora_A.weight"])
    assert not np.array_equal(first["third.lora_A.weight"], first["head.lora_A.weight"])


def test_a_resumed_run_is_the_uninterrupted_one() -> None:
    whole, first, second = (Trainer(scripted(seeded(Layers)), lora="*:2", **OPTIONS) for _ in range(3))
    wanted = steps(whole)
    steps(first)
    second.restore(first.checkpoint())
    assert steps(second) == [whole.step(x.numpy(), y.numpy()).loss for x, y in zip(*batches(), strict=True)]
    assert wanted
    for lora in (None, "*:2:3", "*:3"):
        with pytest.raises(wasmgrad.InvalidArgument, match="lora is"):
            Trainer(scripted(seeded(Layers)), lora=lora, **OPTIONS).restore(first.checkpoint())


def test_adapters_are_peft_s_files(tmp_path: Path) -> None:
    trainer = Trainer(scripted(seeded(Layers)), lora=["second.*:3:6", "*:2"], **OPTIONS)
    steps(trainer)
    trainer.save_adapters(tmp_path / "adapters")
    config = json.loads((tmp_path / "adapters/adapter_config.json").read_text())
    assert (config["peft_type"], config["bias"]) == ("LORA", "none")
    assert config["rank_pattern"] == {"first": 2, "second": 3, "third": 2, "head": 2}
    assert config["alpha_pattern"] == {"first": 2, "second": 6, "third": 2, "head": 2}
    tensors = safetensors.numpy.load_file(tmp_path / "adapters/adapter_model.safetensors")
    state = trainer.state_dict()
    assert len(tensors) == 8
    for name, value in tensors.items():
        np.testing.assert_array_equal(value, state[name.removeprefix("base_model.model.")])
    x = batches()[0][0].numpy()
    for source in (tmp_path / "adapters", tmp_path / "adapters/adapter_model.safetensors", tensors):
        other = Trainer(scripted(seeded(Layers)), lora=["second.*:3:6", "*:2"], seed=9, **OPTIONS)
        assert not np.array_equal(other.predict(x), trainer.predict(x))
        other.load_adapters(source)
        np.testing.assert_array_equal(other.predict(x), trainer.predict(x))
    scaled = Trainer(scripted(seeded(Layers)), lora="*:2:6", **OPTIONS)
    with pytest.raises(
        wasmgrad.InvalidArgument, match=r"'first' has r 2 and lora_alpha 2.*; here it is scaled by 3"
    ):
        scaled.load_adapters(tmp_path / "adapters")
    with pytest.raises(wasmgrad.InvalidArgument, match="shape"):
        scaled.load_adapters(tensors)


def test_weights_are_loaded_beside_branches() -> None:
    trainer = Trainer(scripted(seeded(Layers)), lora="head.weight:2", **OPTIONS)
    torch.manual_seed(5)
    other = Layers()
    assert trainer.load_weights(other.state_dict()) == []
    x = batches()[0][0]
    np.testing.assert_allclose(trainer.predict(x.numpy()), other(x).detach(), rtol=1e-4, atol=1e-5)


class Shared(nn.Module):
    """An embedding whose table is also the last layer's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 6)
        self.body = nn.Linear(6, 6)
        self.last = nn.Linear(6, 5, bias=False)
        self.last.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(self.table(x.argmax(1))))


def test_what_matches_and_cannot_have_a_branch_is_passed_over() -> None:
    trainer = Trainer(scripted(seeded(Shared)), lora="*:2", **OPTIONS)
    assert [name for name in trainer.state_dict() if "lora" in name] == [
        "body.lora_A.weight",
        "body.lora_B.weight",
    ]


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ("*", "expected PATTERN:RANK"),
        ("*:0", "with a rank of 1 to 4096"),
        (":2", "expected PATTERN:RANK"),
        ("*:2:nan", "expected PATTERN:RANK"),
        ("*:2:1:1", "expected PATTERN:RANK"),
        ("*:1.5", "expected PATTERN:RANK"),
        ("none.*:2", "'none.*' matches no weight"),
        ("*.bias:2", "'.*bias' matches no weight"),
        ("first.weight:7", r"the rank 7 is more than 'first.weight' has, which is \[10, 6\]"),
        (["*:2", "head.*:2"], "'head.*' matches no weight"),
        (3, "expected a text"),
    ],
)
def test_a_branch_that_cannot_be_is_refused(lora: Any, message: str) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match=message):
        Trainer(scripted(seeded(Layers)), lora=lora, **OPTIONS)


class Taken(nn.Module):
    """Has a tensor called as a branch would be."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 3)
        self.first.register_module("lora_A", nn.Linear(1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) * self.first.lora_A.bias


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match=r"has a tensor 'first\.lora_A\.weight' already"):
        Trainer(Taken(), lora="first.weight:2", **OPTIONS)


def test_without_branches_there_are_no_adapters(tmp_path: Path) -> None:
    trainer = Trainer(scripted(seeded(Layers)), **OPTIONS)
    with pytest.raises(wasmgrad.InvalidArgument, match="no low-rank branches; the option lora adds them"):
        trainer.save_adapters(tmp_path / "adapters")
    with pytest.raises(wasmgrad.InvalidArgument):
        trainer.load_adapters(copy.deepcopy({"base_model.model.first.lora_A.weight": np.zeros((2, 6))}))
