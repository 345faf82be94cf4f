#!/usr/bin/env python3
"""Runs ONNX's own operator tests (the backend node tests) through import, compilation and an engine.

    python tools/onnx_coverage.py --jobs 2 --results results.jsonl --table docs/operators.md

A test passes when every output has the test's shape, dtype and, within the test's tolerances, values. What the compiler
does not support it must refuse by name: a wrong value or a crash makes this program exit with 1. Each test runs in a
child process with a time and a memory limit. Results are appended to a file of JSON lines; tests found there are not
run again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from children import Failed, run_each
from numpy.typing import NDArray
from operators_page import Result, page, summary

SECONDS = 120
BYTES = 6 << 30
BAD = ("wrong", "error")

# Inputs that exporters emit as constants of the model: by operator, their positions.
AUXILIARY: dict[str, set[int]] = {
    "AffineGrid": {1},
    "ArrayFeatureExtractor": {1},
    "BlackmanWindow": {0},
    "CenterCropPad": {1},
    "Col2Im": {1, 2},
    "Compress": {1},
    "ConstantOfShape": {0},
    "CumProd": {1},
    "CumSum": {1},
    "DFT": {1, 2},
    "Dropout": {1, 2},
    "Expand": {1},
    "HammingWindow": {0},
    "HannWindow": {0},
    "If": {0},
    "Loop": {0, 1},
    "MaxUnpool": {2},
    "MelWeightMatrix": {0, 1, 2, 3, 4},
    "NonMaxSuppression": {2, 3, 4},
    "OneHot": {1},
    "Pad": {1, 2, 3},
    "Range": {0, 1, 2},
    "ReduceL1": {1},
    "ReduceL2": {1},
    "ReduceLogSum": {1},
    "ReduceLogSumExp": {1},
    "ReduceMax": {1},
    "ReduceMean": {1},
    "ReduceMin": {1},
    "ReduceProd": {1},
    "ReduceSum": {1},
    "ReduceSumSquare": {1},
    "Reshape": {1},
    "Resize": {1, 2, 3},
    "STFT": {1, 2, 3},
    "SequenceInsert": {2},
    "Slice": {1, 2, 3, 4},
    "Split": {1},
    "SplitToSequence": {1},
    "Squeeze": {1},
    "Tile": {1},
    "TopK": {1},
    "Trilu": {1},
    "Unsqueeze": {1},
    "Upsample": {1},
}


# Tests whose values only ONNX's reference computes: onnxruntime and torch agree on others (docs/operators.md, Resize).
AS_ONNXRUNTIME = {
    "test_resize_downsample_scales_cubic_align_corners",
    "test_resize_downsample_scales_linear_align_corners",
}

# (model, inputs by name, names of those to be held constant) -> outputs
Run = Callable[[Any, dict[str, NDArray[Any]], set[str]], list[NDArray[Any]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests that have no result yet and report all of them; 1 when one was wrong or crashed."""
    options = _parser().parse_args(arguments)
    results = {result.test: result for result in _read(options.results)}
    tests = _tests(options.filter, options.fraction)
    missing = [test for test in tests if test.name not in results]
    with Path(options.results).open("a", encoding="utf-8") if options.results else _nowhere() as file:
        for done, result in enumerate(_run_all(missing, options.jobs, options.engine), 1):
            results[result.test] = result
            file.write(json.dumps(asdict(result)) + "\n")
            file.flush()
            if result.outcome in BAD or options.verbose:
                print(f"{result.outcome:8} {result.test}: {result.detail}", flush=True)
            if done % 100 == 0:
                print(f"{done} of {len(missing)} tests done", file=sys.stderr, flush=True)
    chosen = [results[test.name] for test in tests if test.name in results]
    if options.table:
        Path(options.table).write_text(page(chosen), encoding="utf-8")
    print(summary(chosen))
    return int(any(result.outcome in BAD for result in chosen))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="tests at the same time")
    parser.add_argument("--filter", default="", help="only tests whose name contains this")
    parser.add_argument("--fraction", type=int, default=1, metavar="N", help="every N-th test")
    parser.add_argument("--engine", choices=("wasmtime", "native"), default="wasmtime")
    parser.add_argument("--results", type=Path, help="JSON lines to resume from and to append to")
    parser.add_argument("--table", type=Path, help="Markdown file to write, one row for each operator")
    parser.add_argument("--verbose", action="store_true", help="print the result of every test")
    return parser


