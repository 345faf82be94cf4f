#!/usr/bin/env python3
"""Compares gradients of the sample models with those of torch in float64, and their errors with torch's own in float32.

    python tools/gradients_beside_torch.py [--only PATTERN] [--draws 5]

An error is the largest distance from float64, as a part of the largest gradient. Where a value lies at the edge of a
ReLU or of a pool's maximum, any two computations may part at once, so the median over several batches counts: one that
is more than four times that of torch's usual layout makes this program exit with 1. The packages are the extra
`samples` of pyproject.toml.
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model_trial import trainer_of
from numpy.typing import NDArray
from sample_models import CASES, Case, seeded
from sample_models.files import NotWritten, write_exported, write_script
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

FACTOR, PLACE = 4, 1e-7

Arrays = list[NDArray[Any]]


def main() -> int:
    """Print a line for each model; 1 when one is too far off."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", metavar="PATTERN", help="only models whose name matches this")
    parser.add_argument("--draws", type=int, default=5, help="batches of each model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    cases = [case for case in CASES if re.search(options.only, case.name)]
    far = [case.name for case in cases if not _compare(case, options.draws)]
    print(f"{len(cases)} models, {len(far)} too far off{': ' + ', '.join(far) if far else ''}")
    return int(bool(far))


def _compare(case: Case, draws: int) -> bool:
    """Whether our errors are torch's."""
    model, errors = seeded(case), []
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        inputs = [rows.draw(generator, case.batch) for rows in case.inputs]
        target = case.target.draw(generator, case.batch)
        truth = _gradients(case, model, inputs, target, torch.float64)
        size = float(np.abs(truth).max()) or 1.0
        found = [_gradients(case, model, inputs, target, torch.float32), *_ours(case, model, inputs, target)]
        errors.append([float(np.abs(each - truth).max()) / size for each in found])
    theirs, *ours = np.median(np.array(errors), axis=0)
    print(f"{case.name}: torch {theirs:.1e}, ours {', '.join(f'{each:.1e}' for each in ours)}", flush=True)
    return all(each <= FACTOR * theirs + PLACE for each in ours)


def _gradients(
    case: Case, model: nn.Module, inputs: Arrays, target: NDArray[Any], dtype: torch.dtype
) -> NDArray[Any]:
    """All of torch's, one after the other in the model's order."""
    model = copy.deepcopy(model).to(dtype)
    loss_of = F.mse_loss if case.loss == "mse" else F.cross_entropy
    given, wanted = [_tensor(each, dtype) for each in inputs], _tensor(target, dtype)
    loss_of(model(*given), wanted).backward()  # type: ignore[no-untyped-call]
    parts = [
        np.zeros(parameter.numel()) if parameter.grad is None else parameter.grad.double().numpy().ravel()
        for parameter in model.parameters()
        if parameter.requires_grad
    ]
    return np.concatenate(parts)


def _ours(case: Case, model: nn.Module, inputs: Arrays, target: NDArray[Any]) -> Arrays:
    """Those of wasmgrad, in every format that torch can write."""
    found = []
    for form, write in (("pt", write_script), ("pt2", write_exported)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"model.{form}")
            try:
                write(model, [torch.from_numpy(each.copy()) for each in inputs], path)
            except NotWritten:
                continue
            trainer = trainer_of(case, path)
        trainer.backward(inputs, target)
        found.append(trainer.get_gradients().astype(np.float64))
    return found


def _tensor(array: NDArray[Any], dtype: torch.dtype) -> Tensor:
    tensor = torch.from_numpy(array.copy())
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


if __name__ == "__main__":
    sys.exit(main())
