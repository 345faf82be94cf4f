"""Programs that write in place and through views give what they give in torch: outputs, loss, parameters, buffers.

The programs are drawn from a seed. WASMGRAD_SWEEP=1 takes ten times as many of them as a usual run.
"""

from __future__ import annotations

import importlib.util
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from wasmgrad import Dataset, Trainer

from .. import sweep

MORE = 10 if sweep.WHOLE else 1
SHAPE = (5, 4, 6, 6)

NEW = [
    "{v} = self.c{k}({x})",
    "{v} = self.c{k}({x})",
    "{v} = self.b{k}({x})",
    "{v} = torch.relu({x})",
    "{v} = torch.tanh({x})",
    "{v} = {x} * 0.5",
    "{v} = {x} + {y}",
    "{v} = F.max_pool2d({x}, 3, 1, 1)",
    "{v} = F.interpolate(F.max_pool2d({x}, 2), scale_factor=2.0)",
    "{v} = F.interpolate(F.max_pool2d(F.relu(self.c{k}({x}), inplace=True), 2), scale_factor=2.0)",
    "{v} = torch.cat([{x}[:, :2], {y}[:, 2:]], 1)",
]
VIEW = [
    "{v} = {x}",
    "{v} = {x}.contiguous()",
    "{v} = {x}.transpose(2, 3)",
    "{v} = {x}.flatten(1).view(-1, 4, 6, 6)",
    "{v} = F.dropout({x}, 0.5, training=False)",
    "{v} = {x}.type_as({y})",
    "{v} = {x}.view(-1, 4, 36).view(-1, 4, 6, 6)",
    "{v} = torch.reshape({x}, (-1, 4, 6, 6))",
]
WRITE = [
    "{x}.mul_(0.9)",
    "{x}.add_({y})",
    "{x} += {y}",
    "{x}[:, :2] = 0.0",
    "{x}[:, 1:3] += {y}[:, 0:2]",
    "{x}.relu_()",
    "F.relu({x}, inplace=True)",
    "{x}.transpose(2, 3)[:, 0].fill_(1.0)",
    "{x}.flatten(1).mul_(0.5)",
    "{x}.view(-1, 144)[:, 10:90].add_(1.0)",
    "torch.sigmoid_({x})",
]


def source_of(seed: int) -> str:
    draw = random.Random(seed)
    values = ["x"]
    lines = []
    for count in range(draw.randint(5, 10)):
        kind = draw.choice([NEW, NEW, VIEW, WRITE, WRITE])
        text = draw.choice(NEW if count == 0 else kind)
        # Later values are likelier: autograd refuses writes to what an operator before them keeps.
        x = values[-1] if draw.random() < 0.7 else draw.choice(values)
        lines.append(text.format(v=f"v{count}", x=x, y=draw.choice(values), k=draw.randrange(3)))
        if text.startswith("{v}"):
            values.append(f"v{count}")
    pooled = ", ".join(f"{value}.mean((2, 3))" for value in (values[-1], draw.choice(values)))
    body = "\n        ".join([*lines, f"return self.l(torch.cat([{pooled}], 1))"])
    layers = "".join(
        f"        self.c{k} = nn.Conv2d(4, 4, 3, padding=1)\n        self.b{k} = nn.BatchNorm2d(4)\n"
        for k in range(3)
    )
    return (
        "import torch\nimport torch.nn.functional as F\nfrom torch import Tensor, nn\n\n\n"
        "class Drawn(nn.Module):\n    def __init__(self) -> None:\n        super().__init__()\n"
        f"{layers}        self.l = nn.Linear(8, 3)\n\n"
        f"    def forward(self, x: Tensor) -> Tensor:\n        {body}\n"
    )


def drawn(seed: int, folder: Path) -> nn.Module:
    """The model of that seed, from a file, as torch.jit.script needs."""
    path = folder / f"drawn_{seed}.py"
    path.write_text(source_of(seed))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(seed)
    model: nn.Module = module.Drawn()
    return model


def scripted(model: nn.Module, _example: Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(model), buffer)
    return buffer.getvalue()


def exported(model: nn.Module, example: Tensor) -> bytes:
    buffer = io.BytesIO()
    batch = torch.export.Dim("batch")
    torch.export.save(torch.export.export(model, (example,), dynamic_shapes=({0: batch},)), buffer)
    return buffer.getvalue()


def state_of(trainer: Trainer) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.jit.load(io.BytesIO(trainer.model())).state_dict()
    return state


