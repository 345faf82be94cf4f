"""Arrays and models as users have them: taken with the right values, or refused in one sentence."""

from __future__ import annotations

import io
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import wasmgrad
from torch import Tensor, nn
from wasmgrad import Dataset, Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 6)).astype(np.float32)
LABELS = RNG.integers(0, 2, 8)


def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(6, 3)


def trainer(**options: Any) -> Trainer:
    return Trainer(module(), threads=1, **options)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i4", "i8", "u1"])
def test_any_byte_order_is_taken(kind: str) -> None:
    values = np.arange(48).reshape(8, 6)
    native, foreign = values.astype(kind), values.astype(">" + kind)
    np.testing.assert_array_equal(trainer().predict(foreign), trainer().predict(native))
    one, other = trainer(), trainer()
    one.fit(Dataset(native, LABELS.astype(">i8")))
    other.fit(Dataset(foreign, LABELS))
    np.testing.assert_array_equal(one.get_parameters(), other.get_parameters())


def test_parameters_in_any_byte_order_are_taken() -> None:
    one = trainer()
    values = RNG.normal(size=21).astype(">f4")
    one.set_parameters(values)
    np.testing.assert_array_equal(one.get_parameters(), values)
    one.set_gradients(values)
    np.testing.assert_array_equal(one.get_gradients(), values)


@pytest.mark.parametrize("kind", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "u8", ">i2", ">u8", "f4"])
def test_labels_of_any_type_are_the_same_labels(kind: str) -> None:
    assert trainer().step(X, LABELS.astype(kind)) == trainer().step(X, LABELS)


@pytest.mark.parametrize("kind", ["?", "i1", "i2", "u2", "u4", "u8"])
def test_inputs_of_any_whole_type_keep_their_values(kind: str) -> None:
    inputs = np.arange(48).reshape(8, 6) % (2 if kind == "?" else 100)
    expected = trainer().predict(inputs.astype(np.float32))
    np.testing.assert_array_equal(trainer().predict(inputs.astype(kind)), expected)


def test_tensors_are_taken() -> None:
    tensor = torch.from_numpy(X).requires_grad_()
    np.testing.assert_array_equal(trainer().predict(tensor), trainer().predict(X))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "inputs",
    [
        X.tolist(),
        [[1.0, 2.0], [3.0]],
        [1, 2],
        "text",
        b"bytes",
        None,
        3.5,
        {1: X},
        {"": X},
        X.astype(np.complex64),
        X.astype(object),
        X.astype(np.longdouble),
        np.array(["a"]),
        np.array([2**63], np.uint64),
        np.ma.masked_less(X, 0),
        torch.zeros(8, 6, dtype=torch.bfloat16),
        torch.zeros(8, 6).to_sparse(),
        [],
        {},
        np.float32(1),
        X[:0],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_array_is_one_sentence(inputs: Any) -> None:
    one = trainer()
    for call in (
        lambda: Dataset(inputs, LABELS),
        lambda: one.predict(inputs),
        lambda: one.step(inputs, LABELS),
        lambda: one.backward(inputs, LABELS),
    ):
        with pytest.raises(wasmgrad.InvalidArgument) as caught:
            call()
        assert "\n" not in caught.value.message
        assert "incompatible function arguments" not in caught.value.message


def test_wrong_kinds_of_arguments_are_one_sentence() -> None:
    one: Any = trainer()
    for call in (
        lambda: one.fit(X),
        lambda: one.fit(Dataset(X, LABELS), X),
        lambda: one.train_epoch(X),
        lambda: one.evaluate((X, LABELS)),
        lambda: one.set("learning_rate", "fast"),
        lambda: one.set_parameters(np.zeros(21)),
        lambda: one.set_parameters([0.0] * 21),
        lambda: one.set_gradients(np.zeros((3, 7), np.float32)),
        lambda: Trainer(3),  # type: ignore[arg-type]
        lambda: Trainer(nn.Linear),  # type: ignore[arg-type]
    ):
        with pytest.raises(wasmgrad.InvalidArgument):
            call()


def test_module_is_scripted_and_left_alone() -> None:
    plain = module()
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        taken = Trainer(plain, threads=1)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module()), buffer)
    read = Trainer(buffer.getvalue(), threads=1)
    assert taken.step(X, LABELS) == read.step(X, LABELS)
    np.testing.assert_array_equal(taken.get_parameters(), read.get_parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in plain.state_dict().items())


def test_exported_program_is_taken() -> None:
    rows = torch.export.Dim("rows")
    program = torch.export.export(module(), (torch.zeros(2, 6),), dynamic_shapes=({0: rows},))
    np.testing.assert_array_equal(Trainer(program, threads=1).predict(X), trainer().predict(X))


def test_module_that_cannot_be_scripted_is_one_sentence() -> None:
    class Odd(nn.Module):
        def forward(self, *tensors: Tensor, **more: Tensor) -> Tensor:
            return sum(tensors)  # type: ignore[return-value]

    with pytest.raises(
        wasmgrad.InvalidArgument, match=r"Odd cannot be scripted by torch.jit.script: .*torch.export"
    ):
        Trainer(Odd())


class Named(NamedTuple):
    logits: Tensor
    twice: Tensor


class ReturnsNamed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = module()

    def forward(self, x: Tensor) -> Named:
        y = self.fc(x)
        return Named(y, 2 * y)


class ReturnsList(ReturnsNamed):
    def forward(self, x: Tensor) -> list[Tensor]:
        y = self.fc(x)
        return [y, 2 * y]


@pytest.mark.parametrize("kind", [ReturnsNamed, ReturnsList])
def test_named_tuples_and_lists_are_outputs(kind: type[nn.Module]) -> None:
    names = ("logits", "twice") if kind is ReturnsNamed else ("0", "1")
    one, plain = Trainer(kind(), threads=1), trainer()
    outputs = one.outputs(X)
    assert tuple(outputs) == names
    np.testing.assert_allclose(outputs[names[1]], 2 * plain.predict(X), rtol=1e-6)
    assert one.step(X, LABELS).loss == pytest.approx(plain.step(X, LABELS).loss, rel=1e-6)


@pytest.mark.parametrize(
    ("build", "inputs", "targets", "options", "sentence"),
    [
        (lambda: nn.Conv2d(1, 3, 1), np.ones((4, 1, 5, 5), "f4"), np.zeros((4, 5, 4), "i8"), {}, "classes, 5, 4"),
        (module, X, np.where(LABELS == 0, -1, LABELS), {}, "-1; a class index"),
        (lambda: nn.Linear(6, 1), X, LABELS.astype("f4"), {"loss": "bce_with_logits"}, r"\[8, 1\].*bce"),
        (lambda: nn.Linear(6, 3).half(), X, LABELS, {}, "only float"),
    ],
    ids=["positions", "negative", "column", "half"],
)  # fmt: skip
def test_refusal_says_what_was_expected(
    build: Any, inputs: Any, targets: Any, options: Any, sentence: str
) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match=sentence):
        Trainer(build(), threads=1, **options).step(inputs, targets)
