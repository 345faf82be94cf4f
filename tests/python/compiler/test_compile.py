"""Compiled models compute what onnxruntime computes, at every level and with every instruction set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import wasmgrad
from onnx import TensorProto, helper, numpy_helper
from wasmgrad import InvalidArgument, Unsupported
from wasmgrad.compiler import (
    STAGES,
    CompileOptions,
    compile_model,
    differences,
    open_source,
    random_inputs,
)

SHAPE = (1, 6, 9, 11)


def _model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str] = SHAPE,
    constants: dict[str, np.ndarray[Any, Any]] | None = None,
) -> onnx.ModelProto:
    """From `x` to `y`, opset 20."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    )


def _weights(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _node(operator: str, *inputs: str, to: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), [to], **attributes)


def _kernels(model: onnx.ModelProto, options: CompileOptions | None = None) -> list[str]:
    """Compiles, compares with onnxruntime, and returns the kernel of each call."""
    options = options or CompileOptions()
    compiled = compile_model(model, options)
    module = wasmgrad.load(compiled.module, weights=compiled.weights)
    feeds = random_inputs(compiled.metadata.inputs)
    for difference in differences(open_source(model, options.shapes, {}), module, feeds, {}):
        assert difference.ok, difference
    return [entry.kernel for entry in compiled.metadata.plan]


CONVOLUTION = [
    _node("Conv", "x", "w", "b", to="c", pads=[1, 0, 0, 2], strides=[2, 1]),
    _node("Relu", "c"),
]
CONSTANTS = {"w": _weights(10, 6, 3, 3), "b": _weights(10)}


@pytest.mark.parametrize("opt_level", [0, 1, 2, 3])
@pytest.mark.parametrize("simd", ["off", "128", "relaxed"])
def test_every_level_and_instruction_set_computes_the_same(opt_level: int, simd: Any) -> None:
    _kernels(_model(CONVOLUTION, constants=CONSTANTS), CompileOptions(opt_level=opt_level, simd=simd))


def test_bias_and_activation_are_part_of_the_convolution() -> None:
    kernels = _kernels(_model(CONVOLUTION, constants=CONSTANTS))
    assert sum(kernel.startswith("wg_conv2d") for kernel in kernels) == 1
    assert all(kernel.startswith(("wg_conv2d", "wg_transpose")) for kernel in kernels)


@pytest.mark.parametrize(
    "tail",
    [
        [_node("Add", "c", "x", to="s"), _node("Relu", "s")],
        [_node("Add", "c", "x", to="s"), _node("Sigmoid", "s")],
        [_node("Sigmoid", "c", to="s"), _node("Mul", "c", "s")],
        [_node("Clip", "c", "zero", "six")],
        [_node("Mul", "c", "six", to="m"), _node("Add", "m", "x", to="s"), _node("Tanh", "s")],
    ],
    ids=["residual-relu", "residual-sigmoid", "swish", "relu6", "scaled-residual-tanh"],
)
def test_what_follows_a_convolution_is_computed_with_it(tail: list[onnx.NodeProto]) -> None:
    constants = {"w": _weights(6, 6, 3, 3), "zero": np.float32(0), "six": np.float32(6)}
    nodes = [_node("Conv", "x", "w", to="c", pads=[1, 1, 1, 1]), *tail]
    kernels = _kernels(_model(nodes, constants={k: np.asarray(v) for k, v in constants.items()}))
    assert all(kernel.startswith(("wg_conv2d", "wg_transpose")) for kernel in kernels), kernels


def test_a_result_that_is_used_twice_is_not_lost_in_a_fused_kernel() -> None:
    nodes = [
        _node("Conv", "x", "w", to="c", pads=[1, 1, 1, 1]),
        _node("Relu", "c", to="r"),
        _node("Exp", "c", to="e"),
        _node("Add", "r", "e"),
    ]
    _kernels(_model(nodes, constants={"w": _weights(6, 6, 3, 3)}))