def check_against_eager(model: nn.Module, archive: bytes, example: Tensor) -> bool:
    """Compares predictions, and a step where torch itself can take one. Returns whether it could."""
    labels = torch.arange(len(example)) % 3
    trainer = Trainer(archive, optimizer="sgd", learning_rate=0.1, threads=1)
    model.eval()
    with torch.no_grad():
        expected = model(example.clone())
    torch.testing.assert_close(
        torch.from_numpy(trainer.predict(example.numpy())), expected, rtol=1e-4, atol=1e-5
    )

    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    try:
        loss = F.cross_entropy(model(example.clone()), labels)
        loss.backward()
    except RuntimeError as error:
        if "inplace operation" not in str(error):
            raise
        return False
    optimizer.step()
    found = trainer.step(example.numpy(), labels.numpy())
    assert found.loss == pytest.approx(loss.item(), rel=1e-4)
    state = state_of(trainer)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(
            state[name], value, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )
    return True


@pytest.mark.parametrize(
    ("save", "count"), [(scripted, 30 * MORE), (exported, 6 * MORE)], ids=["torchscript", "exported"]
)
def test_drawn_programs_with_views_and_writes_equal_torch(
    save: Callable[[nn.Module, Tensor], bytes], count: int, tmp_path: Path
) -> None:
    trained = 0
    for seed in range(count):
        model = drawn(seed, tmp_path)
        torch.manual_seed(seed)
        example = torch.randn(SHAPE)
        try:
            archive = save(model.train(), example.clone())
            trained += check_against_eager(model, archive, example)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}:\n{source_of(seed)}\n{error}") from error
    assert trained >= count // 4  # the others are refused by autograd


class Slice(nn.Module):
    def __init__(self, write: Callable[[Tensor], Any], before: str = "conv") -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.before = before
        self.write = write
        self.l = nn.Linear(8 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.before == "norm":
            y = self.norm(y)
        elif self.before == "relu":
            y = torch.relu(y) + 0.0
        elif self.before == "pool":
            y = F.max_pool2d(y, 3, 1, 1)
        self.write(y)
        return self.l(y.flatten(1))


def assign(y: Tensor) -> None:
    y[:, :4] = 0.0


def scale(y: Tensor) -> None:
    y.mul_(0.5)


def through_view(y: Tensor) -> None:
    y.view(y.shape[0], -1)[:, ::3] = 2.0


def through_list(y: Tensor) -> None:
    parts = [y, y[:, 2:5]]
    parts[1].add_(1.0)
    parts[0].mul_(0.5)


@pytest.mark.parametrize("before", ["conv", "norm", "relu", "pool"])
@pytest.mark.parametrize("write", [assign, scale, through_view, through_list])
def test_write_after_a_channels_last_operator_is_kept_in_a_program(
    before: str, write: Callable[[Tensor], None]
) -> None:
    torch.manual_seed(0)
    example = torch.randn(SHAPE)
    model = Slice(write, before).train()
    assert check_against_eager(model, exported(model, example.clone()), example)


class Statistics(nn.Module):
    """The convolution reads what batch norm of the data writes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 8, 3, padding=1)
        self.l = nn.Linear(8 + 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        running = self.norm.running_mean
        assert running is not None
        seen = (running * 10.0).expand(x.size(0), -1)
        return self.l(torch.cat([self.conv(y).mean((2, 3)), seen], 1))


class ReshapedInput(nn.Module):
    """Asks for the shape of an argument that it has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        x.unsqueeze_(1)
        return self.l(x.reshape(x.size(0), x.size(1) * 24)) * x.size(1)


@pytest.mark.parametrize("model", [Statistics(), ReshapedInput()], ids=lambda model: type(model).__name__)
def test_scripted_program_that_looks_at_what_was_changed_equals_torch(model: nn.Module) -> None:
    example = torch.randn(SHAPE) if isinstance(model, Statistics) else torch.randn(5, 24)
    assert check_against_eager(model.train(), scripted(model, example), example)


def test_data_is_left_alone_that_forward_writes_to() -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x.mul_(2.0)
            return self.l(x)

    trainer = Trainer(scripted(Writes(), torch.zeros(1)), batch_size=4, threads=1)
    inputs, labels = np.ones((8, 4), np.float32), np.zeros(8, np.int64)
    data = Dataset(inputs, labels)
    assert trainer.evaluate(data) == trainer.evaluate(data)
    trainer.predict(inputs)
    trainer.step(inputs, labels)
    assert (inputs == 1).all()
