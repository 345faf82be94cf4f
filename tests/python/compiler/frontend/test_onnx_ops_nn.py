"""What ONNX's own tests leave open about neural-network operators, compared with onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import wasmgrad
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from wasmgrad import Unsupported
from wasmgrad.compiler import CompileOptions, compile_model, differences, open_source

Arrays = dict[str, NDArray[Any]]

STEPS, BATCH, FEATURES, HIDDEN = 4, 3, 5, 6
LENGTHS = np.array([4, 1, 3], np.int32)


def _random(*shape: int) -> NDArray[np.float32]:
    return (np.random.default_rng(sum(shape)).standard_normal(shape) / 2).astype(np.float32)


def _model(nodes: list[onnx.NodeProto], feeds: Arrays, constants: Arrays | None = None) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in nodes[-1].output if name]
    weights = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def _kernels(nodes: list[onnx.NodeProto], feeds: Arrays, constants: Arrays | None = None) -> list[str]:
    """Compiles, compares with onnxruntime, and returns the kernel of each call."""
    model = _model(nodes, feeds, constants)
    compiled = compile_model(model, CompileOptions())
    module = wasmgrad.load(compiled.module, weights=compiled.weights)
    for difference in differences(open_source(model, {}, {}), module, feeds, {}):
        assert difference.ok, difference
    return [entry.kernel for entry in compiled.metadata.plan]


def _refusal(node: onnx.NodeProto, feeds: Arrays, constants: Arrays | None = None) -> str:
    with pytest.raises(Unsupported) as error:
        compile_model(_model([node], feeds, constants), CompileOptions())
    return str(error.value)


def test_batch_normalization_becomes_part_of_the_convolution_before_it() -> None:
    constants = {name: _random(8) for name in ("bias", "scale", "shift", "mean")}
    constants |= {"weight": _random(8, 4, 3, 3), "variance": np.abs(_random(8)) + 1}
    nodes = [
        helper.make_node("Conv", ["x", "weight", "bias"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["y"]),
    ]
    plain = _kernels(
        [helper.make_node("Conv", ["x", "weight", "bias"], ["y"])], {"x": _random(1, 4, 9, 9)}, constants
    )
    assert _kernels(nodes, {"x": _random(1, 4, 9, 9)}, constants) == plain


@pytest.mark.parametrize(
    ("operator", "gates", "attributes"),
    [
        (
            "RNN",
            1,
            {
                "direction": "bidirectional",
                "activations": ["LeakyRelu", "Elu"],
                "activation_alpha": [0.3, 0.7],
            },
        ),
        ("GRU", 3, {"direction": "reverse", "linear_before_reset": 1}),
        ("GRU", 3, {"direction": "bidirectional", "clip": 0.4}),
        ("LSTM", 4, {"direction": "reverse", "input_forget": 1}),
        ("LSTM", 4, {"direction": "bidirectional", "clip": 0.4}),
    ],
)
def test_recurrent_layers_end_each_sequence_at_its_length(
    operator: str, gates: int, attributes: dict[str, Any]
) -> None:
    directions = 2 if attributes["direction"] == "bidirectional" else 1
    constants = {
        "w": _random(directions, gates * HIDDEN, FEATURES),
        "r": _random(directions, gates * HIDDEN, HIDDEN),
        "b": _random(directions, 2 * gates * HIDDEN),
        "lengths": LENGTHS,
        "h": _random(directions, BATCH, HIDDEN),
    }
    node = helper.make_node(
        operator, ["x", "w", "r", "b", "lengths", "h"], ["y", "last"], hidden_size=HIDDEN, **attributes
    )
    _kernels([node], {"x": _random(STEPS, BATCH, FEATURES)}, constants)


@pytest.mark.parametrize(("operator", "gates"), [("GRU", 3), ("LSTM", 4)])
def test_all_steps_of_a_recurrent_layer_share_one_kernel(operator: str, gates: int) -> None:
    constants = {"w": _random(1, gates * HIDDEN, FEATURES), "r": _random(1, gates * HIDDEN, HIDDEN)}
    node = helper.make_node(operator, ["x", "w", "r"], ["", "last"], hidden_size=HIDDEN, clip=3.0)
    few = _kernels([node], {"x": _random(2, BATCH, FEATURES)}, constants)
    many = _kernels([node], {"x": _random(6, BATCH, FEATURES)}, constants)
    assert len(many) > len(few) and len(set(many)) == len(set(few))


@pytest.mark.parametrize(
    ("peepholes", "attributes", "own"),
    [
        (False, {}, True),
        (True, {}, False),
        (False, {"clip": 0.4}, False),
        (False, {"activations": ["Sigmoid", "Tanh", "Relu"] * 2}, False),
        (False, {"input_forget": 1}, False),
    ],
)
def test_the_step_of_a_plain_lstm_has_a_kernel_of_our_own(
    peepholes: bool, attributes: dict[str, Any], own: bool
) -> None:
    constants = {
        "w": _random(2, 4 * HIDDEN, FEATURES), "r": _random(2, 4 * HIDDEN, HIDDEN), "b": _random(2, 8 * HIDDEN),
        "h": _random(2, BATCH, HIDDEN), "c": _random(2, BATCH, HIDDEN), "p": _random(2, 3 * HIDDEN),
    }  # fmt: skip
    inputs = ["x", "w", "r", "b", "", "h", "c", *(["p"] if peepholes else [])]
    node = helper.make_node(
        "LSTM", inputs, ["y", "hidden", "memory"], hidden_size=HIDDEN, direction="bidirectional", **attributes
    )
    kernels = _kernels([node], {"x": _random(STEPS, BATCH, FEATURES)}, constants)
    assert kernels.count("wg_lstm") == (2 * STEPS if own else 0)


@pytest.mark.parametrize("reset_after", [0, 1])
@pytest.mark.parametrize(
    ("attributes", "own"),
    [({}, True), ({"clip": 0.4}, False), ({"activations": ["Sigmoid", "Relu"] * 2}, False)],
)
def test_the_step_of_a_plain_gru_has_kernels_of_our_own(
    reset_after: int, attributes: dict[str, Any], own: bool
) -> None:
    constants = {
        "w": _random(2, 3 * HIDDEN, FEATURES), "r": _random(2, 3 * HIDDEN, HIDDEN), "b": _random(2, 6 * HIDDEN),
        "h": _random(2, BATCH, HIDDEN),
    }  # fmt: skip
    node = helper.make_node(
        "GRU", ["x", "w", "r", "b", "", "h"], ["y", "last"], hidden_size=HIDDEN, direction="bidirectional",
        linear_before_reset=reset_after, **attributes,
    )  # fmt: skip
    kernels = _kernels([node], {"x": _random(STEPS, BATCH, FEATURES)}, constants)
    names = ["wg_gru"] if reset_after else ["wg_gru_reset", "wg_gru_update"]
    assert [kernels.count(name) for name in names] == [2 * STEPS if own else 0] * len(names)


def test_largest_elements_of_regions_of_interest() -> None:
    regions = np.array([[0, 1, 1, 6, 7], [0, 0, 0, 30, 30], [0, 2.4, 3.6, 4, 9.7]], np.float32)
    node = helper.make_node("MaxRoiPool", ["x", "regions"], ["y"], pooled_shape=[3, 2], spatial_scale=0.5)
    _kernels([node], {"x": _random(1, 3, 12, 13), "regions": regions})


def test_transposed_convolution_with_every_attribute() -> None:
    node = helper.make_node(
        "ConvTranspose", ["x", "w", "b"], ["y"],
        group=2, strides=[3, 2], dilations=[1, 2], pads=[1, 0, 0, 2], output_padding=[2, 1],
    )  # fmt: skip
    _kernels([node], {"x": _random(2, 4, 4, 5)}, {"w": _random(4, 3, 3, 2), "b": _random(6)})


def test_instance_normalization_keeps_its_digits_far_from_zero() -> None:
    node = helper.make_node("InstanceNormalization", ["x", "scale", "bias"], ["y"])
    _kernels([node], {"x": _random(2, 3, 5, 6) + 1000}, {"scale": _random(3), "bias": _random(3)})


def test_einsum_of_two_matrices_is_a_matrix_product() -> None:
    feeds = {"q": _random(2, 4, 3, 8), "k": _random(2, 5, 3, 8)}
    scores = _kernels([helper.make_node("Einsum", ["q", "k"], ["y"], equation="bqhd,bkhd->bhqk")], feeds)
    assert not any("einsum" in kernel for kernel in scores)


@pytest.mark.parametrize(
    ("node", "shapes", "reason"),
    [
        (
            helper.make_node("RoiAlign", ["x", "r", "i"], ["y"]),
            ((1, 2, 5, 5), (3, 4), (3,)),
            "sampling_ratio",
        ),
        (
            helper.make_node("RNN", ["x", "r", "i"], ["y"], hidden_size=2, activations=["Affine"]),
            ((2, 1, 3), (1, 2, 3), (1, 2, 2)),
            "activation_alpha",
        ),
    ],
)
def test_what_cannot_be_right_is_refused(node: onnx.NodeProto, shapes: Any, reason: str) -> None:
    feeds: Arrays = {name: _random(*shape) for name, shape in zip(node.input, shapes, strict=True)}
    if node.op_type == "RoiAlign":
        feeds["i"] = np.zeros(3, np.int64)
    assert reason in _refusal(node, feeds)


@pytest.mark.timeout(60)  # a maximum of maxima once took minutes to compile
@pytest.mark.parametrize("aligned", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("mode", ["max", "avg"])
def test_regions_of_interest_are_sampled(mode: str, aligned: str) -> None:
    corners = np.abs(_random(4, 2)) * 9
    feeds = {
        "x": _random(2, 3, 10, 12),
        "rois": np.concatenate([corners, corners + np.abs(_random(4, 2)) * 12], 1),
        "batches": np.array([0, 1, 1, 0]),
    }
    node = helper.make_node(
        "RoiAlign", ["x", "rois", "batches"], ["y"], mode=mode, output_height=3, output_width=4,
        sampling_ratio=2, spatial_scale=0.7, coordinate_transformation_mode=aligned,
    )  # fmt: skip
    _kernels([node], feeds)


@pytest.mark.parametrize("x", [np.zeros(5), np.array([-0.0, 0]), np.array([0, 3.0]), np.array([-3.0, -1])])
def test_a_range_without_extent_has_the_scale_one(x: NDArray[Any]) -> None:
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"])
    _kernels([node], {"x": x.astype(np.float32)})
