"""Models that compute their own loss predict without a target: what only the entry `loss` needs is cut away."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
import wasmgrad
from torch import nn
from wasmgrad import Trainer

# r: what is predicted, [N, 6]; t: the target, of the same shape; y: whole numbers made of it.
LOSSES = {
    "plain": "(r - t).pow(2).mean()",
    "mse_loss": "F.mse_loss(r, t)",
    "l1_loss": "F.l1_loss(r, t)",
    "smooth_l1_loss": "F.smooth_l1_loss(r, t)",
    "huber_loss": "F.huber_loss(r, t)",
    "bce": "F.binary_cross_entropy(torch.sigmoid(r), t)",
    "bce_with_logits": "F.binary_cross_entropy_with_logits(r, t)",
    "cross_entropy": "F.cross_entropy(r, y)",
    "label_smoothing": "F.cross_entropy(r, y, label_smoothing=0.1)",
    "nll_loss": "F.nll_loss(F.log_softmax(r, 1), y)",
    "kl_div": 'F.kl_div(F.log_softmax(r, 1), t, reduction="batchmean")',
    "poisson_nll_loss": "F.poisson_nll_loss(r, t)",
    "cosine_embedding_loss": "F.cosine_embedding_loss(r, t, torch.ones_like(y))",
    "hinge_embedding_loss": "F.hinge_embedding_loss(r, t)",
    "margin_ranking_loss": "F.margin_ranking_loss(r, t, torch.ones_like(r))",
    "soft_margin_loss": "F.soft_margin_loss(r, t)",
    "multilabel_soft_margin_loss": "F.multilabel_soft_margin_loss(r, t)",
    "triplet_margin_loss": "F.triplet_margin_loss(r, t, t + 1)",
    "module": "self.criterion(r, t)",
    "asserts": "checked(r, t)",
    "raises": "raising(r, t)",
    "loop": "looped(r, t)",
}
SUPERVISED = """
class Supervised_{name}(Coder):
    def forward(self, x, t) -> Dict[str, torch.Tensor]:
        r = self.decoder(self.encoder(x))
        y = t.argmax(1)
        return {{"recon": r, "loss": {loss}}}
"""
UNSUPERVISED = """
class Unsupervised_{name}(Coder):
    def forward(self, x) -> Dict[str, torch.Tensor]:
        t = x
        r = self.decoder(self.encoder(x))
        y = t.argmax(1)
        return {{"recon": r, "loss": {loss}}}
"""
SOURCE = """
import warnings
from typing import Dict, NamedTuple, Optional
import torch
import torch.nn as nn
import torch.nn.functional as F

def checked(r, t):
    assert r.size() == t.size(), "sizes differ"
    assert bool((t >= 0).all()), "negative targets"
    return (r - t).abs().mean()

def raising(r, t):
    if t.dim() != 2:
        raise ValueError("two dimensions are expected")
    elif bool((t > 1).any()):
        warnings.warn("targets above 1")
    return F.mse_loss(r, t)

def looped(r, t):
    total = torch.zeros([])
    for row in range(t.size(0)):
        if bool(t[row].sum() > 1e9):
            raise ValueError("too large")
        total = total + (r[row] - t[row]).pow(2).mean()
    return total / t.size(0)

class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(6, 3)
        self.decoder = nn.Linear(3, 6)
        self.criterion = nn.MSELoss()

class Assigned(Coder):
    def forward(self, x, t) -> Dict[str, torch.Tensor]:
        r = self.decoder(self.encoder(x))
        out = {"recon": r}
        out["loss"] = F.mse_loss(out["recon"], t)
        out["code"] = self.encoder(x)
        return out

class Result(NamedTuple):
    loss: torch.Tensor
    recon: torch.Tensor

class Named(Coder):
    def forward(self, x, t) -> Result:
        r = self.decoder(self.encoder(x))
        return Result(F.l1_loss(r, t), r)

class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Supervised_mse_loss()
    def forward(self, x, t) -> Dict[str, torch.Tensor]:
        return self.inner(x, t)

class ModeDependent(Coder):
    def forward(self, x, t) -> Dict[str, torch.Tensor]:
        r = self.decoder(self.encoder(x))
        if self.training:
            loss = F.mse_loss(r, t)
        else:
            loss = F.l1_loss(r, t)
        return {"recon": r, "loss": loss}

class OptionalTarget(Coder):
    def forward(self, x, t: Optional[torch.Tensor] = None) -> Dict[str, torch.Tensor]:
        r = self.decoder(self.encoder(x))
        out = {"recon": r}
        if t is not None:
            out["loss"] = F.mse_loss(r, t)
        return out

class NeedsTarget(Coder):
    def forward(self, x, t) -> Dict[str, torch.Tensor]:
        r = self.decoder(self.encoder(x)) + t.mean()
        return {"recon": r, "loss": F.mse_loss(r, t)}

class WritesToOutput(Coder):
    def forward(self, x, t) -> Dict[str, torch.Tensor]:
        r = self.decoder(self.encoder(x))
        loss = scaled(r, t)
        return {"recon": r, "loss": loss}

