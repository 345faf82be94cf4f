"""A model that trains compiles, and predicts what libtorch predicts.

A usual run takes one format of each model, WASMGRAD_SWEEP=1 all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad import Trainer

from .. import sweep

BATCH, BATCHES, CLASSES = 4, 25, 3
Arrays = dict[str, NDArray[Any]]


class Encoder(nn.Module):
    def __init__(self, *, norm_first: bool = False, activation: str = "relu") -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            16, 2, 32, batch_first=True, norm_first=norm_first, activation=activation
        )
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x).mean(1))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        mixed, _ = self.attention(x, x, x)
        return self.head(mixed.mean(1))


class Causal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.head(F.scaled_dot_product_attention(q, k, v, is_causal=True)[:, -1])


class Masked(nn.Module):
    """An encoder of words, where 0 is padding."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.encoder(self.words(ids), src_key_padding_mask=ids == 0)[:, 0])


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.recurrent = kind(16, 12, batch_first=True)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.recurrent(x)
        return self.head(states[:, -1])


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.words(ids).mean(1))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.deep = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.out = nn.Conv2d(16, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.down(x)
        return self.out(torch.cat([wide, self.up(self.deep(wide))], 1)).mean([2, 3])


class Pictures(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout2d(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(8, CLASSES),
        )  # fmt: skip


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(16, 16)
        self.kind = nn.Linear(16, CLASSES)
        self.size = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        inner = torch.tanh(self.body(x))
        return {"kind": self.kind(inner), "size": self.size(inner)}


MODELS: dict[str, tuple[Callable[[], nn.Module], str, tuple[int, ...]]] = {
    "encoder": (Encoder, "x", (5, 16)),
    "encoder, norm first": (lambda: Encoder(norm_first=True, activation="gelu"), "x", (5, 16)),
    "attention": (Attention, "x", (5, 16)),
    "causal": (Causal, "x", (5, 16)),
    "masked": (Masked, "ids", (6,)),
    "lstm": (lambda: Recurrent(nn.LSTM), "x", (6, 16)),
    "u-net": (UNet, "x", (3, 8, 8)),
    "words": (Words, "ids", (6,)),
    "gru": (lambda: Recurrent(nn.GRU), "x", (6, 16)),
    "pictures": (Pictures, "input", (3, 8, 8)),
    "heads": (Heads, "x", (16,)),
}
"""How it is made, the name of its input, and the input's shape without the batch."""

FORMATS = ["scripted", "traced", "exported"]
ALL = [(name, form) for name in MODELS for form in FORMATS if (name, form) != ("heads", "traced")]
SAMPLE = [(name, FORMATS[(2 * i) % 3]) for i, name in enumerate(MODELS)]


def rows(name: str, count: int, seed: int) -> NDArray[Any]:
    _, argument, shape = MODELS[name]
    random = np.random.default_rng(seed)
    if argument == "ids":
        ids = random.integers(0, 9, (count, *shape))
        ids[:, 0] = 1  # no row is all padding
        return ids
    return random.standard_normal((count, *shape), np.float32)


def write(name: str, form: str, folder: Path) -> Path:
    make, _, _ = MODELS[name]
    torch.manual_seed(0)
    model, example = make(), torch.from_numpy(rows(name, BATCH, 0))
    path = folder / ("model.pt2" if form == "exported" else "model.pt")
    if form == "scripted":
        torch.jit.script(model).save(str(path))
    elif form == "traced":
        torch.jit.trace(model.eval(), example, check_trace=False).save(str(path))
    else:
        batch = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(model, (example,), dynamic_shapes=batch), path)
    return path


def train_a_step(name: str, model: Path) -> Path:
    losses: Any = {"kind": "cross_entropy", "size": "mse"} if name == "heads" else None
    trainer = Trainer(model, losses=losses, keep_integers=True, learning_rate=0.05, seed=0, threads=1)
    random = np.random.default_rng(1)
    labels = random.integers(0, CLASSES, BATCH)
    targets: Any = labels
    if name == "heads":
        targets = {"kind": labels, "size": random.standard_normal((BATCH, 1), np.float32)}
    trainer.step([rows(name, BATCH, 1)], targets)
    saved = model.with_name("trained.pt")
    trainer.save(saved)
    return saved


def assert_predictions_equal(name: str, file: Path, predict: Callable[[Tensor], Any]) -> None:
    _, argument, shape = MODELS[name]
    if file.suffix == ".pt":
        argument = torch.jit.load(file).forward.schema.arguments[1].name
    module = wasmgrad.compile(file, shapes={argument: (BATCH, *shape)})
    for seed in range(BATCHES):
        inputs = rows(name, BATCH, seed)
        with torch.no_grad():
            expected = predict(torch.from_numpy(inputs))
        wanted = list(expected.values()) if isinstance(expected, dict) else [expected]
        outputs = module(inputs)
        actual = outputs if isinstance(outputs, tuple) else (outputs,)
        for ours, theirs in zip(actual, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-5)
    module.close()


@pytest.mark.parametrize(("name", "form"), ALL if sweep.WHOLE else SAMPLE)
def test_a_trained_model_predicts_what_libtorch_predicts(name: str, form: str, tmp_path: Path) -> None:
    trained = train_a_step(name, write(name, form, tmp_path))
    assert_predictions_equal(name, trained, torch.jit.load(trained).eval())


@pytest.mark.parametrize("name", MODELS if sweep.WHOLE else ["encoder", "u-net"])
def test_a_program_with_an_open_batch_compiles_for_one(name: str, tmp_path: Path) -> None:
    make, _, _ = MODELS[name]
    torch.manual_seed(0)
    model, example = make().eval(), torch.from_numpy(rows(name, BATCH, 0))
    path = tmp_path / "model.pt2"
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(model, (example,), dynamic_shapes=batch), path)
    assert_predictions_equal(name, path, model)
