"""What is evaluated while a model is compiled is what its kernels would give at run time."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
import wasmgrad
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from wasmgrad.compiler import CompileOptions, compile_model

from . import special_values as table
from .test_special_values import CASES, model_of_cases

Array = NDArray[Any]

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
NUMBERS = [
    *(sign * (2.0**bits + more) for sign in (1, -1) for bits in (7, 8, 15, 16, 31, 32, 53, 63, 64) for more in (-1, 1)),
    *(sign * 2.0**bits for sign in (1, -1) for bits in (7, 8, 15, 16, 31, 32, 63, 64)),
    *(np.nan, np.inf, -np.inf, 0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -1.5, 300.7, 1e30, -1e30, 3.4e38, 1e-8, 2049, 16777217),
]  # fmt: skip


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def _values(name: str) -> Array:
    """Numbers of a type, the ends of all others among them."""
    if name == "bool":
        return np.array([True, False])
    if name in FLOATS:
        with np.errstate(all="ignore"):
            return np.array(NUMBERS).astype(_dtype(name))
    limits = np.iinfo(name)
    numbers = {int(number) for number in NUMBERS if np.isfinite(number)} | {limits.min, limits.max}
    return np.array(sorted(n for n in numbers if limits.min <= n <= limits.max), name)


def _run(model: onnx.ModelProto, level: int, **inputs: Array) -> list[Array]:
    module = wasmgrad.load(compile_model(model, CompileOptions(opt_level=level)).module)
    results = module(**inputs)
    return list(results) if isinstance(results, tuple) else [results]


def _with_constants(model: onnx.ModelProto, values: dict[str, Array]) -> onnx.ModelProto:
    """The model with all its inputs as weights, and another input that one more output returns."""
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    del folded.graph.input[:]
    folded.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in values.items())
    folded.graph.input.append(helper.make_tensor_value_info("unused", onnx.TensorProto.FLOAT, [1]))
    folded.graph.output.append(helper.make_tensor_value_info("returned", onnx.TensorProto.FLOAT, [1]))
    folded.graph.node.append(helper.make_node("Identity", ["unused"], ["returned"]))
    return folded


def _same(a: Array, b: Array) -> bool:
    if a.dtype.kind not in "biu":
        a, b = a.astype(np.float64), b.astype(np.float64)
        return bool(np.all((a == b) | (np.isnan(a) & np.isnan(b))))
    return bool(np.all(a == b))


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("source", [*FLOATS, *INTEGERS, "bool"])
def test_a_constant_is_cast_as_an_input_is(source: str, level: int) -> None:
    targets = [*FLOATS, *INTEGERS, "bool"]
    x, types = _values(source), [helper.np_dtype_to_tensor_dtype(_dtype(target)) for target in targets]
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], [name], to=to) for name, to in zip(targets, types, strict=True)],
        "casts",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [helper.make_tensor_value_info(name, to, x.shape) for name, to in zip(targets, types, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    computed = _run(model, level, x=x)
    folded = _run(_with_constants(model, {"x": x}), level, unused=np.zeros(1, np.float32))
    differing = [
        target for target, a, b in zip(targets, computed, folded[:-1], strict=True) if not _same(a, b)
    ]
    assert differing == []


@pytest.mark.parametrize("level", [0, 3])
def test_special_values_are_folded_as_they_are_computed(level: int) -> None:
    feeds = table.operands("float32")
    model = model_of_cases(CASES, feeds)
    names = {info.name for info in model.graph.input}
    computed = _run(model, level, **{name: feeds[name] for name in feeds if name in names})
    constants = {name: feeds[name] for name in feeds if name in names}
    folded = _run(_with_constants(model, constants), level, unused=np.zeros(1, np.float32))
    labels = [case.label for case in CASES for _ in range(case.outputs)]
    differing = [
        label
        for label, a, b in zip(labels, computed, folded[:-1], strict=True)
        if not (_same(a, b) or np.allclose(a, b, rtol=1e-6, atol=1e-6, equal_nan=True))
    ]
    assert differing == []
