"""One sample model, through everything: trained in both formats beside plain torch, saved, loaded, compiled.

How far two computations of a model may be apart, a third one says: plain torch with initial weights that differ in
the last place. It must not know any architecture, nor how results are shown.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wasmgrad
from numpy.typing import NDArray
from sample_models import Case, seeded
from sample_models.files import NotWritten, write_exported, write_script
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad import Trainer
from wasmgrad.compiler.frontend.torch_program import read_file

__all__ = ["FORMATS", "STAGES", "Outcome", "Trial", "Wrong", "run", "same", "trainer_of"]

FORMATS = ("pt", "pt2")
STAGES = ("trains", "saves and loads", "compiles", "agrees with torch")

_STEPS = 30
_MOMENTUM = 0.9
_NUDGE = 1e-7  # of each initial weight: its last place
_FACTOR = 10  # how many times as far as the nudged run a result may be
_PLACES = 16  # of float32, of a tensor's largest value, that may differ in any case
_CHECKS = 3  # batches that are predicted

Arrays = Sequence[NDArray[Any]]


class Wrong(Exception):
    """A number is further from torch's than rounding explains."""


@dataclass(frozen=True)
class Outcome:
    """Of one stage in one format: "yes", "refused", "wrong", or "not written" where torch cannot write the format."""

    kind: str
    detail: str = ""


@dataclass
class Trial:
    """What became of a model: of each format, the outcome of each stage that was reached."""

    model: str
    how: dict[str, str] = field(default_factory=dict)
    """Of each format: "scripted", "traced" or "exported"."""
    outcomes: dict[str, dict[str, Outcome]] = field(default_factory=lambda: {form: {} for form in FORMATS})


@dataclass(frozen=True)
class _Trained:
    """What a loop of plain torch makes."""

    losses: NDArray[Any]
    state: dict[str, NDArray[Any]]
    output: NDArray[Any]


class _Subject:
    """A model, the batches for all who train it and to look at it with, and what plain torch makes of them."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.model = seeded(case)
        generator = np.random.default_rng(1)
        self.batches = [
            (self._inputs(generator), case.target.draw(generator, case.batch)) for _ in range(_STEPS)
        ]
        self.checks = [self._inputs(generator) for _ in range(_CHECKS)]
        self.plain = self._trained(copy.deepcopy(self.model))
        self.nudged = self._trained(_nudge(copy.deepcopy(self.model)))

    def _inputs(self, generator: np.random.Generator) -> list[NDArray[Any]]:
        return [rows.draw(generator, self.case.batch) for rows in self.case.inputs]

    def _trained(self, model: nn.Module) -> _Trained:
        optimizer = torch.optim.SGD(model.parameters(), lr=self.case.learning_rate, momentum=_MOMENTUM)
        loss_of = F.mse_loss if self.case.loss == "mse" else F.cross_entropy
        losses = []
        for inputs, target in self.batches:
            optimizer.zero_grad()
            loss = loss_of(model(*_tensors(inputs)), torch.from_numpy(target))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
        state = {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}
        return _Trained(np.array(losses), state, _predicted(model.eval(), self.checks[0]))

    def check_output(self, what: str, ours: NDArray[Any]) -> None:
        """Of a trained model. Errors: `Wrong`."""
        same(what, ours, self.plain.output, self.nudged.output)


def run(case: Case) -> Trial:
    """Everything that can be said of one model. What wasmgrad refuses is an outcome; other errors are raised."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    subject, trial = _Subject(case), Trial(case.name)
    with tempfile.TemporaryDirectory() as folder:
        for form, write in zip(FORMATS, (write_script, write_exported), strict=True):
            path = Path(folder, f"model.{form}")
            try:
                trial.how[form] = write(subject.model, _tensors(subject.checks[0]), path)
            except NotWritten as error:
                trial.outcomes[form]["trains"] = Outcome("not written", str(error))
                continue
            trial.outcomes[form] = _outcomes(subject, path)
    return trial


def _outcomes(subject: _Subject, path: Path) -> dict[str, Outcome]:
    """Of all stages of one file. A trained model is compiled, and a program also as it was exported."""
    outcomes: dict[str, Outcome] = {}
    saved = path.with_name(f"trained_{path.suffix[1:]}.pt")
    if not _stage(outcomes, "trains", lambda: _train(subject, path, saved)):
        return outcomes
    _stage(outcomes, "saves and loads", lambda: _load(subject, saved))
    _compile(subject, saved, lambda: _loaded(saved), outcomes)
    if path.suffix == ".pt2":
        _compile(subject, path, lambda: copy.deepcopy(subject.model).eval(), outcomes)
    return outcomes


def _stage(outcomes: dict[str, Outcome], name: str, work: Callable[[], object]) -> bool:
    """Whether it could be done. What became of it is noted; of several times, the first failure."""
    try:
        work()
        found = Outcome("yes")
    except Wrong as error:
        found = Outcome("wrong", str(error))
    except wasmgrad.Error as error:
        found = Outcome("refused", _sentence(error))
    if name not in outcomes or outcomes[name].kind == "yes":
        outcomes[name] = found
    return found.kind == "yes"


