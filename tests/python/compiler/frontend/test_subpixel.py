"""Transposed convolutions as convolutions give what onnxruntime gives, and NaN where the definition does."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from wasmgrad.compiler import CompileOptions, compile_model

from ... import sweep
from .convolutions import Array, model_of, run


class Case:
    """A random transposed convolution, with constant weights or weights that are an input."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        spatial = int(draw.integers(1, 4))
        groups = int(draw.choice([1, 1, 2, 3]))
        channels, outputs = groups * int(draw.integers(1, 4)), int(draw.integers(1, 5))
        kernel, strides = ([int(each) for each in draw.integers(1, 6, spatial)] for _ in range(2))
        sizes = [int(each) for each in draw.integers(1, 6 if spatial == 3 else 10, spatial)]
        self.attributes: dict[str, Any] = {"strides": strides, "group": groups}
        mode = draw.integers(4)
        if mode == 0:
            # Where no tap reaches the last outputs, onnxruntime leaves them out, and ONNX does not: it is refused.
            reaches = all(taps >= stride for taps, stride in zip(kernel, strides, strict=True))
            self.attributes["auto_pad"] = str(
                draw.choice(["SAME_UPPER", "SAME_LOWER"] if reaches else ["VALID"])
            )
        else:
            reached = [
                (size - 1) * stride + taps for size, stride, taps in zip(sizes, strides, kernel, strict=True)
            ]
            pads = [int(draw.integers(0, min(3, (total + 1) // 2))) for total in reached]
            self.attributes["pads"] = pads * 2
            if mode == 1:
                self.attributes["output_padding"] = [int(draw.integers(0, stride)) for stride in strides]
        if draw.random() < 0.2:
            self.attributes["dilations"] = [int(each) for each in draw.integers(1, 3, spatial)]
        self.x = draw.standard_normal((int(draw.integers(1, 3)), channels, *sizes)).astype(np.float32)
        self.weights = draw.standard_normal((channels, outputs, *kernel)).astype(np.float32)
        self.bias = draw.standard_normal(groups * outputs).astype(np.float32)

    def reference(self) -> Array | None:
        """None where onnxruntime refuses the sizes."""
        try:
            session = onnxruntime.InferenceSession(
                model_of("ConvTranspose", self).SerializeToString(), providers=["CPUExecutionProvider"]
            )
            (output,) = session.run(None, {"x": self.x})
        except Exception:  # of its own classes
            return None
        return np.asarray(output)


@pytest.mark.parametrize("seed", range(300) if sweep.WHOLE else (*range(16), 53, 124))
def test_every_shape_is_onnxruntime_s(seed: int) -> None:
    case = Case(seed)
    wanted = case.reference()
    if wanted is None or wanted.size == 0:
        return
    for options in ({}, {"simd": "relaxed"}, {"opt_level": 1}):
        output = run(model_of("ConvTranspose", case), case.x, **options)
        assert output.shape == wanted.shape
        np.testing.assert_allclose(
            output, wanted, rtol=1e-4, atol=1e-4, err_msg=f"{case.attributes} {options}"
        )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_special_values_reach_the_outputs_that_see_them_only(value: float) -> None:
    for seed in range(12):
        case = Case(seed)
        if case.reference() is None:
            continue
        case.x[(0, 0, *(size // 2 for size in case.x.shape[2:]))] = value
        wanted = run(model_of("ConvTranspose", case, constant=False), case.x, case.weights, opt_level=0)
        output = run(model_of("ConvTranspose", case), case.x)
        np.testing.assert_array_equal(np.isfinite(output), np.isfinite(wanted), err_msg=str(case.attributes))
        finite = np.isfinite(wanted)
        np.testing.assert_allclose(output[finite], wanted[finite], rtol=1e-4, atol=1e-4)


def test_a_usual_one_is_convolutions_of_our_own() -> None:
    for taps, count in ((2, 1), (4, 1), (3, 4)):
        case = Case(0)
        case.attributes = {"strides": [2, 2], "group": 1}
        case.x = np.ones((1, 8, 16, 16), np.float32)
        case.weights, case.bias = np.ones((8, 8, taps, taps), np.float32), np.ones(8, np.float32)
        plan = compile_model(model_of("ConvTranspose", case), CompileOptions()).metadata.plan
        assert sum("conv2d" in call.kernel for call in plan) == count
