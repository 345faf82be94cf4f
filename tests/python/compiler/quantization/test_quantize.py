"""Quantized models compute what onnxruntime makes of them, stay near float32, and say which layers were left out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import wasmgrad
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from wasmgrad import InvalidArgument
from wasmgrad.compiler import Compiled, CompileOptions, compile_model, verify

KINDS = ("int8", "dynamic", "weights-int8", "weights-int4", "float16")


def _weights(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _classifier(batch: int | str = 1) -> onnx.ModelProto:
    """A convolution with batch norm and ReLU6, one with a residual, a pool, and a dense layer of 10 classes."""
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], "stem", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c1", "g", "b", "m", "v"], ["n1"], "norm"),
        helper.make_node("Clip", ["n1", "zero", "six"], ["r1"], "relu6"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "middle", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["s"], "residual"),
        helper.make_node("Sigmoid", ["s"], ["t"], "gate"),
        helper.make_node("GlobalAveragePool", ["t"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("MatMul", ["f", "w3"], ["y"], "head"),
    ]
    constants = {
        "w1": _weights(16, 3, 3, 3) / 5, "g": 1 + _weights(16) / 9, "b": _weights(16, seed=1),
        "m": _weights(16, seed=2), "v": np.square(_weights(16, seed=3)) + 1,
        "zero": np.float32(0), "six": np.float32(6), "w2": _weights(16, 16, 3, 3) / 12, "w3": _weights(16, 64),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 20, 20])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 64])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "x.npy"
    np.save(path, _weights(24, 3, 20, 20, seed=7))
    return path


def _compiled(model: Any, kind: Any, samples: Path, **options: Any) -> Compiled:
    """Compiled and held against onnxruntime's results of the quantized model."""
    compiled = compile_model(model, CompileOptions(quantize=kind, calibrate=(samples,), **options))
    module = wasmgrad.load(compiled.module)
    feeds = {"x": np.load(samples)[: module.inputs[0].shape[0]]}
    found = verify(compiled, module, {}, feeds)
    assert isinstance(found, list)
    return compiled


def _operators(compiled: Compiled) -> Counter[str]:
    return Counter(node.op_type for node in compiled.source.model.graph.node)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_compiles_and_stays_near_float32(kind: Any, samples: Path) -> None:
    compiled = _compiled(_classifier(), kind, samples)
    report = compiled.quantization
    assert report is not None
    (output,) = report.outputs
    assert report.samples == 24
    assert output.name == "y"
    assert output.snr > {"weights-int4": 15, "int8": 22, "float16": 50}.get(kind, 30)
    assert output.cosine > 0.98
    assert output.agreement is not None
    assert output.agreement >= 0.75
    assert compiled.metadata.inputs[0].dtype == compiled.metadata.outputs[0].dtype == "float32"


def test_int8_has_bytes_and_a_scale_for_each_channel(samples: Path) -> None:
    model = _compiled(_classifier(), "int8", samples).source.model
    weights = [tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.INT8]
    assert {tuple(tensor.dims) for tensor in weights} >= {(16, 3, 3, 3), (16, 16, 3, 3)}
    scales = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    by_channel = [
        node
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and scales[node.input[1]] == [16]
    ]
    assert len(by_channel) >= 2
    steps = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert {types[node.input[2]] for node in steps} == {TensorProto.UINT8}


@pytest.mark.parametrize("by", ["minmax", "moving-average", "percentile", "entropy"])
def test_ranges_follow_from_values_in_each_way(by: Any, samples: Path) -> None:
    report = _compiled(_classifier(), "int8", samples, calibrate_by=by).quantization
    assert report is not None
    assert report.outputs[0].snr > 8


def test_dynamic_products_are_of_integers(samples: Path) -> None:
    compiled = _compiled(_classifier(), "dynamic", samples)
    assert _operators(compiled)["MatMulInteger"] == 1
    assert {layer.name: layer.kept for layer in compiled.quantization.layers} == {  # type: ignore[union-attr]
        "stem": "not supported by the quantizer",
        "middle": "not supported by the quantizer",
        "head": None,
    }


def test_float16_keeps_inputs_and_outputs(samples: Path) -> None:
    compiled = _compiled(_classifier(), "float16", samples)
    assert {tensor.data_type for tensor in compiled.source.model.graph.initializer} == {TensorProto.FLOAT16}
    assert _operators(compiled)["Cast"] == 2


def test_layers_that_the_user_names_stay(samples: Path) -> None:
    report = _compiled(_classifier(), "int8", samples, keep_float=("middle", "MatMul")).quantization
    assert report is not None
    kept = {layer.name: layer.kept for layer in report.kept}
    assert kept["middle"] == kept["head"] == "kept by keep_float"
    assert "stem" not in kept


