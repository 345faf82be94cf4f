"""The step of a whole model, before it is compiled, does what the training host does with the model itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad import Trainer, Unsupported
from wasmgrad._training.step_options import TrainOptions
from wasmgrad.compiler.training.open import open_step, recording

BATCH, CLASSES = 8, 4
PICTURES, WORDS = (BATCH, 3, 12, 12), (BATCH, 10)


class Recurrent(nn.Module):
    def __init__(self, cells: nn.Module, width: int) -> None:
        super().__init__()
        self.words, self.cells, self.head = nn.Embedding(30, 12), cells, nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(self.words(x))[0][:, -1])


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm, self.qkv = nn.Embedding(30, 16), nn.LayerNorm(16), nn.Linear(16, 48)
        self.out, self.wide, self.narrow = nn.Linear(16, 16), nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.words(x)
        n, t, d = x.shape
        qkv = self.qkv(self.norm(x)).view(n, t, 3, 2, 8).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(n, t, d))
        return self.head((x + self.narrow(F.gelu(self.wide(x)))).mean(1))


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.bottom = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 16, 3, 1, 1)
        self.up, self.merge = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, CLASSES, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = F.relu(self.down(x))
        two = self.up(F.relu(self.bottom(F.max_pool2d(one, 2))))
        return self.merge(torch.cat([one, two], 1)).mean((2, 3))


def ended(*layers: nn.Module, width: int) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "lstm": (lambda: Recurrent(nn.LSTM(12, 16, batch_first=True), 16), WORDS),
    "lstm-both-ways": (
        lambda: Recurrent(nn.LSTM(12, 8, 2, bidirectional=True, batch_first=True), 16),
        WORDS,
    ),
    "gru": (lambda: Recurrent(nn.GRU(12, 16, batch_first=True), 16), WORDS),
    "rnn": (lambda: Recurrent(nn.RNN(12, 16, batch_first=True), 16), WORDS),
    "encoder": (Encoder, WORDS),
    "resnet": (lambda: ended(nn.Conv2d(3, 8, 3, 1, 1), Residual(8, 8, 1), Residual(8, 12, 2), width=12), PICTURES),
    "u-net": (UNet, PICTURES),
    "depthwise": (
        lambda: ended(
            nn.Conv2d(3, 12, 1), nn.BatchNorm2d(12), nn.ReLU6(), nn.Conv2d(12, 12, 3, 2, 1, groups=12),
            nn.GroupNorm(2, 12), nn.SiLU(), width=12,
        ),
        PICTURES,
    ),
}  # fmt: skip
# Not Adam, which makes as much of a gradient that is 0 but for rounding as of any other.
OPTIONS: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.02, "momentum": 0.9}


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().train()


@pytest.mark.parametrize("name", MODELS)
def test_steps_of_a_model_are_the_training_hosts(name: str) -> None:
    make, shape = MODELS[name]
    net = seeded(make)
    words = shape == WORDS
    argument = "input" if isinstance(net, nn.Sequential) else "x"
    step = open_step(net, {argument: shape}, TrainOptions(**OPTIONS))
    host = Trainer(net, threads=1, batch_size=BATCH, keep_integers=words, **OPTIONS)
    draw = np.random.default_rng(0)
    x = draw.integers(0, 30, shape) if words else draw.standard_normal(shape).astype(np.float32)
    y = draw.integers(0, CLASSES, BATCH)
    given = {argument: torch.from_numpy(x), "target": torch.from_numpy(y), "rows": torch.tensor(BATCH)}
    states = dict(step.states)
    function = step.function("step")
    for _ in range(5):
        with recording():
            results = dict(function(*({**states, **given}[each.name] for each in step.arguments("step"))))
        states.update({each: results.get(f"next.{each}", tensor) for each, tensor in states.items()})
        np.testing.assert_allclose(results["loss"].item(), host.step(x, y).loss, rtol=1e-5)
    for each, theirs in host.state_dict().items():
        ours = states.get(f"model.{each}", step.fixed.get(each))
        assert ours is not None
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=2e-3, atol=2e-5, err_msg=each)


class Listed(nn.Module):
    """Reads a parameter from a list of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.weights = [self.layer.weight]

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.weights:
            x = x @ weight
        return x


def test_a_parameter_in_a_place_that_is_not_known_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"keeps the parameter 'layer\.weight' in another place as well"):
        open_step(seeded(Listed), {"x": (BATCH, 4)}, TrainOptions(**OPTIONS))