def _nowhere() -> Any:
    return Path(os.devnull).open("w", encoding="utf-8")


def _read(path: Path | None) -> Iterator[Result]:
    if path is not None and path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield Result(**json.loads(line))


def _tests(pattern: str, fraction: int) -> list[Any]:
    """The node tests without those whose model is only another one's with its functions expanded."""
    from onnx.backend.test.loader import load_node_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = [test for test in load_node_model_tests() if "_expanded" not in test.name]
    tests.sort(key=lambda test: test.name)
    return [test for test in tests[::fraction] if pattern in test.name]


# -- children ---------------------------------------------------------------------------------------------------------


def _run_all(tests: Sequence[Any], jobs: int, engine: str) -> Iterator[Result]:
    """Each test in a child of this process, which has loaded everything but used nothing of it."""
    if not tests:
        return
    run = _engine(engine)
    for test, result in run_each(tests, lambda test: _outcome(test, run), jobs, SECONDS, BYTES):
        outcome, detail = ("error", result.reason) if isinstance(result, Failed) else result
        yield Result(test.name, _operators(test.model), outcome, detail)


def _operators(model: Any) -> list[str]:
    return sorted({f"{node.domain}.{node.op_type}".lstrip(".") for node in model.graph.node})


# -- one test ---------------------------------------------------------------------------------------------------------


def _outcome(test: Any, run: Run) -> tuple[str, str]:
    """Outcome and detail of one test, first as it is, then with its auxiliary inputs as constants."""
    outcome, detail = _attempt(test, run, auxiliary=False)
    if outcome in ("refused", "not static") and _auxiliary_inputs(test.model):
        second, second_detail = _attempt(test, run, auxiliary=True)
        if second != "pass":
            return second, second_detail
        return "pass (constant inputs)", detail
    return outcome, detail


def _attempt(test: Any, run: Run, auxiliary: bool) -> tuple[str, str]:
    from wasmgrad._errors import Unsupported

    held = _auxiliary_inputs(test.model) if auxiliary else set()
    for inputs, expected in test.data_sets:
        named = _named(test.model, inputs)
        if any(not isinstance(value, np.ndarray) for value in (*named.values(), *map(_array, expected))):
            return "refused", "sequences and optionals are not inputs or outputs of a module"
        try:
            actual = run(test.model, named, held)
        except Unsupported as error:
            static = "must be a constant" in str(error) or "depends on data" in str(error)
            return ("not static" if static else "refused"), str(error)
        wanted = _onnxruntimes(test.model, named) if test.name in AS_ONNXRUNTIME else expected
        difference = _difference(actual, wanted, test.rtol, test.atol)
        if difference:
            return "wrong", difference
    return "pass", ""


def _onnxruntimes(model: Any, inputs: dict[str, NDArray[Any]]) -> list[Any]:
    import onnxruntime

    return list(onnxruntime.InferenceSession(model.SerializeToString()).run(None, inputs))


def _named(model: Any, inputs: Any) -> dict[str, Any]:
    if isinstance(inputs, dict):
        pairs = list(inputs.items())
    else:
        pairs = list(zip((info.name for info in model.graph.input), inputs, strict=False))
    return {name: _array(value) for name, value in pairs}


def _array(value: Any) -> Any:
    from onnx import TensorProto, numpy_helper

    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def _auxiliary_inputs(model: Any) -> set[str]:
    inputs = {info.name for info in model.graph.input}
    return {
        name
        for node in model.graph.node
        for i, name in enumerate(node.input)
        if i in AUXILIARY.get(node.op_type, ()) and name in inputs
    }


