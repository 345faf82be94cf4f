"""Convolutions over three axes give what onnxruntime gives, and NaN where the definition does."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from wasmgrad.compiler import CompileOptions, compile_model

from ... import sweep
from .convolutions import model_of, run


class Case:
    """A random convolution, with constant weights or weights that are an input."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        groups = int(draw.choice([1, 1, 2, 3]))
        channels, outputs = groups * int(draw.integers(1, 4)), groups * int(draw.integers(1, 4))
        kernel, strides, dilations, pads = (
            [int(each) for each in draw.integers(low, high, 3)]
            for low, high in ((1, 4), (1, 4), (1, 3), (0, 3))
        )
        sizes = [(k - 1) * d + int(draw.integers(1, 6)) for k, d in zip(kernel, dilations, strict=True)]
        after = [int(each) for each in draw.integers(0, 3, 3)]
        self.attributes: dict[str, Any] = {
            "strides": strides, "dilations": dilations, "pads": pads + after, "group": groups,
        }  # fmt: skip
        self.x = draw.standard_normal((int(draw.integers(1, 3)), channels, *sizes)).astype(np.float32)
        self.weights = draw.standard_normal((outputs, channels // groups, *kernel)).astype(np.float32)
        self.bias = draw.standard_normal(outputs).astype(np.float32)


@pytest.mark.parametrize("seed", range(200 if sweep.WHOLE else 12))
def test_every_shape_is_onnxruntime_s(seed: int) -> None:
    case = Case(seed)
    model = model_of("Conv", case)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"x": case.x})
    for options in ({}, {"simd": "relaxed"}, {"opt_level": 1}):
        output = run(model, case.x, **options)
        np.testing.assert_allclose(
            output, wanted, rtol=1e-4, atol=1e-4, err_msg=f"{case.attributes} {options}"
        )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_special_values_reach_the_outputs_that_see_them_only(value: float) -> None:
    for seed in range(6):
        case = Case(seed)
        case.x[(0, 0, *(size // 2 for size in case.x.shape[2:]))] = value
        wanted = run(model_of("Conv", case, constant=False), case.x, case.weights, opt_level=0)
        output = run(model_of("Conv", case), case.x)
        np.testing.assert_array_equal(np.isfinite(output), np.isfinite(wanted), err_msg=str(case.attributes))


def test_a_usual_one_is_a_convolution_of_our_own() -> None:
    case = Case(0)
    case.attributes = {"pads": [1] * 6, "group": 1}
    case.x = np.ones((1, 8, 6, 16, 16), np.float32)
    case.weights, case.bias = np.ones((8, 8, 3, 3, 3), np.float32), np.ones(8, np.float32)
    plan = compile_model(model_of("Conv", case), CompileOptions()).metadata.plan
    assert sum("conv2d" in call.kernel for call in plan) == 1
