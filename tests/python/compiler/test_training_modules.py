"""Training steps, compiled, do what the training host does with the same model, data and options, on every engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
import wasmgrad
from numpy.typing import NDArray
from torch import Tensor, nn
from wasmgrad import GraphModule, InvalidArgument, RuntimeFailure, TrainingModule
from wasmgrad._training.step_options import TrainOptions
from wasmgrad.compiler import Compiled, CompileOptions, compile_model, verify

Array = NDArray[Any]

BATCH, CLASSES = 8, 10


class SmallNet(nn.Module):
    """Strided and padded convolutions, batch norm, overlapping pools, a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.last = nn.Linear(4 * 3 * 3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        return self.last(self.pool(torch.relu(x + self.second(x))).flatten(1))


def small_net() -> SmallNet:
    torch.manual_seed(0)
    return SmallNet()


def digits(rows: int, seed: int) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((rows, 1, 10, 10)).astype(np.float32)
    return x, generator.integers(0, CLASSES, rows)


OPTIONS: dict[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "weight_decay": 0.05,
    "clip_norm": 5.0,
}


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    options = CompileOptions(shapes={"x": (BATCH, 1, 10, 10)}, train=TrainOptions(**OPTIONS))
    return compile_model(small_net(), options)


@pytest.fixture
def module(compiled: Compiled) -> Iterator[TrainingModule]:
    loaded = wasmgrad.load(compiled.module)
    assert isinstance(loaded, TrainingModule)
    yield loaded
    loaded.close()


def host() -> wasmgrad.Trainer:
    return wasmgrad.Trainer(small_net(), threads=1, batch_size=BATCH, **OPTIONS)


def assert_same_weights(module: TrainingModule, trainer: wasmgrad.Trainer, rtol: float = 2e-4) -> None:
    theirs = trainer.state_dict()
    ours = module.state_dict()
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name], rtol=rtol, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("engine", ["wasmtime", "wasmedge", "node"])
def test_steps_are_those_of_the_training_host(compiled: Compiled, engine: str) -> None:
    module, trainer = wasmgrad.load(compiled.module, engine), host()
    assert isinstance(module, TrainingModule)
    for seed in range(4):
        x, y = digits(BATCH, seed)
        ours, theirs = module.step(x, y), trainer.step(x, y)
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)
        assert ours.accuracy == pytest.approx(theirs.accuracy)
        assert ours.top_k_accuracy == pytest.approx(theirs.top_k_accuracy)
        assert ours.samples == BATCH
    assert_same_weights(module, trainer)
    x, y = digits(2 * BATCH + 3, 9)
    np.testing.assert_allclose(module.predict(x), trainer.predict(x), rtol=1e-3, atol=1e-4)
    evaluated = trainer.evaluate(wasmgrad.Dataset(x, y))
    assert module.evaluate(x, y).loss == pytest.approx(evaluated.loss, rel=1e-4)
    assert module.evaluate(x, y).accuracy == pytest.approx(evaluated.accuracy)
    module.close()


def test_a_library_for_this_computer_trains_too() -> None:
    options = CompileOptions(
        shapes={"x": (BATCH, 1, 10, 10)},
        train=TrainOptions(optimizer="sgd", learning_rate=0.1),
        target="native",
    )
    module = wasmgrad.load(compile_model(small_net(), options).module, "native")
    assert isinstance(module, TrainingModule)
    trainer = wasmgrad.Trainer(small_net(), optimizer="sgd", learning_rate=0.1, threads=1, batch_size=BATCH)
    for seed in range(3):
        x, y = digits(BATCH, seed)
        assert module.step(x, y).loss == pytest.approx(trainer.step(x, y).loss, rel=1e-4)
    assert_same_weights(module, trainer)
    module.close()


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_a_smaller_batch_is_exact(module: TrainingModule, rows: int) -> None:
    trainer = host()
    for seed, count in enumerate((rows, BATCH, rows)):
        x, y = digits(count, seed)
        assert module.step(x, y).loss == pytest.approx(trainer.step(x, y).loss, rel=1e-4)
    assert_same_weights(module, trainer)


def test_verification_measures_every_state(compiled: Compiled, module: TrainingModule) -> None:
    before = module.checkpoint()
    found = verify(compiled, module, {})
    assert isinstance(found, list)
    assert all(each.ok for each in found)
    names = {each.output for each in found}
    assert {"loss", "model.first.weight", "model.norm.running_var", "optimizer.exp_avg.last.bias"} <= names
    for name, array in module.checkpoint().items():
        np.testing.assert_array_equal(array, before[name])


def test_verification_finds_a_wrong_gradient(compiled: Compiled, module: TrainingModule) -> None:
    class Wrong:
        """One weight is another than it should be when the step begins."""

        def __getattr__(self, name: str) -> Any:
            return getattr(module, name)

        def set_state(self, name: str, value: Array) -> None:
            module.set_state(name, value * 1.0001 if name == "model.second.weight" else value)

    with pytest.raises(RuntimeFailure, match="differ from torch in float64's"):
        verify(compiled, Wrong(), {})


def test_a_run_goes_from_the_host_to_a_module_and_back(module: TrainingModule, tmp_path: Path) -> None:
    trainer, reference = host(), host()
    for each in (trainer, reference):
        each.step(*digits(BATCH, 0))
    saved = tmp_path / "host.safetensors"
    saved.write_bytes(trainer.checkpoint())
    module.load_checkpoint(saved)
    for seed in (1, 2):
        x, y = digits(BATCH, seed)
        assert module.step(x, y).loss == pytest.approx(reference.step(x, y).loss, rel=1e-4)
    assert_same_weights(module, reference)
    module.save_weights(tmp_path / "weights.safetensors")
    trainer.load_state_dict(safetensors.numpy.load_file(tmp_path / "weights.safetensors"))
    assert_same_weights(module, trainer, rtol=0)
    assert module.checkpoint().keys() == safetensors.numpy.load(trainer.checkpoint()).keys()