def _difference(actual: Sequence[NDArray[Any]], expected: Sequence[Any], rtol: float, atol: float) -> str:
    if len(actual) != len(expected):
        return f"{len(actual)} outputs instead of {len(expected)}"
    for i, (got, wanted) in enumerate(zip(actual, map(_array, expected), strict=True)):
        if (got.dtype, got.shape) != (wanted.dtype, wanted.shape):
            return f"output {i}: {got.dtype}{list(got.shape)} instead of {wanted.dtype}{list(wanted.shape)}"
        if not _close(got, wanted, rtol, atol):
            worst = np.max(np.abs(got.astype(np.float64) - wanted.astype(np.float64)))
            return f"output {i}: values differ by up to {worst:.3g}"
    return ""


def _close(got: NDArray[Any], wanted: NDArray[Any], rtol: float, atol: float) -> bool:
    if got.dtype.name == "bfloat16":
        rtol = max(rtol, 2**-6)  # ONNX's own test runner allows the same two last places
    if got.dtype.kind not in "biuf":  # a type of ml_dtypes
        got, wanted = got.astype(np.float32), wanted.astype(np.float32)
    if got.dtype.kind == "f":
        # Where sums cancel, a test's own values are rounding errors of its type: half a last place of the largest one.
        largest = np.max(np.abs(wanted), initial=0, where=np.isfinite(wanted))
        atol = max(atol, float(np.finfo(got.dtype).eps / 2 * largest))
    return np.allclose(got, wanted, rtol=rtol, atol=atol, equal_nan=got.dtype.kind == "f")


# -- engines ----------------------------------------------------------------------------------------------------------


def _engine(name: str) -> Run:
    """Compiles and runs a model. Heavy modules are loaded here, once, before the children are forked."""
    return _native() if name == "native" else _wasmtime()


def _native() -> Run:
    """TVM's own code for this computer: tells faults of the importer from those of code generation."""
    import tvm
    from tvm import relax
    from wasmgrad.compiler.frontend import importer, normalize

    def run(model: Any, inputs: dict[str, Any], held: set[str]) -> list[NDArray[Any]]:
        constants = {name: inputs[name] for name in held if name in inputs}
        shapes = {name: value.shape for name, value in inputs.items() if name not in constants}
        model, static = normalize.check(model, shapes, constants)
        imported = importer.from_onnx(model, static, constants)
        machine = relax.VirtualMachine(tvm.compile(imported.module, target="llvm"), tvm.cpu())
        arguments = [
            tvm.runtime.tensor(np.asarray(inputs[tensor.name], order="C")) for tensor in imported.inputs
        ]
        return [output.numpy() for output in machine["main"](*arguments)]

    return run


def _wasmtime() -> Run:
    """The whole way: one WebAssembly module for each test, run in wasmtime."""
    import wasmgrad
    import wasmtime  # noqa: F401
    from onnx import TensorProto, helper
    from wasmgrad.compiler import CompileOptions, compile_model

    def compiled(model: Any, inputs: dict[str, Any], constants: dict[str, Any]) -> bytes:
        shapes = {name: value.shape for name, value in inputs.items() if name not in constants}
        return compile_model(model, CompileOptions(shapes=shapes, constants=constants)).module

    def run(model: Any, inputs: dict[str, Any], held: set[str]) -> list[NDArray[Any]]:
        constants = {name: inputs[name] for name in held if name in inputs}
        module = wasmgrad.load(compiled(model, inputs, constants), engine="wasmtime")
        outputs = module(*(value for name, value in inputs.items() if name not in constants))
        return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]

    # What a first compilation loads and looks up, the children need not do again.
    tensor = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["x2"])], "g", [tensor], [tensor])
    graph.output[0].name = "x2"
    compiled(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]),
        {"x": np.zeros(2, np.float32)},
        {},
    )
    return run


if __name__ == "__main__":
    sys.exit(main())
