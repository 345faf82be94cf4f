"""Names that TorchScript's text cannot carry: trained models load again, and have their own names again."""

from __future__ import annotations

import io
import json
import keyword
import struct
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from torch import Tensor, nn
from wasmgrad import Trainer

KEYWORDS = keyword.kwlist
BUILTINS = [
    "abs",
    "bool",
    "dict",
    "float",
    "format",
    "getattr",
    "hasattr",
    "int",
    "isinstance",
    "len",
    "list",
    "max",
]
BUILTINS += ["min", "ord", "print", "range", "round", "set", "sorted", "str", "super", "tuple", "type", "zip"]
PRINTED = [
    "self",
    "torch",
    "ops",
    "aten",
    "prim",
    "uninitialized",
    "unchecked_cast",
    "annotate",
    "CONSTANTS",
    "inf",
    "nan",
]
PRINTED += [
    "infj",
    "nanj",
    "fork",
    "attribute",
    "rangelist",
    "Tensor",
    "List",
    "Optional",
    "Module",
    "_",
    "_0",
    "x",
    "y",
]
ODD = [
    "__torch__",
    "__annotations__",
    "__parameters__",
    "__init__",
    "block1-0",
    "0",
    "17",
    "größe",
    "层",
    "a b",
    'q"q',
    "back\\slash",
    "\N{GRINNING FACE}",
]
ODD += ["in_", "class_", "n_", "a_b_"]
HOSTILE = [name for name in (*KEYWORDS, *BUILTINS, *PRINTED, *ODD) if not hasattr(nn.Module(), name)]


class Child(nn.Module):
    """A submodule, a parameter and a buffer of one hostile name each, and the same nested."""

    def __init__(self, names: list[str], depth: int) -> None:
        super().__init__()
        self.names = names
        for index, name in enumerate(names):
            kind = index % 3
            if kind == 0 and depth > 0:
                self.add_module(name, Child(names[index + 1 :][:4], depth - 1))
            elif kind == 1:
                self.register_buffer(name, torch.rand(3) + 0.5)
            else:
                self.register_parameter(name, nn.Parameter(torch.rand(3) + 0.5))

    def forward(self, x: Tensor) -> Tensor:
        for name in self.names:
            member = getattr(self, name)
            x = member(x) if isinstance(member, nn.Module) else x * member + 0.1
        return torch.sigmoid(x)


def exported(module: nn.Module, *inputs: Tensor) -> bytes:
    batch = torch.export.Dim("batch")
    buffer = io.BytesIO()
    program = torch.export.export(module, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))
    torch.export.save(program, buffer)
    return buffer.getvalue()


def names_in_safetensors(checkpoint: bytes) -> set[str]:
    (length,) = struct.unpack_from("<Q", checkpoint)
    return {
        name.removeprefix("model.")
        for name in json.loads(checkpoint[8 : 8 + length])
        if name.startswith("model.")
    }


def check_round_trip(module: nn.Module, inputs: list[Tensor], arguments: list[str] | None = None) -> bytes:
    """Trains a step, saves, and compares what torch and wasmgrad compute with what is read back."""
    arrays = [tensor.numpy() for tensor in inputs]
    options: Any = {"loss": "mse", "optimizer": "sgd", "learning_rate": 0.01, "threads": 1}
    trainer = Trainer(exported(module, *inputs), **options)
    trainer.step(arrays, [np.zeros((len(arrays[0]), 3), np.float32)])
    expected = trainer.predict(arrays)
    archive = trainer.model()

    with torch.no_grad():
        by_torch = torch.jit.load(io.BytesIO(archive))(*inputs)
    np.testing.assert_allclose(by_torch.numpy(), expected, rtol=1e-6, atol=1e-6)

    again = Trainer(archive, **options)
    given = dict(zip(arguments, arrays, strict=True)) if arguments else arrays
    np.testing.assert_array_equal(again.predict(given), expected)
    own = set(module.state_dict())
    assert set(trainer.state_dict()) == own
    assert set(again.state_dict()) == own
    assert names_in_safetensors(again.checkpoint()) == own
    again.restore(trainer.checkpoint())
    assert set(Trainer(again.model(), **options).state_dict()) == own
    return archive


