"""What follows the mode of a run and what stays in evaluation mode, in both formats, against loops of torch."""

from __future__ import annotations

import io
import json
import subprocess
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import wasmgrad
from torch import Tensor, nn
from wasmgrad import Trainer
from wasmgrad._graph.inspect import inspect

Command = Callable[..., subprocess.CompletedProcess[str]]

X = torch.randn(24, 8, generator=torch.Generator().manual_seed(3))
Y = torch.arange(24) % 4


def torchscript(model: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(model), buffer)
    return buffer.getvalue()


def program(model: nn.Module) -> bytes:
    buffer = io.BytesIO()
    batch = torch.export.Dim("batch")
    torch.export.save(torch.export.export(model, (X,), dynamic_shapes=({0: batch},)), buffer)
    return buffer.getvalue()


def traced(model: nn.Module) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.jit.save(torch.jit.trace(model, X, check_trace=False), buffer)
    return buffer.getvalue()


FORMATS = [pytest.param(torchscript, id="torchscript"), pytest.param(program, id="exported")]
Save = Callable[[nn.Module], bytes]
Model = TypeVar("Model", bound=nn.Module)


class Calls(nn.Module):
    """Batch norm and dropout as functions, called in evaluation mode whatever the mode is."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Linear(8, 6)
        self.b = nn.BatchNorm1d(6)
        self.l = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = F.batch_norm(
            self.c(x), self.b.running_mean, self.b.running_var, self.b.weight, self.b.bias, False
        )
        return self.l(F.dropout(y, 0.5, training=False))


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Linear(8, 6)
        self.b = nn.BatchNorm1d(6)
        self.d = nn.Linear(6, 6)
        self.e = nn.BatchNorm1d(6)
        self.l = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.l(torch.tanh(self.e(self.d(self.b(self.c(x))))))


class LayersAndDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Linear(8, 6)
        self.b = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.l = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.l(self.drop(torch.tanh(self.b(self.c(x)))))


def made(kind: type[Model]) -> Model:
    """With running statistics unlike those of the data."""
    torch.manual_seed(0)
    model = kind()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.fill_(0.3)
            module.running_var.fill_(2.0)
    return model.train()


def check_training(
    trainer: Trainer, model: nn.Module, frozen: Sequence[str] = (), *, has_mode: bool = True
) -> None:
    """Five steps here and in torch: losses, parameters, buffers."""
    trained = [value for name, value in model.named_parameters() if name not in frozen]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X), Y)
        loss.backward()
        optimizer.step()
        assert trainer.step(X.numpy(), Y.numpy()).loss == pytest.approx(loss.item(), rel=1e-5)
    state = torch.jit.load(io.BytesIO(trainer.model())).state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5)
    if has_mode:
        model.eval()
    with torch.no_grad():
        torch.testing.assert_close(
            torch.from_numpy(trainer.predict(X.numpy())), model(X), rtol=1e-4, atol=1e-5
        )


def trainer_of(archive: bytes, freeze: Sequence[str] = ()) -> Trainer:
    return Trainer(
        archive, freeze=freeze, optimizer="sgd", learning_rate=0.1, threads=1, on_event=lambda event: None
    )


@pytest.mark.parametrize("save", FORMATS)
def test_what_is_called_in_evaluation_mode_stays_in_it(save: Save) -> None:
    model = made(Calls)
    check_training(trainer_of(save(model)), model)


@pytest.mark.parametrize("save", [*FORMATS, pytest.param(traced, id="traced")])
def test_layer_saved_in_evaluation_mode_stays_in_it_when_another_trains(save: Save) -> None:
    model = made(Layers)
    model.b.eval()
    check_training(trainer_of(save(model)), model)


@pytest.mark.parametrize("save", FORMATS)
@pytest.mark.parametrize("kind", [Layers, LayersAndDropout])
def test_layers_that_are_all_saved_in_evaluation_mode_stay_in_it(save: Save, kind: type[nn.Module]) -> None:
    model = made(kind)
    for layer in model.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.Dropout)):
            layer.eval()
    check_training(trainer_of(save(model)), model)


@pytest.mark.parametrize("kind", [Layers, LayersAndDropout])
def test_program_exported_in_evaluation_mode_trains_as_it_does_in_torch(kind: type[nn.Module]) -> None:
    saved = program(made(kind).eval())
    check_training(trainer_of(saved), torch.export.load(io.BytesIO(saved)).module(), has_mode=False)


@pytest.mark.parametrize("save", [*FORMATS, pytest.param(traced, id="traced")])
def test_frozen_running_statistics_are_used_and_kept(save: Save) -> None:
    model = made(Layers)
    trainer = trainer_of(save(model), ["*.running_*"])
    model.b.eval()
    model.e.eval()
    check_training(trainer, model)


@pytest.mark.parametrize("save", FORMATS)
def test_pattern_over_a_layer_freezes_its_parameters_and_statistics(save: Save) -> None:
    model = made(Layers)
    trainer = trainer_of(save(model), ["b.*"])
    model.b.eval()
    check_training(trainer, model, ["b.weight", "b.bias"])


@pytest.mark.parametrize("save", FORMATS)
def test_pattern_over_parameters_lets_the_statistics_learn(save: Save) -> None:
    model = made(Layers)
    trainer = trainer_of(save(model), ["b.weight", "b.bias"])
    check_training(trainer, model, ["b.weight", "b.bias"])


class OwnNorm(nn.Module):
    """Running statistics of the model itself, in training mode whatever the flag says."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Linear(8, 4)
        self.register_buffer("running_mean", torch.full((4,), 0.3))
        self.register_buffer("running_var", torch.full((4,), 2.0))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(self.c(x), self.running_mean, self.running_var, None, None, True)  # type: ignore[arg-type]


