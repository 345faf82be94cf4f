"""One sample model, through everything: trained in both formats beside plain torch, saved, loaded, compiled.

It must not know any architecture, nor how results are shown, nor how far apart two numbers may be.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wasmgrad
from model_yardstick import Trained, Unfit, Wrong, Yardstick, along, nudge, same
from numpy.typing import NDArray
from sample_models import Case, seeded
from sample_models.files import NotWritten, write_exported, write_script
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad import Trainer
from wasmgrad.compiler.frontend.torch_program import read_file

__all__ = ["FORMATS", "STAGES", "Outcome", "Trial", "run", "trainer_of"]

FORMATS = ("pt", "pt2")
STAGES = ("trains", "saves and loads", "compiles", "agrees with torch")

_STEPS = 30
_MOMENTUM = 0.9
_CHECKS = 3  # batches that are predicted

Arrays = Sequence[NDArray[Any]]


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
    unfit: str = ""
    """Why the sample says nothing; there are no outcomes then."""
    share: float = 0.0
    """The widest distance from torch that was seen, as a part of what is allowed."""
    nudges: int = 0
    """How many nudged runs of torch it took to allow it; 0 where that is not known."""


class _Subject:
    """A model, the batches for all who train it and to look at it with, and what plain torch makes of them.

    Errors: `Unfit`.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.model = seeded(case)
        generator = np.random.default_rng(1)
        self.batches = [
            (self._inputs(generator), case.target.draw(generator, case.batch)) for _ in range(_STEPS)
        ]
        self.checks = [self._inputs(generator) for _ in range(_CHECKS)]
        self.torch = Yardstick(self._trained)

    def _inputs(self, generator: np.random.Generator) -> list[NDArray[Any]]:
        return [rows.draw(generator, self.case.batch) for rows in self.case.inputs]

    def _trained(self, seed: int | None) -> Trained:
        """By plain torch, after a nudge where there is a seed of one; after every other in torch's other layout.

        Its kernels sum in another order, as wasmgrad may. A mean that is 0 but for rounding shows only that.
        """
        model = copy.deepcopy(self.model)
        if seed is not None:
            nudge(model, seed)
            if seed % 2 == 1:
                model.to(memory_format=torch.channels_last)
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
        return Trained(np.array(losses), state, _predicted(model.eval(), self.checks[0]))

    def check_output(self, what: str, ours: NDArray[Any]) -> None:
        """Of a trained model. Errors: `Wrong`."""
        self.torch.hold(what, ours, lambda run: run.output)


def run(case: Case) -> Trial:
    """Everything that can be said of one model. What wasmgrad refuses is an outcome; other errors are raised."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    try:
        return _tried(_Subject(case))
    except Unfit as error:
        return Trial(case.name, unfit=str(error))


def _tried(subject: _Subject) -> Trial:
    trial = Trial(subject.case.name)
    with tempfile.TemporaryDirectory() as folder:
        for form, write in zip(FORMATS, (write_script, write_exported), strict=True):
            path = Path(folder, f"model.{form}")
            try:
                trial.how[form] = write(subject.model, _tensors(subject.checks[0]), path)
            except NotWritten as error:
                trial.outcomes[form]["trains"] = Outcome("not written", str(error))
                continue
            trial.outcomes[form] = _outcomes(subject, path)
    trial.share, trial.nudges = subject.torch.share, subject.torch.nudges
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
    subject.torch.hold("the loss", losses, lambda run: run.losses, along)
    state, expected = trainer.state_dict(), subject.torch.plain.state
    for name, values in expected.items():
        if name in state:
            subject.torch.hold(f"{name} after training", state[name], partial(_of_state, name))
        elif not any(np.array_equal(values, expected[other]) for other in expected.keys() & state.keys()):
            raise Wrong(f"{name} is not in the trained model")  # tied weights are there by another name
    subject.check_output("an output after training", trainer.predict(subject.checks[0]))
    trainer.save(saved)


def _of_state(name: str, run: Trained) -> NDArray[Any]:
    return run.state[name]


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
        model, nudged = reference(), nudge(reference())
        for inputs in subject.checks:
            outputs = modules[0](*inputs)
            first = outputs[0] if isinstance(outputs, tuple) else outputs
            plain = _predicted(model, inputs)
            share = same("an output of the compiled model", first, plain, _predicted(nudged, inputs))
            subject.torch.share = max(subject.torch.share, share)

    if _stage(outcomes, "compiles", compile_it):
        _stage(outcomes, "agrees with torch", agree)


def _loaded(file: Path) -> nn.Module:
    module: nn.Module = torch.jit.load(file).eval()  # type: ignore[no-untyped-call]
    return module


def _predicted(model: nn.Module, inputs: Arrays) -> NDArray[Any]:
    with torch.no_grad():
        output: Any = model(*_tensors(inputs))
    first: Tensor = output[0] if isinstance(output, tuple) else output
    return first.numpy()


def _tensors(arrays: Arrays) -> list[Tensor]:
    return [torch.from_numpy(array.copy()) for array in arrays]
