"""Operators of torchvision's, timm's and transformers' models, and of their losses: trained as torch trains them."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import wasmgrad
from torch import Tensor, nn
from wasmgrad import Trainer

X = torch.randn(12, 6, generator=torch.Generator().manual_seed(4))
IDS = torch.arange(36).reshape(12, 3) % 9
Y = torch.arange(12) % 3

Save = Callable[..., bytes]


def scripted(model: nn.Module, *inputs: Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(model), buffer)
    return buffer.getvalue()


def exported(model: nn.Module, *inputs: Tensor) -> bytes:
    buffer, rows = io.BytesIO(), torch.export.Dim("rows")
    shapes = tuple({0: rows} for _ in inputs)
    torch.export.save(torch.export.export(model, inputs, dynamic_shapes=shapes), buffer)
    return buffer.getvalue()


FORMATS = [scripted, exported]


class Normalizes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.l(x), dim=1) * 4


class FillsFreshMemory(Normalizes):
    def forward(self, x: Tensor) -> Tensor:
        scale = torch.empty(6, dtype=x.dtype).fill_(2.0)
        y = x.new_empty(x.shape)
        y[:, :3] = x[:, :3]
        y[:, 3:] = -x[:, 3:]
        return self.l(torch.empty_like(y).copy_(y) * scale)


class Counts(Normalizes):
    """By search, histogram, reduction at indices."""

    def forward(self, x: Tensor) -> Tensor:
        place = torch.searchsorted(torch.tensor([-1.0, 0.0, 1.0]), x.detach())
        counts = torch.bincount(place.flatten(), minlength=6).to(x.dtype)
        levels = torch.unique(place)
        most = torch.zeros_like(x).index_reduce(1, torch.tensor([0, 1, 2, 0, 1, 2]), x, "amax")
        return self.l(x + most * counts / counts.sum()) + levels.sum() * 1e-3


def check_training(model: nn.Module, save: Save, *inputs: Tensor) -> None:
    """Ten steps here and in torch: losses, parameters, and predictions at the end."""
    model.train()
    trainer = Trainer(save(model, *inputs), optimizer="sgd", learning_rate=0.1, keep_integers=True, threads=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    arrays = [value.numpy() for value in inputs]
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(*inputs), Y)
        loss.backward()
        optimizer.step()
        assert trainer.step(arrays, Y.numpy()).loss == pytest.approx(loss.item(), rel=1e-5)
    state = torch.jit.load(io.BytesIO(trainer.model())).state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5)
    model.eval()
    with torch.no_grad():
        expected = model(*inputs)
    torch.testing.assert_close(torch.from_numpy(trainer.predict(arrays)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("save", FORMATS)
@pytest.mark.parametrize("kind", [Normalizes, FillsFreshMemory])
def test_model_trains_as_in_torch(kind: Callable[[], nn.Module], save: Save) -> None:
    torch.manual_seed(0)
    check_training(kind(), save, X)


def test_search_count_and_reduction_at_indices() -> None:
    torch.manual_seed(0)
    check_training(Counts(), scripted, X)


class Limited(nn.Module):
    """Rows that grow beyond their largest norm are scaled when they are looked up, also in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(9, 6, max_norm=0.4)
        self.l = nn.Linear(6, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.l(self.rows(ids).sum(1))


class LimitedBag(Limited):
    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.EmbeddingBag(9, 6, max_norm=0.4, norm_type=1.0, mode="sum")

    def forward(self, ids: Tensor) -> Tensor:
        return self.l(self.rows(ids))


@pytest.mark.parametrize("save", FORMATS)
@pytest.mark.parametrize("kind", [Limited, LimitedBag])
def test_embedding_with_a_largest_norm_trains_as_in_torch(kind: Callable[[], nn.Module], save: Save) -> None:
    torch.manual_seed(0)
    check_training(kind(), save, IDS)


def test_a_prediction_scales_rows_and_leaves_them_as_they_were() -> None:
    torch.manual_seed(0)
    model = Limited().eval()
    trainer = Trainer(scripted(model), keep_integers=True, threads=1)
    before = trainer.state_dict()["rows.weight"]
    predicted = trainer.predict(IDS.numpy())
    np.testing.assert_array_equal(trainer.state_dict()["rows.weight"], before)
    with torch.no_grad():
        np.testing.assert_allclose(predicted, model(IDS).numpy(), rtol=1e-5, atol=1e-6)


class Speech(nn.Module):
    """Its own loss: connectionist temporal classification over 4 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(6, 5)

    def forward(self, x: Tensor, target: Tensor, steps: Tensor, letters: Tensor) -> dict[str, Tensor]:
        scores = F.log_softmax(self.l(x.unsqueeze(1) * torch.arange(1.0, 5.0).reshape(1, 4, 1)), -1)
        return {"loss": F.ctc_loss(scores.transpose(0, 1), target, steps, letters), "scores": scores}


LETTERS = 1 + IDS[:, :2] % 4
STEPS, LENGTHS = torch.full((12,), 4), 1 + Y % 2


def test_ctc_loss_is_torch_s() -> None:
    torch.manual_seed(0)
    model = Speech()
    trainer = Trainer(scripted(model), losses="model", optimizer="sgd", learning_rate=0.5, threads=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(8):
        optimizer.zero_grad()
        loss = model(X, LETTERS, STEPS, LENGTHS)["loss"]
        loss.backward()
        optimizer.step()
        ours = trainer.step(X.numpy(), [value.numpy() for value in (LETTERS, STEPS, LENGTHS)]).loss
        assert ours == pytest.approx(loss.item(), rel=1e-5)
    expected = model.eval()(X, LETTERS, STEPS, LENGTHS)["scores"].detach().numpy()
    np.testing.assert_allclose(trainer.predict(X.numpy()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("value", [-1, 5, 1 << 40, -(1 << 62)])
def test_what_a_ctc_loss_cannot_take_is_an_error_not_a_crash(which: int, value: int) -> None:
    trainer = Trainer(scripted(Speech()), losses="model", threads=1)
    targets = [tensor.numpy().copy() for tensor in (LETTERS, STEPS, LENGTHS)]
    targets[which].flat[3] = value
    with pytest.raises(wasmgrad.Error):
        trainer.step(X.numpy(), targets)


class Places(Normalizes):
    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        counts = torch.bincount(ids.flatten()).sum()
        place = torch.searchsorted(x[0], x, sorter=ids[0] + torch.arange(3).repeat(2))
        return self.l(x.index_reduce(0, ids[:, 0], x, "amax")) + counts + place.sum()


def test_indices_out_of_bounds_are_an_error_not_a_crash() -> None:
    trainer = Trainer(scripted(Places()), loss="mse", keep_integers=True, threads=1)
    for bad in (-1, 12, 1 << 40, -(1 << 62)):
        ids = IDS.repeat(1, 2)
        ids[3, 0] = bad
        ids[0, 0] = bad
        with pytest.raises(wasmgrad.Error):
            trainer.predict([X.numpy(), ids.numpy()])


class Bare(nn.Module):
    """Returns memory that nothing was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.empty(x.size(0), 5000) + x.new_empty([1]) + torch.empty_like(x)[:, :1]


@pytest.mark.parametrize("save", FORMATS)
def test_fresh_memory_shows_nothing_of_what_was_there(save: Save) -> None:
    trainer = Trainer(save(Bare(), X), loss="mse", threads=1)
    for _ in range(5):
        assert not trainer.predict(X.numpy()).any()


class DropPath(nn.Module):
    """Stochastic depth, as timm and torchvision have it."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.l(x)
        if not self.training:
            return x
        kept = x.new_empty([x.shape[0]] + [1] * (x.ndim - 1)).bernoulli_(0.5)
        return x * kept / 0.5


class Gumbel(DropPath):
    def forward(self, x: Tensor) -> Tensor:
        return F.gumbel_softmax(self.l(x), tau=0.5)


@pytest.mark.parametrize("save", FORMATS)
@pytest.mark.parametrize("kind", [DropPath, Gumbel])
def test_what_draws_random_numbers_repeats_by_its_seed(kind: Callable[[], nn.Module], save: Save) -> None:
    archive = save(kind().train(), X)

    def losses(seed: int) -> list[float]:
        trainer = Trainer(archive, seed=seed, threads=1)
        return [trainer.step(X.numpy(), Y.numpy()).loss for _ in range(10)]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)
    assert len(set(losses(1))) == 10


def test_stochastic_depth_drops_whole_rows_in_training_only() -> None:
    model = DropPath()
    with torch.no_grad():
        expected = model.eval()(X)
    trainer = Trainer(scripted(model.train(), X), loss="mse", learning_rate=0.0, threads=1)
    torch.testing.assert_close(torch.from_numpy(trainer.predict(X.numpy())), expected)
    target = torch.zeros(12, 3)
    with torch.no_grad():
        each = ((expected * 2) ** 2).sum(1)  # of a row that is kept
    seen = {round(trainer.step(X.numpy(), target.numpy()).loss * 36, 4) for _ in range(20)}
    sums = {0.0}
    for row in each.tolist():
        sums |= {total + row for total in sums}
    assert all(min(abs(total - value) for total in sums) < 1e-3 for value in seen)
    assert len(seen) > 10


class OutIsTaken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.l(x)
        return F.normalize(y, dim=1, out=torch.zeros_like(y))


def test_result_for_an_existing_tensor_is_refused_by_name() -> None:
    with pytest.raises(wasmgrad.Error, match="div with out= is not supported"):
        Trainer(scripted(OutIsTaken()), threads=1).predict(X.numpy())
