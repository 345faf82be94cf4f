"""Torch models compute in WebAssembly what torch computes, whatever their exporter would make of them."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wasmgrad
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad.compiler import CompileOptions, compile_model, differences, open_source, random_inputs

Keep = Callable[[nn.Module, tuple[Tensor, ...], Path], Any]


def scripted(model: nn.Module, _: tuple[Tensor, ...], folder: Path) -> Path:
    torch.jit.script(model.eval()).save(str(folder / "model.pt"))
    return folder / "model.pt"


def traced(model: nn.Module, inputs: tuple[Tensor, ...], folder: Path) -> Path:
    torch.jit.trace(model.eval(), inputs, strict=False).save(str(folder / "model.pt"))
    return folder / "model.pt"


def exported(model: nn.Module, inputs: tuple[Tensor, ...], folder: Path) -> Path:
    torch.export.save(torch.export.export(model.eval(), inputs), folder / "model.pt2")
    return folder / "model.pt2"


def as_it_is(model: nn.Module, _: tuple[Tensor, ...], __: Path) -> nn.Module:
    return model


FORMATS = [scripted, traced, exported, as_it_is]


def results(model: Any, inputs: dict[str, NDArray[Any]], level: int = 3) -> tuple[NDArray[Any], ...]:
    shapes = {name: array.shape for name, array in inputs.items()}
    module = wasmgrad.compile(model, shapes=shapes, opt_level=level)
    outputs = module(*inputs.values())
    module.close()
    return outputs if isinstance(outputs, tuple) else (outputs,)


class Quotients(nn.Module):
    def forward(self, q: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        length = (r * r).sum(0, keepdim=True)
        return q / (r + 1e-8), q / (r + 1e-12), q / (r + 1e-30), r / (length + 1e-8)


@pytest.mark.parametrize("keep", FORMATS)
def test_small_constants_are_kept(keep: Keep, tmp_path: Path) -> None:
    q, r = torch.ones(8), torch.zeros(8)
    actual = results(keep(Quotients(), (q, r), tmp_path), {"q": q.numpy(), "r": r.numpy()})
    for ours, theirs in zip(actual, Quotients()(q, r), strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())


class Numbers(nn.Module):
    """Numbers that float32 or a tensor's own type cannot hold, in several operators."""

    def forward(self, x: Tensor) -> list[Tensor]:
        double, half, whole = x.double(), x.half(), (x * 4).long()
        return [
            double * 1e200,
            double + 1e-9,
            torch.pow(double.abs(), 0.1),
            F.leaky_relu(double, 0.1),
            F.hardsigmoid(double),
            torch.where(x > 0, double, 0.1),
            double.masked_fill(x > 0, 0.1),
            torch.add(double, double, alpha=0.1),
            torch.full_like(double, 0.1),
            half * 1e5,
            half * 1e-8,
            half / 3e-8,
            whole + 9007199254740993,
            whole * 2.5,
            torch.log1p(x.abs() * 1e-9),
            torch.expm1(x * 1e-9),
            torch.arange(0, 1, 0.1),
        ]


@pytest.mark.parametrize("keep", [scripted, traced, as_it_is])
def test_numbers_keep_their_precision(keep: Keep, tmp_path: Path) -> None:
    x = torch.randn(17, generator=torch.Generator().manual_seed(0))
    kept = keep(Numbers(), (x,), tmp_path)
    reference = torch.jit.load(kept) if isinstance(kept, Path) else kept  # a trace has types of its own
    actual = results(kept, {"x": x.numpy()}, level=1)
    for index, (ours, theirs) in enumerate(zip(actual, reference(x), strict=True)):
        wanted = theirs.numpy()
        assert ours.dtype == wanted.dtype, index
        relative = {"float64": 1e-14, "float32": 3e-7, "float16": 1e-3}.get(str(wanted.dtype), 0)
        np.testing.assert_allclose(ours, wanted, rtol=relative, err_msg=f"output {index}")


