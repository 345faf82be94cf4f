"""Convolutions over one to three axes give torch's values in every type, at every level, with and without SIMD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from .convolutions import ELEM_TYPES, Array, model_of, run

ROUNDING = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 2e-5, "float64": 1e-9}
BUILDS: list[dict[str, Any]] = [
    {}, {"opt_level": 0}, {"opt_level": 2}, {"simd": "off"}, {"simd": "relaxed"}, {"target": "native"},
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    x: Array
    weights: Array
    bias: Array
    attributes: dict[str, Any]


@pytest.mark.parametrize("dtype", ELEM_TYPES)
@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_a_convolution_is_torch_s(spatial: int, operator: str, dtype: str) -> None:
    draw = np.random.default_rng(spatial)
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    shapes = ((2, 4, *[6] * spatial), (4, 2, *[3] * spatial), (4,))
    x, weights, bias = (draw.standard_normal(shape).astype(kind) for shape in shapes)
    case = Case(x, weights, bias, {"group": 2, "strides": [2] * spatial, "pads": [1] * 2 * spatial})
    compute = getattr(F, f"conv{'_transpose' if operator == 'ConvTranspose' else ''}{spatial}d")
    exact = (torch.from_numpy(each.astype(np.float64)) for each in (x, weights, bias))
    wanted = compute(*exact, stride=2, padding=1, groups=2).numpy()
    model = model_of(operator, case)
    for build in BUILDS:
        error = np.abs(run(model, x, **build).astype(np.float64) - wanted).max()
        assert error <= ROUNDING[dtype] * np.abs(wanted).max(), build
