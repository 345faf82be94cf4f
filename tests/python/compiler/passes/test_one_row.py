"""Chains over one spatial axis give what onnxruntime gives, at every level, and run on our own kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import wasmgrad
from onnx import TensorProto, helper, numpy_helper
from wasmgrad.compiler import CompileOptions, compile_model

from ... import sweep

Array = np.ndarray[Any, Any]


class Chain:
    """A random graph of one input [n, c, length], and what it was made of."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        batch, channels, length = (
            int(self.draw.integers(low, high)) for low, high in ((1, 3), (1, 7), (7, 40))
        )
        self.shape = (batch, channels * int(self.draw.choice([1, 4])), length)
        self.now, self.channels, self.length = "x", self.shape[1], length
        self.earlier: list[tuple[str, int, int]] = []
        for _ in range(int(self.draw.integers(2, 7))):
            self._add()
        self._finish()

    def constant(self, *shape: int) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = self.draw.standard_normal(shape).astype(np.float32)
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> None:
        self.earlier.append((self.now, self.channels, self.length))
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        self.now = name

    def _add(self) -> None:
        kinds = (self._convolution, self._convolution, self._pool, self._unary, self._binary, self._residual)
        kinds[self.draw.integers(len(kinds))]()

    def _window(self) -> tuple[dict[str, Any], int, int] | None:
        """Attributes, taps and the resulting length."""
        taps, dilation, stride = (int(self.draw.integers(1, high)) for high in (6, 4, 4))
        pads = [int(each) for each in self.draw.integers(0, 4, 2)]
        reach = (taps - 1) * dilation + 1
        length = (self.length + sum(pads) - reach) // stride + 1
        if length < 1 or reach > self.length:
            return None
        return (
            {"kernel_shape": [taps], "dilations": [dilation], "strides": [stride], "pads": pads},
            taps,
            length,
        )

    def _convolution(self) -> None:
        window = self._window()
        if window is None:
            return
        attributes, taps, length = window
        groups = int(
            self.draw.choice([each for each in (1, 2, 4, self.channels) if self.channels % each == 0])
        )
        outputs = groups * int(self.draw.integers(1, 5))
        inputs = [self.now, self.constant(outputs, self.channels // groups, taps)]
        if self.draw.random() < 0.7:
            inputs.append(self.constant(outputs))
        self.node("Conv", *inputs, group=groups, **attributes)
        self.channels, self.length = outputs, length

    def _pool(self) -> None:
        window = self._window()
        if window is None or max(window[0]["pads"]) >= window[1]:
            return
        attributes, _, length = window
        if self.draw.random() < 0.5:
            self.node("MaxPool", self.now, **attributes)
        else:
            self.node("AveragePool", self.now, count_include_pad=int(self.draw.integers(2)), **attributes)
        self.length = length

    def _unary(self) -> None:
        self.node(
            str(self.draw.choice(["Relu", "Sigmoid", "Tanh", "Gelu", "Abs", "Neg", "Softplus"])), self.now
        )

    def _binary(self) -> None:
        shape = [(), (1,), (self.channels, 1), (1, self.channels, 1), (self.length,), (1, 1, self.length)]
        operand = self.constant(*shape[self.draw.integers(len(shape))])
        inputs = [self.now, operand] if self.draw.random() < 0.6 else [operand, self.now]
        self.node(str(self.draw.choice(["Add", "Sub", "Mul", "Max", "Min"])), *inputs)

    def _residual(self) -> None:
        fitting = [
            name
            for name, channels, length in self.earlier
            if (channels, length) == (self.channels, self.length)
        ]
        if fitting:
            self.node("Add", self.now, fitting[self.draw.integers(len(fitting))])

    def _finish(self) -> None:
        end = self.draw.integers(4)
        if end == 0:
            self.node("Transpose", self.now, perm=[0, 2, 1])
        elif end == 1:
            self.node("GlobalAveragePool", self.now)
        elif end == 2:
            self.constants["axes"] = np.array([self.draw.choice([2, -1])])
            self.node("ReduceMean", self.now, "axes", keepdims=int(self.draw.integers(2)))

    def model(self) -> onnx.ModelProto:
        if not self.nodes:
            self.node("Relu", self.now)
        graph = helper.make_graph(
            self.nodes,
            "chain",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(self.now, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, x: Array, **options: Any) -> Array:
    module = wasmgrad.load(compile_model(model, CompileOptions(**options)).module, "wasmtime")
    output: Array = module(x)
    module.close()
    return output


@pytest.mark.parametrize("seed", range(200 if sweep.WHOLE else 20))
def test_a_chain_is_onnxruntime_s(seed: int) -> None:
    chain = Chain(seed)
    model = chain.model()
    x = np.random.default_rng(seed).standard_normal(chain.shape).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"x": x})
    scale = max(1.0, float(np.abs(wanted).max()))
    for options in ({}, {"simd": "relaxed"}, {"simd": "off"}, {"opt_level": 1}):
        output = run(model, x, **options)
        assert output.shape == wanted.shape
        np.testing.assert_allclose(output, wanted, rtol=1e-4, atol=1e-5 * scale, err_msg=str(options))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_special_values_reach_what_they_reach_without_kernels(value: float) -> None:
    for seed in (1, 2, 3, 5, 8, 13):
        chain = Chain(seed)
        x = np.random.default_rng(seed).standard_normal(chain.shape).astype(np.float32)
        x[0, 0, x.shape[2] // 2] = value
        model = chain.model()
        wanted, output = run(model, x, opt_level=0), run(model, x)
        np.testing.assert_array_equal(np.isnan(output), np.isnan(wanted))
        np.testing.assert_allclose(output, wanted, rtol=1e-4, atol=1e-4)


def test_convolutions_and_pools_over_one_axis_are_our_kernels() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2], strides=[2]),
        helper.make_node("Conv", ["c", "d"], ["e"], group=8),
        helper.make_node("GlobalAveragePool", ["e"], ["y"]),
    ]
    draw = np.random.default_rng(0)
    constants = {"w": draw.standard_normal((8, 4, 3)), "d": draw.standard_normal((8, 1, 5))}
    graph = helper.make_graph(
        nodes,
        "kernels",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    compiled = compile_model(model, CompileOptions())
    own = [call.kernel for call in compiled.metadata.plan]
    assert sum("conv2d" in name for name in own) == 2
    assert sum("pool2d" in name for name in own) == 2