class Lookup(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 4)
        self.scale = nn.Linear(3, 4)

    def forward(self, ids: Tensor, weights: Tensor) -> dict[str, Tensor]:
        rows = self.table(ids) * self.scale(weights).unsqueeze(1)
        return {"mean": rows.mean(1), "ids": rows.amax(1)}


@pytest.mark.parametrize("keep", [scripted, as_it_is])
def test_integer_inputs_are_found_and_outputs_have_their_keys(keep: Keep, tmp_path: Path) -> None:
    model = Lookup()
    ids, weights = torch.arange(10).reshape(2, 5), torch.randn(2, 3)
    module = wasmgrad.compile(
        keep(model, (ids, weights), tmp_path), shapes={"ids": (2, 5), "weights": (2, 3)}
    )
    assert [info.dtype for info in module.inputs] == ["int64", "float32"]
    assert module.outputs[0].name == "mean"
    assert module.outputs[1].name != "ids", "that is the name of an input"
    for ours, theirs in zip(module(ids.numpy(), weights.numpy()), model(ids, weights).values(), strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_the_mode_of_a_module_stays_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.BatchNorm1d(3))
    model[2].eval()
    source = open_source(model, {"input": (2, 3)}, {})
    (actual,) = results(model, {"input": np.ones((2, 3), np.float32)})
    np.testing.assert_allclose(
        actual, source.reference.outputs({"input": np.ones((2, 3), np.float32)})[0], rtol=1e-5
    )
    assert [model.training, model[1].training, model[2].training] == [True, True, False]


def test_torch_is_the_reference_for_its_models() -> None:
    model = nn.Linear(3, 2)
    options = CompileOptions(shapes={"input": (2, 3)})
    compiled = compile_model(model, options)
    source = open_source(model, options.shapes, {})
    assert source.reference.framework == "torch"
    feeds = random_inputs(compiled.metadata.inputs)
    module = wasmgrad.load(compiled.module)
    assert all(difference.ok for difference in differences(source, module, feeds, {}))
    with torch.no_grad():
        model.weight[1, 2] += 1e-2  # torch's model changes, its exported form does not
    assert not all(difference.ok for difference in differences(source, module, feeds, {}))


class Modes(nn.Module):
    """Dropout and batch norm, results nested, and a block without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x: Tensor) -> dict[str, Any]:
        with torch.no_grad():
            self.seen.add_(x.mean(0))
            scale = x.norm()
        y = F.dropout(self.norm(x), 0.5, self.training)
        return {"inner": {"y": y, "scale": scale}, "pair": (y * 2, y + self.seen)}


@pytest.mark.parametrize("training", [False, True])
def test_a_program_is_evaluated_whatever_it_was_recorded_in(training: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Modes().train(training), torch.randn(5, 4)
    torch.export.save(torch.export.export(model, (x,)), tmp_path / "model.pt2")
    module = wasmgrad.compile(tmp_path / "model.pt2")
    assert [info.name for info in module.outputs] == ["inner.y", "inner.scale", "pair.0", "pair.1"]
    model.eval()
    before = model.seen.clone()
    outputs = module(x.numpy())
    wanted = model(x)
    model.seen.copy_(before)
    normed = wanted["inner"]["y"]
    expected = [normed, wanted["inner"]["scale"], normed * 2, normed + before]
    for ours, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)
    module.close()


def test_a_program_is_vetted_before_it_compiles(tmp_path: Path) -> None:
    path = exported(nn.Linear(3, 2), (torch.ones(2, 3),), tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/native.so", b"code")
    with pytest.raises(wasmgrad.SecurityError, match=r"not one that torch\.export\.save writes"):
        wasmgrad.compile(path)


class Fresh(nn.Module):
    """Reads memory before it is written, as stochastic depth and positional tables of some models do."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fresh = torch.empty(3, 4) + torch.empty_like(x) + x.new_empty(4)
        return x + fresh, torch.empty([2], dtype=torch.int64)