@pytest.mark.parametrize("start", range(3))
def test_trained_model_with_hostile_names_loads_again_with_its_own(start: int) -> None:
    torch.manual_seed(start)
    names = HOSTILE[start:] + HOSTILE[:start]
    for first in range(0, len(names), 24):
        check_round_trip(Child(names[first : first + 24], depth=2), [torch.rand(4, 3)])


def module_with_argument(name: str) -> nn.Module:
    """Its first argument has the name, and so has its child, where a module can have such a one."""
    scope: dict[str, Any] = {}
    exec(
        f"def forward(me, {name}, other):\n    return me._modules[me.key]({name}) * other.sum(1, keepdim=True)\n",
        scope,
    )
    module: Any = type("Named", (nn.Module,), {"forward": scope["forward"]})()
    module.key = "child" if hasattr(module, name) else name
    module.add_module(module.key, nn.Linear(3, 3))
    return module


ARGUMENTS = [
    name for name in HOSTILE if name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
]
# PyTorch's own tracer calls the module so.
ARGUMENTS = [*(name for name in ARGUMENTS if name != "self"), "user", "inputIds"]


def test_arguments_of_hostile_names_keep_them() -> None:
    for name in ARGUMENTS:
        torch.manual_seed(0)
        check_round_trip(module_with_argument(name), [torch.rand(4, 3), torch.rand(4, 2)], [name, "other"])


def test_names_that_torchscript_carries_are_in_the_archive_as_they_are() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("self", nn.Linear(3, 3))
            self.add_module("block1-0", nn.Linear(3, 3))
            self.weights = nn.ParameterList([nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))])

        def forward(self, x: Tensor) -> Tensor:
            x = self._modules["block1-0"](self._modules["self"](x))
            return x * self.weights[0] + self.weights[1]

    module = Attention()
    archive = check_round_trip(module, [torch.rand(4, 3)])
    assert set(torch.jit.load(io.BytesIO(archive)).state_dict()) == set(module.state_dict())


def test_scripted_parameter_list_trains_as_its_program() -> None:
    class Lists(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.ParameterList([nn.Parameter(torch.rand(3, 3)), nn.Parameter(torch.rand(3))])

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weights[0] + self.weights[1]

    torch.manual_seed(0)
    module, x = Lists(), torch.rand(4, 3)
    scripted = io.BytesIO()
    torch.jit.save(torch.jit.script(module), scripted)
    trained = []
    for archive in (scripted.getvalue(), exported(module, x)):
        trainer = Trainer(archive, loss="mse", threads=1)
        trainer.step(x.numpy(), np.zeros((4, 3), np.float32))
        trained.append(trainer.state_dict())
    for name in module.state_dict():
        np.testing.assert_array_equal(trained[0][name], trained[1][name])


def test_patterns_of_freeze_match_the_models_own_names() -> None:
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("in", nn.Linear(3, 3))
            self.out = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self._modules["in"](x))

    first = Trainer(exported(Keyword(), torch.rand(2, 3)), loss="mse", freeze="in.*", threads=1)
    assert first.parameters == 12
    assert Trainer(first.model(), loss="mse", freeze="in.*", threads=1).parameters == 12
    with pytest.raises(
        wasmgrad.InvalidArgument, match="no trainable parameter and no running statistic matches 'in_"
    ):
        Trainer(first.model(), loss="mse", freeze="in_.*")


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (b"[]", "is not one of version 1"),
        (b'{"version": 2}', "is not one of version 1"),
        (b'{"version": 1, "tensors": {"in_.weight": 3}, "arguments": {}}', "no table 'tensors'"),
        (
            b'{"version": 1, "tensors": {"absent": "in"}, "arguments": {}}',
            "tensors that the model does not have",
        ),
        (
            b'{"version": 1, "tensors": {"0.weight": "0.bias"}, "arguments": {}}',
            "two tensors the name '0.bias'",
        ),
        (b'{"version": 1, "tensors": {}, "arguments": {"y": "x"}}', "arguments that forward does not have"),
    ],
)
def test_record_of_names_that_does_not_fit_is_refused(record: bytes, sentence: str) -> None:
    buffer = io.BytesIO()
    torch.jit.save(
        torch.jit.script(nn.Sequential(nn.Linear(3, 3))), buffer, _extra_files={"wasmgrad_names.json": record}
    )
    with pytest.raises(wasmgrad.InvalidEncoding, match=sentence):
        Trainer(buffer.getvalue())