def test_two_convolutions_added_share_one_addition() -> None:
    nodes = [
        _node("Conv", "x", "v", to="a"),
        _node("Conv", "x", "w", to="c"),
        _node("Add", "a", "c", to="s"),
        _node("Relu", "s"),
    ]
    constants = {"v": _weights(8, 6, 1, 1), "w": _weights(8, 6, 1, 1, seed=1)}
    kernels = _kernels(_model(nodes, constants=constants))
    assert sum(kernel.startswith("wg_conv2d") for kernel in kernels) == 2
    assert all(kernel.startswith(("wg_conv2d", "wg_transpose")) for kernel in kernels), kernels


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("dilation", [1, 2])
def test_groups_and_dilations(groups: int, dilation: int) -> None:
    constants = {"w": _weights(12, 6 // groups, 3, 2)}
    node = _node("Conv", "x", "w", group=groups, dilations=[dilation, 1], pads=[2, 1, 0, 0])
    _kernels(_model([node], constants=constants))


@pytest.mark.parametrize("shape", [(4, 7), (2, 3, 4, 7)])
def test_a_product_with_weights_takes_any_leading_axes(shape: tuple[int, ...]) -> None:
    nodes = [_node("MatMul", "x", "w", to="m"), _node("Add", "m", "b", to="s"), _node("Gelu", "s")]
    kernels = _kernels(_model(nodes, shape, {"w": _weights(7, 9), "b": _weights(9)}))
    assert kernels.count("wg_matmul") == 1


def test_attention_multiplies_by_a_transposed_matrix_without_moving_it() -> None:
    nodes = [
        _node("Transpose", "x", to="t", perm=[0, 2, 1]),
        _node("MatMul", "x", "t", to="scores"),
        _node("Softmax", "scores", to="p", axis=-1),
        _node("MatMul", "p", "x"),
    ]
    assert _kernels(_model(nodes, (3, 5, 8))) == ["wg_matmul", "wg_softmax", "wg_matmul"]


@pytest.mark.parametrize("half_first", [False, True])
def test_gelu_that_an_exporter_wrote_out_is_one_activation(half_first: bool) -> None:
    numbers = {
        "w": _weights(7, 9),
        "root": np.sqrt(2, dtype=np.float32),
        "one": np.float32(1),
        "half": np.float32(0.5),
    }
    nodes = [
        _node("MatMul", "x", "w", to="m"),
        _node("Div", "m", "root", to="d"),
        _node("Erf", "d", to="e"),
        _node("Add", "e", "one", to="a"),
    ]
    if half_first:
        nodes += [_node("Mul", "m", "half", to="h"), _node("Mul", "h", "a")]
    else:
        nodes += [_node("Mul", "m", "a", to="p"), _node("Mul", "p", "half")]
    constants = {name: np.asarray(value) for name, value in numbers.items()}
    assert _kernels(_model(nodes, (4, 7), constants)) == ["wg_matmul"]


def test_pictures_stay_in_nhwc_past_numbers_for_each_channel() -> None:
    nodes = [
        _node("Conv", "x", "w", to="c"),
        _node("Relu", "c", to="r"),
        _node("Mul", "r", "s", to="m"),
        _node("Clip", "m", "zero", "six", to="k"),
        _node("Conv", "k", "w"),
    ]
    constants = {
        "w": _weights(6, 6, 1, 1),
        "s": _weights(6, 1, 1),
        "zero": np.float32(0),
        "six": np.float32(6),
    }
    kernels = _kernels(
        _model(nodes, constants={name: np.asarray(value) for name, value in constants.items()})
    )
    assert kernels.count("wg_transpose") == 2, kernels


def test_weights_take_over_the_order_in_which_pictures_are_flattened() -> None:
    nodes = [_node("Conv", "x", "w", to="c"), _node("Flatten", "c", to="f"), _node("MatMul", "f", "m")]
    constants = {"w": _weights(5, 1, 3, 3), "m": _weights(5 * 7 * 9, 11)}
    kernels = _kernels(_model(nodes, (2, 1, 9, 11), constants))
    assert "wg_transpose" not in kernels


@pytest.mark.parametrize(
    ("axes", "flat", "transposes"),
    [
        ([0, 2, 1, 3], [2, 60], 0),
        ([0, 2, 3, 1], [2, 60], 0),
        ([0, 1, 3, 2], [2, 3, 20], 0),
        ([0, 2, 3, 1], [2, 4, 15], 1),
        ([1, 0, 2, 3], [3, 40], 1),
        ([3, 1, 2, 0], [5, 24], 1),
        ([0, 2, 3, 1], [10, 12], 1),
    ],
)
def test_flattening_in_another_order_multiplies_the_same_rows(
    axes: list[int], flat: list[int], transposes: int
) -> None:
    nodes = [
        _node("Transpose", "x", to="t", perm=axes),
        _node("Reshape", "t", "shape", to="f"),
        _node("MatMul", "f", "m"),
    ]
    constants = {"shape": np.array(flat), "m": _weights(flat[-1], 8)}
    kernels = _kernels(_model(nodes, (2, 3, 4, 5), constants))
    assert sum("transpose" in kernel for kernel in kernels) == transposes, kernels


def test_integers_of_64_bits_stay_so_beside_four_axes() -> None:
    graph = helper.make_graph(
        [_node("Transpose", "c", to="t"), _node("Sub", "t", "x")],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.INT64, [1, 2, 3, 1])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [1, 2, 3, 4])],
        [numpy_helper.from_array(np.arange(12, dtype=np.int64).reshape(4, 3, 1) << 33, "c")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    x = np.arange(6, dtype=np.int64).reshape(1, 2, 3, 1)
    expected = (np.arange(12, dtype=np.int64).reshape(4, 3, 1) << 33).T - x
    np.testing.assert_array_equal(wasmgrad.compile(model)(x), expected)


def test_zeros_around_a_picture_are_padding_of_the_convolution() -> None:
    nodes = [_node("Pad", "x", "pads", to="p"), _node("Conv", "p", "w", pads=[0, 1, 0, 0], strides=[2, 2])]
    constants = {"pads": np.array([0, 0, 0, 1, 0, 0, 2, 1], np.int64), "w": _weights(6, 6, 3, 3)}
    kernels = _kernels(_model(nodes, constants=constants))
    assert all(kernel.startswith(("wg_conv2d", "wg_transpose")) for kernel in kernels), kernels


def test_a_model_may_return_its_input_and_a_constant() -> None:
    graph = helper.make_graph(
        [_node("Identity", "x"), _node("Identity", "k", to="z")],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, [3]),
        ],
        [numpy_helper.from_array(np.array([1, 2, 3], np.float32), "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    first, second = wasmgrad.compile(model)(np.array([4, 5], np.float32))
    assert first.tolist() == [4, 5]
    assert second.tolist() == [1, 2, 3]


def test_an_input_keeps_its_contents_across_runs() -> None:
    nodes = [_node("Relu", "x", to="r"), _node("Exp", "r", to="e"), _node("Relu", "e")]
    module = wasmgrad.compile(_model(nodes, (64,)))
    module.feed(_weights(64))
    module.run()
    once = module.results()
    module.run()
    np.testing.assert_array_equal(once, module.results())


def test_weights_may_stay_in_a_file(tmp_path: Path) -> None:
    compiled = compile_model(_model(CONVOLUTION, constants=CONSTANTS), CompileOptions(weights="file"))
    assert compiled.weights is not None
    assert compiled.metadata.weights.sha256 == hashlib.sha256(compiled.weights).hexdigest()
    compiled.save(tmp_path / "m.wasm")
    x = _weights(*SHAPE)
    embedded = wasmgrad.compile(_model(CONVOLUTION, constants=CONSTANTS))
    np.testing.assert_array_equal(wasmgrad.load(tmp_path / "m.wasm")(x), embedded(x))


def test_the_same_model_compiles_to_the_same_bytes() -> None:
    model = _model(CONVOLUTION, constants=CONSTANTS)
    assert compile_model(model, CompileOptions()).module == compile_model(model, CompileOptions()).module


def test_stages_are_reported_in_order() -> None:
    seen: list[str] = []
    compile_model(_model([_node("Relu", "x")]), CompileOptions(), seen.append)
    assert tuple(seen) == STAGES


def test_a_symbolic_shape_is_asked_for_by_name() -> None:
    model = _model([_node("Relu", "x")], ("batch", 4))
    with pytest.raises(InvalidArgument, match=r"x.*batch"):
        compile_model(model, CompileOptions())
    assert compile_model(model, CompileOptions(shapes={"x": (3, 4)})).metadata.inputs[0].shape == (3, 4)


def test_an_operator_without_kernel_is_refused_by_name() -> None:
    graph = helper.make_graph(
        [helper.make_node("NonZero", ["x"], ["y"], name="where")],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [1, "count"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    with pytest.raises(Unsupported, match=r"'where' \(NonZero"):
        compile_model(model, CompileOptions())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"simd": "256"}, "simd: expected one of 128, relaxed, off"),
        ({"opt_level": 4}, "opt_level: expected 0 to 3"),
        ({"weights": "net"}, "weights: expected one of embed, file"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidArgument, match=sentence):
        CompileOptions(**options)