def test_a_hyper_parameter_may_change(module: TrainingModule) -> None:
    trainer = host()
    for rate in (0.01, 0.001, 0.02):
        module.set("learning_rate", rate)
        trainer.set("learning_rate", rate)
        assert module.get("learning_rate") == rate
        x, y = digits(BATCH, 3)
        assert module.step(x, y).loss == pytest.approx(trainer.step(x, y).loss, rel=1e-4)
    assert_same_weights(module, trainer)
    with pytest.raises(
        InvalidArgument, match="'momentum' cannot be changed; the module has the hyper-parameters"
    ):
        module.set("momentum", 0.5)


class TestBadInput:
    """Each is one sentence, and the state is as before."""

    @pytest.fixture(autouse=True)
    def _unchanged(self, module: TrainingModule) -> Iterator[None]:
        module.step(*digits(BATCH, 0))
        before = module.checkpoint()
        yield
        for name, array in module.checkpoint().items():
            np.testing.assert_array_equal(array, before[name])

    def test_a_target_that_is_no_class(self, module: TrainingModule) -> None:
        x, y = digits(BATCH, 1)
        y[3] = CLASSES
        with pytest.raises(InvalidArgument, match="a target is none of the 10 classes, which are 0 to 9"):
            module.step(x, y)
        with pytest.raises(InvalidArgument, match="a target is none of the 10 classes"):
            module.evaluate(x, y)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_loss_that_is_not_finite(self, module: TrainingModule, value: float) -> None:
        x, y = digits(BATCH, 1)
        x[2, 0, 4, 4] = value
        with pytest.raises(RuntimeFailure, match=r"is not finite|the loss is"):
            module.step(x, y)

    def test_more_rows_than_compiled(self, module: TrainingModule) -> None:
        with pytest.raises(InvalidArgument, match="a step takes 1 to 8 rows, not 9"):
            module.step(*digits(BATCH + 1, 1))

    def test_no_rows(self, module: TrainingModule) -> None:
        with pytest.raises(InvalidArgument, match="a step takes 1 to 8 rows, not 0"):
            module.step(*digits(0, 1))

    def test_other_shapes(self, module: TrainingModule) -> None:
        x, y = digits(BATCH, 1)
        with pytest.raises(InvalidArgument, match=r"input 'x': expected rows of shape \[1, 10, 10\]"):
            module.step(x[:, :, :9], y)
        with pytest.raises(InvalidArgument, match="the arrays have 7, 8 rows"):
            module.step(x, y[:7])

    def test_state_of_another_model(self, module: TrainingModule) -> None:
        with pytest.raises(InvalidArgument, match=r"the weights lack 'first.weight'"):
            module.load_state_dict({"other": np.zeros(3, np.float32)})
        wrong = {**module.state_dict(), "last.bias": np.zeros(3, np.float32)}
        with pytest.raises(InvalidArgument, match=r"model.last.bias: expected float32"):
            module.load_state_dict(wrong)
        with pytest.raises(InvalidArgument, match=r"tensor 'model.first.weight' is missing there"):
            module.restore({})


def test_frozen_parameters_are_part_of_the_module(tmp_path: Path) -> None:
    freeze = ("first.*", "norm.running_*")
    options = CompileOptions(
        shapes={"x": (BATCH, 1, 10, 10)},
        train=TrainOptions(optimizer="sgd", learning_rate=0.1, freeze=freeze),
    )
    module = wasmgrad.load(compile_model(small_net(), options).module)
    assert isinstance(module, TrainingModule)
    trainer = wasmgrad.Trainer(
        small_net(), optimizer="sgd", learning_rate=0.1, freeze=list(freeze), threads=1, batch_size=BATCH
    )
    for seed in range(3):
        x, y = digits(BATCH, seed)
        assert module.step(x, y).loss == pytest.approx(trainer.step(x, y).loss, rel=1e-4)
    theirs = trainer.state_dict()
    assert set(theirs) - set(module.state_dict()) == {
        "first.weight", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked",
    }  # fmt: skip
    for name, array in module.state_dict().items():
        np.testing.assert_allclose(array, theirs[name], rtol=2e-4, atol=2e-5, err_msg=name)
    module.load_state_dict(theirs)
    other = {**theirs, "first.weight": theirs["first.weight"] + 1}
    with pytest.raises(
        InvalidArgument, match=r"first.weight: is frozen in this module, and not the same there"
    ):
        module.load_state_dict(other)
    module.close()


def test_rows_that_look_at_each_other_take_whole_batches() -> None:
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x - x.mean(0, keepdim=True))

    options = CompileOptions(shapes={"x": (4, 5)}, train=TrainOptions(optimizer="sgd"))
    module = wasmgrad.load(compile_model(Centred(), options).module)
    assert isinstance(module, TrainingModule)
    assert not module.training.partial
    with pytest.raises(InvalidArgument, match="a step takes 4 rows, not 3"):
        module.step(np.zeros((3, 5), np.float32), np.zeros(3, np.int64))
    module.close()


def test_a_training_module_is_a_graph_module(module: TrainingModule) -> None:
    assert isinstance(module, GraphModule)
    assert module.entries == ("step", "evaluate", "predict")
    x, _ = digits(BATCH, 0)
    np.testing.assert_array_equal(module.entry("predict")(x=x), module.predict(x))
