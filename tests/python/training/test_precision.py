"""Steps in bfloat16 follow those in f32, and are as repeatable; without rewrites a step is PyTorch's."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad import InvalidArgument, Trainer


class Net(nn.Module):
    """Convolutions, norms, a shortcut, dropout, attention: what a step narrows, and what it does not."""

    def __init__(self, dropout: float = 0.25) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.body, self.after = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.down = nn.Conv2d(16, 24, 1, 2)
        self.attention, self.layer_norm = nn.Linear(24, 72), nn.LayerNorm(24)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = self.down(F.relu(self.after(self.body(x)) + x)).flatten(2).transpose(1, 2)
        q, k, v = self.attention(self.layer_norm(x)).chunk(3, -1)
        x = x + F.scaled_dot_product_attention(q, k, v)
        return self.head(self.dropout(F.gelu(x)).mean(1))


def data(count: int = 64) -> tuple[Any, Any]:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 10, count)
    images = draw.standard_normal((count, 3, 12, 10), np.float32) + labels[:, None, None, None] / 5
    return images.astype(np.float32), labels


def archive(**options: Any) -> bytes:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return bytes(torch.jit.script(Net(**options)).save_to_buffer())  # type: ignore[no-untyped-call]


def losses(steps: int, threads: int = 1, dropout: float = 0.25, **options: Any) -> list[float]:
    trainer = Trainer(archive(dropout=dropout), learning_rate=1e-3, seed=3, threads=threads, **options)
    return [trainer.step(*data()).loss for _ in range(steps)]


def test_bf16_learns_what_f32_learns() -> None:
    wide, narrow = losses(60), losses(60, precision="bf16")
    assert wide != narrow
    np.testing.assert_allclose(narrow, wide, rtol=0.05, atol=0.02)
    assert narrow[-1] < 0.6 * narrow[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_bits(threads: int) -> None:
    assert losses(5, threads, precision="bf16") == losses(5, threads, precision="bf16")


def test_a_checkpoint_is_f32_and_resumes_bit_identically() -> None:
    whole = Trainer(archive(), seed=3, threads=1, precision="bf16")
    for _ in range(2):
        whole.step(*data())
    kept = whole.checkpoint()
    resumed = Trainer(archive(), seed=3, threads=1, precision="bf16")
    resumed.restore(kept)
    assert whole.step(*data()).loss == resumed.step(*data()).loss
    assert np.array_equal(whole.get_parameters(), resumed.get_parameters())
    assert {array.dtype for array in whole.state_dict().values()} == {np.dtype("f4"), np.dtype("i8")}
    with pytest.raises(InvalidArgument, match=r"precision is bf16 there and f32 in this run"):
        Trainer(archive(), seed=3, threads=1).restore(kept)
    with pytest.raises(InvalidArgument, match=r"precision is f32 there and bf16 in this run"):
        resumed.restore(Trainer(archive(), seed=3, threads=1).checkpoint())


def test_evaluation_and_predictions_are_in_f32() -> None:
    wide, narrow = (Trainer(archive(), seed=3, threads=1, precision=each) for each in ("f32", "bf16"))
    assert np.array_equal(wide.predict(data()[0]), narrow.predict(data()[0]))
    one, other = (trainer.evaluate(wasmgrad.Dataset(*data())) for trainer in (wide, narrow))
    assert one == other


def test_without_rewrites_a_step_is_pytorchs() -> None:
    net = Net(dropout=0.0).train()
    images, labels = data()
    script = torch.jit.script(copy.deepcopy(net))  # type: ignore[no-untyped-call]
    plain = Trainer(
        bytes(script.save_to_buffer()), rewrites=False, threads=1, optimizer="sgd", learning_rate=0.1
    )
    plain.step(images, labels)
    rule = torch.optim.SGD(net.parameters(), lr=0.1)
    torch.set_num_threads(1)
    F.cross_entropy(net(torch.from_numpy(images)), torch.from_numpy(labels)).backward()  # type: ignore[no-untyped-call]
    rule.step()
    for name, theirs in net.state_dict().items():
        np.testing.assert_allclose(
            plain.state_dict()[name], theirs.numpy(), rtol=1e-6, atol=1e-6, err_msg=name
        )


def test_rewrites_change_results_by_rounding_alone() -> None:
    # Which elements dropout takes depends on the memory order, so that both draw others.
    np.testing.assert_allclose(losses(5, dropout=0.0), losses(5, dropout=0.0, rewrites=False), rtol=2e-4)


@pytest.mark.parametrize("precision", ["fp16", "", 16])
def test_other_precisions_are_refused(precision: Any) -> None:
    with pytest.raises((InvalidArgument, TypeError), match="precision"):
        Trainer(archive(), precision=precision)


def test_the_owners_events_name_the_precision() -> None:
    events: list[wasmgrad.Event] = []
    trainer = Trainer(archive(), precision="bf16", epochs=1, on_event=events.append)
    trainer.fit(wasmgrad.Dataset(*data()))
    assert [event["precision"] for event in events if event["event"] == "fit"] == ["bf16"]


def test_traced_and_scripted_models_train_alike() -> None:
    net = Net(dropout=0.0)
    images, labels = data()
    found = []
    for save in (torch.jit.script, lambda m: torch.jit.trace(m, torch.from_numpy(images[:2]))):
        file = io.BytesIO()
        torch.jit.save(save(copy.deepcopy(net).train()), file)  # type: ignore[no-untyped-call, operator]
        trainer = Trainer(file.getvalue(), seed=1, threads=1)
        found.append([trainer.step(images, labels).loss for _ in range(3)])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