@pytest.mark.parametrize("save", FORMATS)
def test_frozen_statistics_hold_where_forward_decides_the_mode_itself(save: Save) -> None:
    trainer = trainer_of(save(made(OwnNorm)), ["running_mean"])
    before = trainer.step(X.numpy(), Y.numpy())
    state = torch.jit.load(io.BytesIO(trainer.model())).state_dict()
    assert torch.equal(state["running_mean"], torch.full((4,), 0.3))
    assert torch.equal(state["running_var"], torch.full((4,), 2.0))
    assert before.loss > 0


@pytest.mark.parametrize("pattern", ["b.num_batches_tracked", "nothing.*"])
def test_pattern_that_freezes_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(
        wasmgrad.InvalidArgument, match="no trainable parameter and no running statistic matches"
    ):
        trainer_of(torchscript(made(Layers)), [pattern])


class WithDropout(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))


def statistics_of(trainer: Trainer) -> Tensor:
    value: Tensor = torch.jit.load(io.BytesIO(trainer.model())).state_dict()["1.running_mean"]
    return value


@pytest.mark.parametrize(
    ("save", "training"),
    [(traced, True), (traced, False), (program, True)],
    ids=["traced in training mode", "traced in evaluation mode", "exported"],
)
def test_layers_of_a_recorded_model_follow_the_mode(save: Save, training: bool) -> None:
    model = made(WithDropout).train(training)
    trainer = trainer_of(save(model))
    before = statistics_of(trainer)
    losses = {trainer.step(X.numpy(), Y.numpy()).loss for _ in range(3)}
    assert len(losses) == 3
    assert not torch.equal(statistics_of(trainer), before)
    assert not (trainer.predict(X.numpy()) == 0).any()
    again = torch.jit.load(io.BytesIO(trainer.model()))
    assert torch.equal(again(X), again(X))
    torch.testing.assert_close(torch.from_numpy(trainer.predict(X.numpy())), again(X).detach())
    assert (again.train()(X) == 0).any()  # the saved model follows the mode too


class CallsDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.l(x), 0.5, self.training)


def warned(archive: bytes) -> list[str]:
    events: list[wasmgrad.Event] = []
    Trainer(archive, on_event=events.append)
    return [event["message"] for event in events if event["event"] == "warning"]


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (lambda: traced(made(WithDropout)), "it was traced, which fixes the mode"),
        (lambda: traced(made(WithDropout).eval()), "it was traced, which fixes the mode"),
        (lambda: traced(made(CallsDropout)), "dropout is fixed: recorded in training mode"),
        (lambda: traced(made(CallsDropout).eval()), "dropout is fixed: recorded in evaluation mode"),
        (
            lambda: program(made(WithDropout).eval()),
            "its 2 operators that have a mode stay in evaluation mode",
        ),
        (
            lambda: program(made(CallsDropout).eval()),
            "its operator that has a mode stays in evaluation mode while it trains",
        ),
    ],
)
def test_model_whose_mode_is_fixed_is_warned_of(
    archive: Callable[[], bytes], said: str, tmp_path: Path
) -> None:
    saved = archive()
    messages = warned(saved)
    assert any(said in message and message.startswith("model 'model': ") for message in messages)
    with pytest.warns(wasmgrad.ModelWarning, match="mode"):
        Trainer(saved)
    file = tmp_path / ("model.pt2" if "export" in messages[0] else "model.pt")
    file.write_bytes(saved)
    assert said in inspect(file).details["warning"]


@pytest.mark.parametrize("save", FORMATS)
@pytest.mark.parametrize("kind", [WithDropout, Layers, CallsDropout])
def test_model_that_follows_the_mode_is_not_warned_of(save: Save, kind: type[nn.Module]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", wasmgrad.ModelWarning)
        assert Trainer(save(made(kind))).warnings == ()


def test_command_line_shows_the_warning(command: Command, tmp_path: Path, regression_guest: Path) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.1), nn.Linear(8, 1)).eval()
    torch.jit.trace(model, torch.zeros(2, 8)).save(str(tmp_path / "linear.pt"))
    for options, found in (
        (
            ["--json"],
            lambda out: [line for line in out.splitlines() if json.loads(line)["event"] == "warning"],
        ),
        ([], lambda out: "warning: model 'linear.pt': it was traced" in out),
    ):
        done = command(
            "train", "--model", "linear.pt=linear.pt", *options, str(regression_guest), "linear.pt"
        )
        assert done.returncode == 0, done.stderr
        assert found(done.stdout + ("" if options else done.stderr)), done.stdout
    shown = command("inspect", "linear.pt")
    assert "it was traced" in shown.stdout
