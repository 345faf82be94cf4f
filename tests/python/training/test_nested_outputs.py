"""Models that return tuples, lists and dicts within each other: names of outputs, losses, predictions, saved models."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import wasmgrad
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad import Trainer

X = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
Y = torch.arange(8) % 3


class Pair(NamedTuple):
    scores: Tensor
    size: Tensor


class Named(NamedTuple):
    heads: Pair
    rest: list[Tensor]


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(6, 3)


class InDict(Layer):
    def forward(self, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        y = self.l(x)
        return {"a": (y, y * 2), "b": (y + 1, y - 1)}


class InTuple(Layer):
    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        y = self.l(x)
        return [y, y * 2], y + 1


class InNamed(Layer):
    def forward(self, x: Tensor) -> Named:
        y = self.l(x)
        return Named(Pair(y, y.abs().sum(1)), [y * 2])


class Nothing(Layer):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.l(x), None


CASES: list[tuple[type[Layer], str, list[str]]] = [
    (InDict, "a.0", ["a.0", "a.1", "b.0", "b.1"]),
    (InTuple, "0", ["0", "1", "2"]),
    (InNamed, "heads.scores", ["heads.scores", "heads.size", "rest.0"]),
    (Nothing, "0", ["0"]),
]


def leaves(value: Any) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(value) if leaf is not None]


@pytest.mark.parametrize(("kind", "judged", "names"), CASES, ids=lambda case: getattr(case, "__name__", None))
def test_a_scripted_model_s_nested_outputs_are_named_by_the_way_to_them(
    kind: type[Layer], judged: str, names: list[str]
) -> None:
    torch.manual_seed(0)
    model = kind()
    trainer = Trainer(
        torch.jit.script(model),
        losses={judged: "cross_entropy"},
        optimizer="sgd",
        learning_rate=0.5,
        threads=1,
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(4):
        optimizer.zero_grad()
        loss = F.cross_entropy(leaves(model(X))[0], Y)
        loss.backward()
        optimizer.step()
        assert trainer.step(X.numpy(), Y.numpy()).loss == pytest.approx(loss.item(), rel=1e-5)
    with torch.no_grad():
        expected = [leaf.numpy() for leaf in leaves(model.eval()(X))]
        saved = [leaf.numpy() for leaf in leaves(torch.jit.load(io.BytesIO(trainer.model()))(X))]
    outputs = trainer.outputs(X.numpy())
    assert list(outputs) == names
    for first, second, wanted in zip(outputs.values(), saved, expected, strict=True):
        np.testing.assert_allclose(first, wanted, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(second, wanted, rtol=1e-4, atol=1e-5)


class OnlyWhileTraining(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor | None:
        return self.layer(x) if self.training else None


def test_a_prediction_without_any_output_is_refused() -> None:
    trainer = Trainer(OnlyWhileTraining(), threads=1)
    x = np.ones((4, 3), np.float32)
    trainer.step(x, np.zeros(4, np.int64))
    with pytest.raises(wasmgrad.InvalidArgument, match="returned no Tensor"):
        trainer.predict(x)


class TwoOfOneName(Layer):
    def forward(self, x: Tensor) -> dict[str, dict[str, Tensor]]:
        y = self.l(x)
        return {"a": {"b.c": y}, "a.b": {"c": y * 2}}


@pytest.mark.parametrize("exported", [False, True])
def test_two_outputs_of_one_name_are_refused(exported: bool) -> None:
    model: Any = torch.jit.script(TwoOfOneName())
    if exported:
        rows = torch.export.Dim("rows")
        model = torch.export.export(TwoOfOneName(), (X,), dynamic_shapes=({0: rows},))
    with pytest.raises(wasmgrad.Error, match=r"two outputs.*called 'a\.b\.c'"):
        Trainer(model, losses={"a.b.c": "cross_entropy"}, threads=1).step(X.numpy(), Y.numpy())
