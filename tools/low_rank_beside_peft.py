#!/usr/bin/env python3
"""Trains low-rank branches of small models of transformers for 30 steps beside PEFT, and compares everything.

    python tools/low_rank_beside_peft.py

Losses, branches, outputs, merged models and adapter files of both formats are held against PEFT's. How far two
computations may be apart, a third one says: PEFT with branches that differ in the last place. A number that is further
apart makes this program exit with 1. The packages are the extra `samples` of pyproject.toml.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model_trial import Wrong, same
from numpy.typing import NDArray
from sample_models import CASES, Case, seeded
from sample_models.files import write_exported, write_script
from sample_models.packages import load
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from wasmgrad import Trainer

STEPS, RANK, ALPHA, RATE = 30, 4, 8, 0.05
TARGETS = {
    "transformers GPT2": ("c_attn", "c_proj", "c_fc"),
    "transformers ViT": ("q_proj", "v_proj", "fc1"),
}
"""Names of the modules that get a branch, attention and others."""

Weights = dict[str, NDArray[Any]]


def main() -> int:
    """Try every model in both formats; 1 when one is wrong."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    wrong = 0
    for case in CASES:
        if case.name not in TARGETS:
            continue
        subject = _Subject(case, TARGETS[case.name])
        for form, write in (("pt", write_script), ("pt2", write_exported)):
            try:
                print(f"{case.name} .{form}: {_try(subject, write, form)}")
            except Wrong as error:
                print(f"{case.name} .{form}: WRONG: {error}")
                wrong += 1
    return int(wrong > 0)


class _Subject:
    """A model, its batches, and what PEFT makes of them."""

    def __init__(self, case: Case, targets: tuple[str, ...]) -> None:
        self.case, self.targets = case, targets
        generator = np.random.default_rng(1)
        self.batches = [
            (
                [rows.draw(generator, case.batch) for rows in case.inputs],
                case.target.draw(generator, case.batch),
            )
            for _ in range(STEPS)
        ]
        self.model = self.adapted()
        self.start = _branches(self.model)
        self.losses = self._trained(self.model)
        nudged = self.adapted()
        with torch.no_grad():
            for name, parameter in nudged.named_parameters():
                if "lora_A" in name:
                    parameter.mul_(1 + 1e-7)
        self.nudged, self.nudged_losses = nudged, self._trained(nudged)

    def adapted(self) -> Any:
        """The model with PEFT's branches, none of which is zero: the same at each call."""
        peft = load("peft")
        config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(self.targets))
        torch.manual_seed(3)
        model = peft.get_peft_model(seeded(self.case), config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, 0.05)
        return model

    def _trained(self, model: nn.Module) -> NDArray[Any]:
        model.train()
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=RATE, momentum=0.9)
        losses = []
        for inputs, target in self.batches:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(*_tensors(inputs)), torch.from_numpy(target))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        return np.array(losses)


def _try(subject: _Subject, write: Callable[..., str], form: str) -> str:
    """What was found alike. Errors: `Wrong`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / f"model.{form}"
        write(seeded(subject.case), _tensors(subject.batches[0][0]), file)
        lora = [f"*.{target}.weight:{RANK}:{ALPHA}" for target in subject.targets]
        how: Any = {"optimizer": "sgd", "momentum": 0.9, "learning_rate": RATE, "loss": subject.case.loss}
        trainer = Trainer(file, lora=lora, keep_integers=True, threads=1, **how)
        trainer.load_adapters(subject.start)
        losses = np.array([trainer.step(inputs, target).loss for inputs, target in subject.batches])
        same("the losses", losses, subject.losses, subject.nudged_losses)
        state = trainer.state_dict()
        for key, value in _branches(subject.model).items():
            ours = state[key.removeprefix("base_model.model.").replace(".default", "")]
            same(key, ours, value, _branches(subject.nudged)[key])
        inputs = subject.batches[0][0]
        wanted, nudged = _output(subject.model, inputs), _output(subject.nudged, inputs)
        same("a prediction", trainer.predict(inputs), wanted, nudged)
        trainer.save(folder / "merged.pt")
        merged = torch.jit.load(folder / "merged.pt").eval()  # type: ignore[no-untyped-call]
        whole = copy.deepcopy(subject.model).merge_and_unload()
        same("an output of the merged model", _output(merged, inputs), _output(whole, inputs), nudged)
        trainer.save_adapters(folder / "adapters")
        peft = load("peft")
        read = peft.PeftModel.from_pretrained(seeded(subject.case), folder / "adapters").eval()
        same("an output of the adapters in PEFT", _output(read, inputs), wanted, nudged)
        subject.model.save_pretrained(folder / "peft")
        again = Trainer(file, lora=lora, keep_integers=True, threads=1, **how)
        again.load_adapters(folder / "peft")
        same("a prediction with PEFT's adapters", again.predict(inputs), wanted, nudged)
    return f"{len(subject.start) // 2} branches, {STEPS} losses, outputs, merged and adapter files are PEFT's"


def _branches(model: nn.Module) -> Weights:
    return {
        name: parameter.detach().numpy().copy()
        for name, parameter in model.named_parameters()
        if "lora_" in name
    }


def _output(model: nn.Module, inputs: list[NDArray[Any]]) -> NDArray[Any]:
    with torch.no_grad():
        output: Tensor = model(*_tensors(inputs))
    return output.numpy()


def _tensors(arrays: list[NDArray[Any]]) -> list[Tensor]:
    return [torch.from_numpy(array.copy()) for array in arrays]


if __name__ == "__main__":
    sys.exit(main())
