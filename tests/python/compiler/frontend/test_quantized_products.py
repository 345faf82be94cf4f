"""Products of 8-bit integers in every form that quantizers write are exact up to the last rounding, in every build."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import wasmgrad
from wasmgrad.compiler import Compiled, CompileOptions, compile_model

from ... import sweep
from .quantized_models import FORMS, Form, drawn

BUILDS: dict[str, dict[str, Any]] = {
    "128": {}, "relaxed": {"simd": "relaxed"}, "off": {"simd": "off"}, "O0": {"opt_level": 0}, "O2": {"opt_level": 2},
    "native": {"target": "native"},
}  # fmt: skip


def compiled(model: onnx.ModelProto, **options: Any) -> Compiled:
    return compile_model(model, CompileOptions(**options))


def run(module: Compiled, x: Any) -> Any:
    graph = wasmgrad.load(module.module, "native" if module.archive is None else "wasmtime")
    result = np.asarray(graph(x))
    graph.close()
    return result


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(200 if sweep.WHOLE else 10))
def test_a_product_is_that_of_its_integers(seed: int, form: Form) -> None:
    case = drawn(seed, form)
    for name, options in BUILDS.items():
        module = compiled(case.model, **options)
        difference = np.abs(run(module, case.x).astype(np.float64) - case.right)
        assert difference.max() <= case.step, name
        if case.step == 1:
            assert np.count_nonzero(difference) <= max(1, difference.size // 100), name
        if options.get("opt_level", 3) == 3:
            assert any("quantized" in call.kernel for call in module.metadata.plan), name