class ChecksInput(Coder):
    def forward(self, x, t) -> Dict[str, torch.Tensor]:
        if bool((x < 0).any()):
            raise ValueError("negative inputs")
        r = self.decoder(self.encoder(x))
        return {"recon": r, "loss": F.mse_loss(r, t)}

def scaled(r, t):
    r.mul_(0.5)
    return F.mse_loss(r, t)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The models, in a file: TorchScript reads their text."""
    classes = "".join(
        form.format(name=name, loss=loss)
        for name, loss in LOSSES.items()
        for form in (SUPERVISED, UNSUPERVISED)
    )
    path = tmp_path_factory.mktemp("models") / "own_losses.py"
    path.write_text(SOURCE + classes)
    spec = importlib.util.spec_from_file_location("own_losses", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scripted(module: nn.Module, inputs: int) -> bytes:
    del inputs
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer)
    return buffer.getvalue()


def exported(module: nn.Module, inputs: int) -> bytes:
    buffer = io.BytesIO()
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        module,
        tuple(torch.rand(4, 6) for _ in range(inputs)),
        dynamic_shapes=tuple({0: batch} for _ in range(inputs)),
    )
    torch.export.save(program, buffer)
    return buffer.getvalue()


Format = Callable[[nn.Module, int], bytes]
BOTH = pytest.mark.parametrize("form", [scripted, exported])
X = np.random.default_rng(0).random((5, 6), np.float32)


def check_predicts(module: nn.Module, archive: bytes, targets: int, **expected: str) -> None:
    """After a step, the trainer, the saved model in a new trainer, and wasi-nn's path predict as torch does."""
    trainer = Trainer(archive, losses="model", threads=1, optimizer="sgd", learning_rate=0.1)
    loss = trainer.step([X], [X[:, ::-1].copy()] * targets).loss
    assert np.isfinite(loss)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in trainer.state_dict().items()})
    with torch.no_grad():
        recon = module.eval().decoder(module.encoder(torch.from_numpy(X))).numpy()
    outputs = trainer.outputs(X)
    assert "loss" not in outputs
    np.testing.assert_allclose(outputs["recon"], recon, rtol=1e-6, atol=1e-6)
    again = Trainer(trainer.model(), losses="model", threads=1)
    np.testing.assert_array_equal(again.outputs(X)["recon"], outputs["recon"])


# Data-dependent control flow has no place in an exported graph.
SCRIPTED_ONLY = ("asserts", "raises", "loop")


@BOTH
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("targets", [0, 1])
def test_model_with_its_own_loss_predicts(source: ModuleType, name: str, form: Format, targets: int) -> None:
    if form is exported and name in SCRIPTED_ONLY:
        return
    module = getattr(source, ("Unsupervised_", "Supervised_")[targets] + name)()
    check_predicts(module, form(module, 1 + targets), targets)


@BOTH
@pytest.mark.parametrize("name", ["Assigned", "Named"])
def test_loss_is_cut_from_however_the_outputs_are_made(source: ModuleType, name: str, form: Format) -> None:
    if form is exported and name == "Named":
        return  # torch.export saves named tuples under a type of its own
    module = getattr(source, name)()
    check_predicts(module, form(module, 2), 1)


@pytest.mark.parametrize("name", ["ModeDependent", "OptionalTarget"])
def test_scripted_branches_around_the_loss_are_cut(source: ModuleType, name: str) -> None:
    module = getattr(source, name)()
    check_predicts(module, scripted(module, 2), 1)


def test_loss_is_cut_inside_the_module_that_makes_it(source: ModuleType) -> None:
    module = source.Wrapped()
    trainer = Trainer(scripted(module, 2), losses="model", threads=1)
    with torch.no_grad():
        recon = module.inner.decoder(module.inner.encoder(torch.from_numpy(X))).numpy()
    np.testing.assert_allclose(trainer.predict(X), recon, rtol=1e-6, atol=1e-6)


@BOTH
def test_target_that_the_prediction_needs_is_asked_for(source: ModuleType, form: Format) -> None:
    trainer = Trainer(form(source.NeedsTarget(), 2), losses="model", threads=1)
    trainer.step([X], [X])
    with pytest.raises(wasmgrad.InvalidArgument, match="the argument 't' of forward is not given"):
        trainer.predict(X)


def test_loss_that_writes_to_an_output_is_not_cut_away_with_what_it_writes(source: ModuleType) -> None:
    module = source.WritesToOutput()
    trainer = Trainer(scripted(module, 2), losses="model", threads=1)
    with torch.no_grad():
        recon = module(torch.from_numpy(X), torch.from_numpy(X))["recon"].numpy()
    np.testing.assert_allclose(trainer.predict(X), recon, rtol=1e-6, atol=1e-6)


def test_check_of_the_input_stays(source: ModuleType) -> None:
    trainer = Trainer(scripted(source.ChecksInput(), 2), losses="model", threads=1)
    trainer.predict(X)
    with pytest.raises(wasmgrad.InvalidArgument, match="negative inputs"):
        trainer.predict(-X)


def test_prediction_does_not_warn_about_the_loss(
    source: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    trainer = Trainer(scripted(source.Unsupervised_raises(), 1), losses="model", threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.predict(X * 100)
    assert "targets above 1" not in capfd.readouterr().err