class KnownFresh(nn.Module):
    """The same where the exporter needs a number that torch computes from a tensor."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows = int(torch.floor(torch.tensor([3.7])).item())
        return x + torch.empty(rows, 4) + torch.empty_like(torch.ones(4)), torch.empty(
            rows - 1, dtype=torch.int64
        )


@pytest.fixture
def _fresh_memory_is_poisoned() -> Iterator[None]:
    """torch fills what it leaves as it was with NaN and the largest integers in this mode."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("_fresh_memory_is_poisoned")
@pytest.mark.parametrize(
    ("keep", "model"),
    [(scripted, Fresh()), (traced, Fresh()), (exported, Fresh()), (traced, KnownFresh())],
)
def test_memory_as_it_was_is_zeros(keep: Keep, model: nn.Module, tmp_path: Path) -> None:
    x = torch.arange(12.0).reshape(3, 4)
    sums, fresh = results(keep(model, (x,), tmp_path), {"x": x.numpy()})
    np.testing.assert_array_equal(sums, x.numpy())
    np.testing.assert_array_equal(fresh, np.zeros(2, np.int64))


class Writes(nn.Module):
    """What is written is narrower than its place, or of another type."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        y[:, :2] = 2
        y[1] = x[0, 3]
        y[2:, 3:] = torch.arange(3)
        y[0].copy_(x[1, 1])
        y[3, 2:3] = x.double().sum()
        return y


@pytest.mark.parametrize("keep", FORMATS)
def test_what_is_written_in_place_is_as_wide_as_its_place(keep: Keep, tmp_path: Path) -> None:
    x = torch.linspace(-1, 1, 24).reshape(4, 6)
    (actual,) = results(keep(Writes(), (x,), tmp_path), {"x": x.numpy()})
    np.testing.assert_array_equal(actual, Writes()(x).numpy())


def test_a_result_is_written_nowhere_but_into_a_new_tensor(tmp_path: Path) -> None:
    class Into(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.normalize(x, dim=0, out=torch.zeros_like(x))

    with pytest.raises(wasmgrad.Error, match="div with out= is not supported"):
        wasmgrad.compile(scripted(Into(), (), tmp_path), shapes={"x": (3,)})


class Constants(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + torch.arange(4).to(torch.float32), torch.arange(2)


@pytest.mark.parametrize("keep", FORMATS)
def test_what_torch_computes_of_constants_alone_is_verified_too(keep: Keep, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        sums, two = results(
            keep(Constants(), (torch.ones(3, 4),), tmp_path), {"x": np.ones((3, 4), np.float32)}
        )
    np.testing.assert_array_equal(sums, np.broadcast_to(np.arange(1, 5, dtype=np.float32), (3, 4)))
    np.testing.assert_array_equal(two, [0, 1])


def test_arguments_have_their_own_names_where_torchscript_cannot_carry_them(tmp_path: Path) -> None:
    class Self(nn.Module):
        def forward(self, torch: Tensor, none: Tensor) -> Tensor:
            return torch - none

    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(Self(), (torch.ones(2, 3), torch.zeros(2, 3))), path)
    module = wasmgrad.compile(path)
    assert [info.name for info in module.inputs] == ["torch", "none"]
    module.close()


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if bool(x.sum() > 0):
            return x
        return -x


class Counting(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return x, x.size(0)


class Selecting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.solve(x, x)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (Branching(), "depends on the values of a tensor"),
        (Counting(), "returns a value of type int"),
        (Selecting(), "linalg_solve"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_name(model: nn.Module, sentence: str, tmp_path: Path) -> None:
    path = scripted(model, (), tmp_path)
    with pytest.raises(wasmgrad.Unsupported, match=sentence):
        wasmgrad.compile(path, shapes={"x": (3, 3)})
