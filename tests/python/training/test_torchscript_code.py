"""What TorchScript has beyond modules of tensors: enumerations, blocks under torch.no_grad(), packed sequences."""

from __future__ import annotations

import copy
import enum
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad import Trainer

X = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
Y = torch.randn(12, 3, generator=torch.Generator().manual_seed(2))


class Kind(enum.Enum):
    PLAIN = 1
    DOUBLED = 2


class Name(enum.Enum):
    FIRST = "first"
    SECOND = "second"


class Chosen(nn.Module):
    """Attributes of enumerations, one of them twice."""

    def __init__(self, kind: Kind, name: Name) -> None:
        super().__init__()
        self.kind, self.again, self.name = kind, kind, name
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        if self.kind == Kind.DOUBLED:
            y = y * 2
        if self.name != Name.SECOND:
            y = y.tanh()
        return y if self.again == self.kind else y * 0


class Scaled(nn.Module):
    """The scale is no part of the gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            scale = 1 + self.layer.weight.abs().mean()
        return self.layer(x) * scale


class Nested(nn.Module):
    """Blocks in a loop, in a branch, in one another, and a write to what others read."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("seen", torch.zeros(3))

    def scale(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            if bool(x.sum() > 0):
                return x.abs().mean() + 1
        return x.mean()

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        for step in range(3):
            with torch.no_grad():
                self.seen += y.mean(0) * step
                with torch.no_grad():
                    part = self.scale(y)
            y = y + part * self.layer.bias
        return y


class Packed(nn.Module):
    """Sequences of several lengths, which the first column gives."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer = nn.LSTM(2, 3, batch_first=True) if kind == "LSTM" else nn.GRU(2, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        lengths = (x[:, 0] > 0).to(torch.int64) + 1
        packed = nn.utils.rnn.pack_padded_sequence(
            x.reshape(-1, 2, 2), lengths, batch_first=True, enforce_sorted=False
        )
        output, _ = self.layer(packed)
        padded, again = nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
        return padded.sum(1) + again.unsqueeze(1)


MODELS = {
    "packed LSTM": lambda: Packed("LSTM"),
    "packed GRU": lambda: Packed("GRU"),
    "plain, first": lambda: Chosen(Kind.PLAIN, Name.FIRST),
    "doubled, second": lambda: Chosen(Kind.DOUBLED, Name.SECOND),
    "scaled": Scaled,
    "nested": Nested,
}


COMPILED = ("plain, first", "doubled, second", "scaled")


def seeded(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name]()


def trained_by_torch(model: nn.Module) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), Y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", MODELS)
def test_it_trains_as_in_torch_and_is_saved_and_loaded(name: str, tmp_path: Path) -> None:
    model = seeded(name)
    options: Any = {"optimizer": "sgd", "learning_rate": 0.1, "loss": "mse", "threads": 1}
    trainer = Trainer(copy.deepcopy(model), **options)
    losses = [trainer.step(X.numpy(), Y.numpy()).loss for _ in range(5)]
    np.testing.assert_allclose(losses, trained_by_torch(model), rtol=1e-5)
    for key, value in model.state_dict().items():
        np.testing.assert_allclose(trainer.state_dict()[key], value, rtol=1e-4, atol=1e-6, err_msg=key)
    model.eval()
    prediction = trainer.predict(X.numpy())
    trainer.save(tmp_path / "trained.pt")
    saved: Any = torch.jit.load(tmp_path / "trained.pt")  # type: ignore[no-untyped-call]
    again = Trainer(tmp_path / "trained.pt", **options)
    np.testing.assert_array_equal(again.predict(X.numpy()), prediction)
    np.testing.assert_array_equal(saved(X).detach(), prediction)
    with torch.no_grad():
        np.testing.assert_allclose(prediction, model(X), rtol=1e-5, atol=1e-6)
    compiled = wasmgrad.compile(tmp_path / "trained.pt", shapes={"x": X.shape}) if name in COMPILED else None
    if compiled is not None:
        np.testing.assert_allclose(compiled(X.numpy()), prediction, rtol=1e-4, atol=1e-5)


class Fails(nn.Module):
    """Raises where gradients are off."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            if bool(x.max() > 100):
                raise ValueError("too large")
        return self.layer(x)


def test_gradients_are_on_again_after_an_error() -> None:
    trainer = Trainer(Fails(), loss="mse", threads=1)
    with pytest.raises(wasmgrad.InvalidArgument, match="too large"):
        trainer.step(X.numpy() * 1000, Y.numpy())
    assert torch.is_grad_enabled()
    before = trainer.get_parameters()
    trainer.step(X.numpy(), Y.numpy())
    assert not np.array_equal(before, trainer.get_parameters())


class Sizes(nn.Module):
    """Gives an LSTM the batch sizes that the test wants, in a packed sequence of its own."""

    def __init__(self, pads: bool) -> None:
        super().__init__()
        self.layer = nn.LSTM(4, 3)
        self.pads = pads

    def forward(self, x: Tensor, sizes: Tensor) -> Tensor:
        packed = nn.utils.rnn.PackedSequence(x, sizes, None, None)
        if self.pads:
            return nn.utils.rnn.pad_packed_sequence(packed)[0] * self.layer.bias_ih_l0[0]
        return self.layer(packed)[0].data


@pytest.mark.parametrize("pads", [True, False])
@pytest.mark.parametrize(
    "sizes", [[1, 5, 1, 5], [12, 0], [], [-1], [6, 7], [2**40, 1], [[12]], [12, -(2**62)]], ids=str
)
def test_batch_sizes_that_would_reach_beyond_memory_are_refused(sizes: list[Any], pads: bool) -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Sizes(pads)
            self.register_buffer("sizes", torch.tensor(sizes, dtype=torch.int64))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x, self.sizes)

    trainer = Trainer(Fixed(), loss="mse", threads=1)
    refusals = (wasmgrad.InvalidArgument, wasmgrad.TooLarge)
    with pytest.raises(refusals):
        trainer.predict(X.numpy())
    with pytest.raises(refusals):
        trainer.step(X.numpy(), Y.numpy())


def test_batch_sizes_that_overlap_in_memory_are_read_as_what_they_are() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Sizes(False)
            self.register_buffer("sizes", torch.tensor([3]))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x, self.sizes.expand(4))

    model = Fixed().eval()
    wanted = model.inner(X, torch.tensor([3, 3, 3, 3])).detach()
    np.testing.assert_allclose(Trainer(model, threads=1).predict(X.numpy()), wanted, rtol=1e-5, atol=1e-6)


def test_a_file_with_an_enumeration_of_other_values_is_refused() -> None:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(Chosen(Kind.PLAIN, Name.FIRST)), file)  # type: ignore[no-untyped-call]
    archive = file.getvalue()
    assert archive.count(b"K\x01R") >= 1  # PLAIN is stored by its value
    with pytest.raises(wasmgrad.Error):
        Trainer(archive.replace(b"K\x01R", b"K\x07R"))
