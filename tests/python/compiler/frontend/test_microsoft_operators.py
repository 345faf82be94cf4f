"""Onnxruntime's own operators, which its optimizer and its quantizer write, compared with onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import wasmgrad
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from wasmgrad.compiler import CompileOptions, compile_model

from .microsoft_operators import FAMILIES, MICROSOFT, Case, drawn
from .microsoft_quantized import QUANTIZED

Array = NDArray[Any]


def single(case: Case, prefix: str) -> tuple[onnx.NodeProto, dict[str, Array], dict[str, Array]]:
    """The node of a case, its inputs and its weights by name."""
    feeds, constants, names = {}, {}, []
    for place, operand in enumerate(case.operands):
        name = "" if operand is None else f"{prefix}operand{place}"
        names.append(name)
        if operand is not None:
            (constants if place in case.constants else feeds)[name] = operand
    while names[-1] == "":
        names.pop()
    results = [f"{prefix}result{i}" if i in case.outputs else "" for i in range(max(case.outputs) + 1)]
    node = helper.make_node(
        case.operator, names, results, name=prefix + case.label, domain=case.domain, **case.attributes
    )
    return node, feeds, constants


def model_of(cases: list[Case], opset: int = 21) -> tuple[onnx.ModelProto, dict[str, Array], list[Array]]:
    """One model of all cases, each with inputs and outputs of its own; its inputs and what onnxruntime gives."""
    nodes: list[onnx.NodeProto] = []
    feeds: dict[str, Array] = {}
    constants: dict[str, Array] = {}
    for number, case in enumerate(cases):
        node, own_feeds, own_constants = single(case, f"case{number}_")
        nodes.append(node)
        feeds |= own_feeds
        constants |= own_constants
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    names = [name for node in nodes for name in node.output if name]
    graph = helper.make_graph(
        nodes, "microsoft", inputs, [helper.make_empty_tensor_value_info(name) for name in names],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    results = expected(model, feeds)
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, results, strict=True)
    )
    return model, feeds, results


def expected(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    """What onnxruntime gives on one thread: some operators quantize what a thread works on."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(result) for result in session.run(None, feeds)]


def difference(got: Array, wanted: Array, tolerance: float) -> str | None:
    """How two results differ more than they may: those of 8 bits by one step, others by a part of their range."""
    if (got.dtype, got.shape) != (wanted.dtype, wanted.shape):
        return f"{got.dtype}{list(got.shape)}, not {wanted.dtype}{list(wanted.shape)}"
    gap = float(np.max(np.abs(got.astype(np.float64) - wanted.astype(np.float64)), initial=0.0))
    integer = wanted.dtype.kind in "iu"
    allowed = (
        float(wanted.dtype.itemsize <= 2) if integer else tolerance * max(1.0, float(np.abs(wanted).max()))
    )
    return None if gap <= allowed else f"by {gap:.3g}, more than {allowed:.3g}"


def mismatches(cases: list[Case], options: CompileOptions) -> list[str]:
    """Cases whose results differ from onnxruntime's."""
    model, feeds, wanted = model_of(cases)
    compiled = compile_model(model, options)
    module = wasmgrad.load(compiled.module)
    results = module(**feeds)
    results = iter(results if isinstance(results, tuple) else (results,))
    found = []
    references = iter(wanted)
    for case in cases:
        for output in case.outputs:
            pair = (case.compared(output, next(results)), case.compared(output, next(references)))
            if (text := difference(*pair, case.tolerance)) is not None:
                found.append(f"{case.label}, output {output}: {text}")
    return found


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("family", [*FAMILIES, *QUANTIZED])
def test_results_are_those_of_onnxruntime(family: str, level: int) -> None:
    assert mismatches(drawn({**FAMILIES, **QUANTIZED}[family]), CompileOptions(opt_level=level)) == []


@pytest.mark.parametrize(
    ("operator", "operands", "attributes", "sentence"),
    [
        ("FusedConv", 2, {"activation": "Swish"}, "the activation function 'Swish'"),
        ("MultiHeadAttention", 3, {"num_heads": 3}, "num_heads 3 does not divide"),
        ("MultiHeadAttention", 9, {"num_heads": 2}, "the input 'past_sequence_length' is not supported"),
        ("Attention", 2, {"num_heads": 2, "do_rotary": 1}, "the attribute 'do_rotary' is not supported"),
        (
            "GroupQueryAttention",
            7,
            {"num_heads": 2, "kv_num_heads": 2, "smooth_softmax": 1},
            "'smooth_softmax'",
        ),
        ("QuickGelu", 1, {"beta": 2.0}, "the attribute 'beta' is not supported"),
        ("FusedMatMul", 2, {"transBatchA": 1}, "its part MatMul: it cannot be compiled for float32"),
        ("NGramRepeatBlock", 2, {}, "this operator of onnxruntime's own is not supported"),
    ],
)
def test_what_is_not_handled_is_refused_by_name(
    operator: str, operands: int, attributes: dict[str, Any], sentence: str
) -> None:
    names = [f"x{place}" for place in range(operands)]
    node = helper.make_node(operator, names, ["y"], name="the_node", domain=MICROSOFT, **attributes)
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [node], "refused", [helper.make_tensor_value_info(name, float32, [2, 4, 8]) for name in names],
        [helper.make_tensor_value_info("y", float32, None)],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
    with pytest.raises(wasmgrad.Unsupported) as error:
        compile_model(helper.make_model(graph, opset_imports=opsets, ir_version=10), CompileOptions())
    assert sentence in str(error.value)
    assert "the_node" in str(error.value)
    assert operator in str(error.value)
