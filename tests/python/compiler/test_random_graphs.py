"""Random graphs, compiled at several levels, with and without SIMD, to WebAssembly and natively, equal onnxruntime.

The graphs are drawn from a seed, and none is refused. WASMGRAD_SWEEP=1 takes 500 of them in each form, in place of a
sample.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from itertools import cycle, islice
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import wasmgrad
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from wasmgrad.compiler import CompileOptions, compile_model

from .. import sweep
from .random_graphs import BF16, DTYPES, Value, reads
from .random_nodes import drawn

Array = NDArray[Any]

FORMS = {
    "wasm -O0, no SIMD": CompileOptions(opt_level=0, simd="off"),
    "wasm -O3": CompileOptions(opt_level=3),
    "native -O3": CompileOptions(opt_level=3, target="native"),
    "wasm -O3, relaxed SIMD": CompileOptions(opt_level=3, simd="relaxed"),
    "wasm -O3, no SIMD": CompileOptions(opt_level=3, simd="off"),
    "native -O0": CompileOptions(opt_level=0, target="native"),
    "wasm -O0": CompileOptions(opt_level=0),
}
GRAPHS, SAMPLE = 500, 14
CASES = (
    [(seed, form) for seed in range(GRAPHS) for form in FORMS]
    if sweep.WHOLE
    else list(islice(zip(range(GRAPHS), cycle(FORMS), strict=False), SAMPLE))
)
TOLERANCES = {"float32": 1e-5, "float16": 8 * 2.0**-10, "bfloat16": 8 * 2.0**-7}
"""Of a rough output's largest number."""


def expected(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    """What onnxruntime gives, node by node: between two nodes of float16 it would keep float32."""
    known = {**feeds, **{tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}}
    for node in model.graph.node:
        given = {name: known[name] for name in reads(node)}
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in given.items()
        ]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
        alone = helper.make_model(
            helper.make_graph([node], "alone", inputs, outputs),
            opset_imports=model.opset_import,
            ir_version=model.ir_version,
        )
        known.update(zip(node.output, _results(alone, given), strict=True))
    return [known[info.name] for info in model.graph.output]


def _results(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    """Onnxruntime's results of a node; those of ONNX's own reference where onnxruntime lacks the type."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    types = {array.dtype for array in feeds.values()} | set(map(_target, model.graph.node)) - {None}
    if types <= set(DTYPES.values()) - {BF16}:
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options)
            return [np.asarray(result) for result in session.run(None, feeds)]
        except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
            pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [np.asarray(result) for result in ReferenceEvaluator(model).run(None, feeds)]


def _target(node: onnx.NodeProto) -> np.dtype[Any] | None:
    """The type that a node names for its result."""
    for attribute in node.attribute:
        if (node.op_type, attribute.name) in {("Cast", "to"), ("QuantizeLinear", "output_dtype")}:
            return helper.tensor_dtype_to_np_dtype(attribute.i)
    return None


def difference(value: Value, got: Array, wanted: Array) -> str | None:
    """How an output differs more than it may: by rounding where it is rough, else not at all."""
    if got.shape != wanted.shape:
        return f"{value.name} has shape {list(got.shape)}, not {list(wanted.shape)}"
    got, wanted = (
        each.astype(np.float64) if value.floats else each for each in (got.view(wanted.dtype), wanted)
    )
    same = (got == wanted) | (value.floats & (np.isnan(got) & np.isnan(wanted)))
    if value.rough:
        largest = np.max(np.abs(wanted), initial=0.0, where=np.isfinite(wanted))
        same |= np.abs(got - wanted) <= TOLERANCES[value.dtype] * max(1.0, float(largest))
    if same.all():
        return None
    bad = ~same
    return f"{value.name} differs in {bad.sum()} of {bad.size}: {got[bad][:4]}, not {wanted[bad][:4]}"


@lru_cache(maxsize=1)  # the forms of a graph follow each other
def _drawn(seed: int) -> tuple[onnx.ModelProto, dict[str, Array], list[Value], list[Array]]:
    """The graph of that seed as a model, its inputs, its outputs, and what they should be."""
    model, feeds, outputs = drawn(seed).model()
    with np.errstate(all="ignore"):
        return model, feeds, outputs, expected(model, feeds)


@pytest.mark.parametrize(("seed", "form"), CASES)
def test_a_random_graph_gives_what_onnxruntime_gives(seed: int, form: str) -> None:
    model, feeds, outputs, wanted = _drawn(seed)
    options = FORMS[form]
    compiled = compile_model(model, options)
    module = wasmgrad.load(compiled.module, "native" if options.target == "native" else "wasmtime")
    results = module(**feeds)
    results = results if isinstance(results, tuple) else (results,)
    with np.errstate(all="ignore"):
        pairs = zip(outputs, results, wanted, strict=True)
        found = [text for each in pairs if (text := difference(*each)) is not None]
    assert found == [], onnx.printer.to_text(model.graph)