def _sentence(error: wasmgrad.Error) -> str:
    """Without the file's name, which is ours."""
    first = error.message.splitlines()[0]
    place, colon, rest = first.partition(": ")
    return rest if colon and "/" in place else first


# -- stages -------------------------------------------------------------------------------------------------------


def trainer_of(case: Case, file: Path) -> Trainer:
    """As plain torch trains it."""
    options: Any = {
        "optimizer": "sgd",
        "momentum": _MOMENTUM,
        "learning_rate": case.learning_rate,
        "loss": case.loss,
    }
    return Trainer(file, keep_integers=True, threads=1, **options)


def _train(subject: _Subject, path: Path, saved: Path) -> None:
    """All steps; losses, parameters, buffers and outputs are as plain torch's. Errors: `Wrong`."""
    trainer = trainer_of(subject.case, path)
    losses = np.array([trainer.step(inputs, target).loss for inputs, target in subject.batches])
    plain, nudged = subject.plain, subject.nudged
    # Two runs that part may meet again by chance, so the widest gap so far counts.
    gaps = np.maximum.accumulate(np.abs(nudged.losses - plain.losses))
    for step, gap in enumerate(gaps):
        _within(f"the loss of step {step + 1}", losses[step], plain.losses[step], gap)
    state = trainer.state_dict()
    for name, values in plain.state.items():
        if name in state:
            same(f"{name} after training", state[name], values, nudged.state[name])
        elif not any(
            np.array_equal(values, plain.state[other]) for other in plain.state.keys() & state.keys()
        ):
            raise Wrong(f"{name} is not in the trained model")  # tied weights are there by another name
    subject.check_output("an output after training", trainer.predict(subject.checks[0]))
    trainer.save(saved)


def _load(subject: _Subject, saved: Path) -> None:
    """The file, in torch and in wasmgrad, gives what the trainer gave. Errors: `Wrong`."""
    subject.check_output("an output of the file in torch", _predicted(_loaded(saved), subject.checks[0]))
    trainer = trainer_of(subject.case, saved)
    subject.check_output("an output of the file in wasmgrad", trainer.predict(subject.checks[0]))


def _compile(
    subject: _Subject, file: Path, reference: Callable[[], nn.Module], outcomes: dict[str, Outcome]
) -> None:
    """Compiles the file, and holds what it gives against `reference`, a new model at each call."""
    modules: list[Any] = []

    def compile_it() -> None:
        names = [argument.name for argument in read_file(file).arguments]
        shapes = {
            name: (subject.case.batch, *rows.shape)
            for name, rows in zip(names, subject.case.inputs, strict=True)
        }
        modules.append(wasmgrad.compile(file, shapes=shapes, verify=False))

    def agree() -> None:
        model, nudged = reference(), _nudge(reference())
        for inputs in subject.checks:
            outputs = modules[0](*inputs)
            first = outputs[0] if isinstance(outputs, tuple) else outputs
            same(
                "an output of the compiled model",
                first,
                _predicted(model, inputs),
                _predicted(nudged, inputs),
            )

    if _stage(outcomes, "compiles", compile_it):
        _stage(outcomes, "agrees with torch", agree)


# -- numbers ------------------------------------------------------------------------------------------------------


def same(what: str, ours: Any, plain: Any, nudged: Any) -> None:
    """Errors: `Wrong` when `ours` is further from `plain` than a nudge, which made `nudged`, and rounding explain."""
    ours, plain, nudged = (np.asarray(each, np.float64) for each in (ours, plain, nudged))
    if ours.shape != plain.shape:
        raise Wrong(f"{what} has the shape {list(ours.shape)} instead of {list(plain.shape)}")
    _within(what, ours, plain, np.max(np.abs(nudged - plain), initial=0))


def _within(what: str, ours: Any, plain: Any, gap: float) -> None:
    """Errors: `Wrong` when they are apart by more than ten times the gap that a nudge makes, and some last places."""
    place = np.finfo(np.float32).eps * np.max(np.abs(plain), initial=0)
    apart = np.max(np.abs(ours - plain), initial=0)
    if not apart <= _FACTOR * gap + _PLACES * place:
        raise Wrong(
            f"{what} differs by {apart:.2g}, a nudge makes {gap:.2g}, and a last place is {place:.2g}"
        )


def _nudge(model: nn.Module) -> nn.Module:
    """The same model, after its parameters were changed in their last place."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + _NUDGE * (2 * torch.rand(parameter.shape, generator=generator) - 1).sign())
    return model


def _loaded(file: Path) -> nn.Module:
    module: nn.Module = torch.jit.load(file).eval()  # type: ignore[no-untyped-call]
    return module


def _predicted(model: nn.Module, inputs: Arrays) -> NDArray[Any]:
    with torch.no_grad():
        output: Tensor = model(*_tensors(inputs))
    return output.numpy()


def _tensors(arrays: Arrays) -> list[Tensor]:
    return [torch.from_numpy(array.copy()) for array in arrays]