def test_layers_of_much_noise_stay(samples: Path) -> None:
    first = _compiled(_classifier(), "int8", samples, min_snr=0.0).quantization
    assert first is not None
    alone = {layer.name: layer.alone_snr for layer in first.layers if layer.alone_snr is not None}
    threshold = min(alone.values()) + 1
    noisy = {name for name, decibels in alone.items() if decibels < threshold}
    second = _compiled(_classifier(), "int8", samples, min_snr=threshold).quantization
    assert second is not None
    assert {layer.name for layer in second.kept if "alone below" in (layer.kept or "")} == noisy
    assert noisy < alone.keys()
    assert second.outputs[0].snr > first.outputs[0].snr


def test_a_layer_alone_is_the_model_with_all_others_kept(samples: Path) -> None:
    whole = _compiled(_classifier(), "int8", samples, min_snr=0.0).quantization
    others = ("stem", "residual", "gate", "pool", "flat", "head")
    only = _compiled(_classifier(), "int8", samples, keep_float=others).quantization
    assert whole is not None
    assert only is not None
    middle = next(layer for layer in whole.layers if layer.name == "middle")
    assert middle.alone_snr == pytest.approx(only.outputs[0].snr, abs=1)
    energies = [10 ** (-layer.alone_snr / 10) for layer in whole.layers if layer.alone_snr is not None]
    assert -10 * np.log10(sum(energies)) == pytest.approx(whole.outputs[0].snr, abs=3)


def test_an_activation_is_part_of_its_layer(samples: Path) -> None:
    report = _compiled(_classifier(), "int8", samples).quantization
    assert report is not None
    names = [layer.name for layer in report.layers]
    assert names[:2] == ["stem", "middle"]
    assert all(layer.snr is not None and layer.snr > 20 for layer in report.layers)


def test_the_report_is_json_and_a_table(samples: Path, tmp_path: Path) -> None:
    report = _compiled(_classifier(), "int8", samples).quantization
    assert report is not None
    report.save(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text())
    assert read == json.loads(json.dumps(report.as_dict()))
    assert {"quantize", "samples", "random", "outputs", "layers"} == set(read)
    assert "same first class" in report.table()
    assert "layers that are furthest off" in report.table()


@pytest.mark.parametrize("kind", ["dynamic", "weights-int8", "float16"])
def test_without_files_random_numbers_are_measured_on(kind: Any) -> None:
    report = compile_model(_classifier(), CompileOptions(quantize=kind)).quantization
    assert report is not None
    assert report.random
    assert "random inputs" in report.table()


def test_symbolic_shapes_and_constants_are_set_before(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["m"], "m"),
            helper.make_node("Mul", ["m", "factor"], ["y"], "f"),
        ],
        "scaled",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64]),
            helper.make_tensor_value_info("factor", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 32])],
        [numpy_helper.from_array(_weights(64, 32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    np.save(tmp_path / "x.npy", _weights(12, 64))
    compiled = _compiled(model, "int8", tmp_path / "x.npy", shapes={"x": (3, 64)}, constants={"factor": 3.0})
    assert [info.shape for info in compiled.metadata.inputs] == [(3, 64)]
    assert compiled.quantization is not None
    assert compiled.quantization.samples == 4


def test_a_model_of_torch_is_held_against_torch_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10)).eval()
    x = _weights(6, 3, 8, 8)
    np.save(tmp_path / "x.npy", x)
    compiled = compile_model(
        network,
        CompileOptions(shapes={"input": (1, 3, 8, 8)}, quantize="int8", calibrate=(tmp_path / "x.npy",)),
    )
    module = wasmgrad.load(compiled.module)
    exact = network(torch.from_numpy(x)).detach().numpy()
    found = np.concatenate([module(x[i : i + 1]) for i in range(6)])
    assert np.square(exact).sum() > 200 * np.square(exact - found).sum()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"quantize": "int7"}, "quantize: expected one of int8, dynamic"),
        ({"quantize": "int8"}, "int8 needs inputs to learn ranges of activations on"),
        ({"calibrate": ("x.npy",)}, "calibrate: means nothing without quantize"),
        ({"keep_float": ("Conv",)}, "keep_float: means nothing without quantize"),
        ({"min_snr": 3.0}, "min_snr: means nothing without quantize"),
        ({"quantize": "dynamic", "min_snr": 3.0}, "min_snr: means nothing without quantize int8"),
        (
            {"quantize": "float16", "calibrate_by": "entropy"},
            "calibrate_by: means nothing without quantize int8",
        ),
        (
            {"quantize": "int8", "calibrate": ("x",), "calibrate_by": "luck"},
            "calibrate_by: expected one of minmax",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidArgument, match=sentence):
        CompileOptions(**options)


def test_a_pattern_that_fits_no_layer_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="keep_float: 'Convolution' fits no node and no operator"):
        compile_model(_classifier(), CompileOptions(quantize="dynamic", keep_float=("Convolution",)))
