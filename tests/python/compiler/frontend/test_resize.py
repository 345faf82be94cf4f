"""Resize and Upsample give onnxruntime's values and sizes, F.interpolate torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import wasmgrad
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]

SCALES = [0.1, 0.3, 0.5, 0.6, 0.7, 0.9, 1.0, 1.05, 1.3, 1.4, 1.5, 2.0, 2.3, 3.0]
TRANSFORMS = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "tf_crop_and_resize"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


class _Draw:
    """Nodes with drawn attributes, each with an input and constants of its own."""

    def __init__(self, opset: int, rank: int) -> None:
        self.opset, self.rank = opset, rank
        self.random = np.random.default_rng(100 * opset + rank)

    def pick(self, values: list[Any]) -> Any:
        return values[int(self.random.integers(len(values)))]

    def node(self, index: int) -> tuple[onnx.NodeProto, Array, dict[str, Array]]:
        extents = [1, 2, *(int(self.random.integers(1, 13)) for _ in range(self.rank))]
        x = self.random.standard_normal(extents).astype(np.float32)
        scales = np.array([1, 1, *(self.pick(SCALES) for _ in range(self.rank))], np.float32)
        attributes: dict[str, Any] = {"mode": self.pick(["nearest", "linear"])}
        if self.opset < 11:
            operator = "Upsample" if self.opset < 10 else "Resize"
            constants = {f"s{index}": np.maximum(scales, 1) if self.opset < 10 else scales}
            inputs = [f"x{index}", f"s{index}"]
        else:
            operator, constants = "Resize", self._constants(index, scales, attributes)
            given = [name if name in constants else "" for name in (f"r{index}", f"s{index}", f"z{index}")]
            inputs = [f"x{index}", *(given if given[2] else given[:2])]
        return helper.make_node(operator, inputs, [f"y{index}"], **attributes), x, constants

    def _constants(self, index: int, scales: Array, attributes: dict[str, Any]) -> dict[str, Array]:
        if self.rank == 2 and self.pick([True, False, False]):
            attributes |= {"mode": "cubic", "exclude_outside": self.pick([0, 1])}
        later = ["half_pixel_symmetric"] if self.opset >= 19 else []
        earlier = ["tf_half_pixel_for_nn"] if self.opset == 11 else []
        attributes["coordinate_transformation_mode"] = self.pick([*TRANSFORMS, *later, *earlier])
        if attributes["mode"] == "nearest":
            attributes["nearest_mode"] = self.pick(ROUNDINGS)
        some = self.opset >= 18 and self.pick([True, False])
        if self.opset >= 18 and attributes["mode"] != "nearest":
            attributes["antialias"] = self.pick([0, 1])
        if some:
            attributes["axes"] = list(range(2, 2 + self.rank))
        roi = np.zeros(0, np.float32)
        if attributes["coordinate_transformation_mode"] == "tf_crop_and_resize":
            attributes["extrapolation_value"] = 2.0
            start, end = [0.1] * self.rank, [self.pick([0.8, 1.2])] * self.rank
            roi = np.array([*start, *end] if some else [0, 0, *start, 1, 1, *end], np.float32)
        if self.pick([True, False]):
            return {f"r{index}": roi, f"s{index}": scales[2 if some else 0 :]}
        if some:
            attributes["keep_aspect_ratio_policy"] = self.pick(["stretch", "not_larger", "not_smaller"])
        sizes = [*([] if some else [1, 2]), *(int(self.random.integers(1, 20)) for _ in range(self.rank))]
        return {f"r{index}": roi, f"z{index}": np.array(sizes, np.int64)}


def _model(
    opset: int, nodes: list[onnx.NodeProto], inputs: dict[str, Array], constants: dict[str, Array]
) -> Any:
    graph = helper.make_graph(
        nodes,
        "resize",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name, x in inputs.items()],
        [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None) for node in nodes],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _expected(model: Any, inputs: dict[str, Array]) -> list[Array] | None:
    """What onnxruntime makes of it; None for combinations that it refuses."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return list(session.run(None, inputs))
    except Exception:
        return None


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("opset", [9, 10, 11, 13, 18, 19])
def test_values_and_sizes_are_those_of_onnxruntime(opset: int, rank: int) -> None:
    draw = _Draw(opset, rank)
    nodes, inputs, constants, expected = [], {}, {}, []
    for index in range(24):
        node, x, own = draw.node(index)
        values = _expected(_model(opset, [node], {f"x{index}": x}, own), {f"x{index}": x})
        if values is not None and values[0].size > 0:
            nodes.append(node)
            inputs[f"x{index}"] = x
            constants |= own
            expected += values
    assert len(nodes) >= 6  # onnxruntime refuses many combinations
    results = wasmgrad.compile(_model(opset, nodes, inputs, constants), opt_level=0, verify=False)(**inputs)
    for node, result, wanted in zip(nodes, results, expected, strict=True):
        np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-4, err_msg=f"{node}")


class _Many(torch.nn.Module):
    def __init__(self, calls: list[dict[str, Any]]) -> None:
        super().__init__()
        self.calls = calls

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(F.interpolate(x, **call) for call in self.calls)


@pytest.mark.parametrize(
    ("side", "exported"),
    [(10, True), (7, False), (10, False)],
    ids=["program", "torchscript-7", "torchscript-10"],
)
def test_interpolation_is_torchs(side: int, exported: bool) -> None:
    calls: list[dict[str, Any]] = []
    for factor in (0.7, 0.9, 1.4, 1.5, 2.3):
        calls += [{"scale_factor": factor, "mode": "nearest"}, {"scale_factor": factor, "mode": "bilinear"}]
        calls.append({"scale_factor": factor, "mode": "bilinear", "align_corners": True})
        calls.append({"scale_factor": factor, "mode": "bilinear", "recompute_scale_factor": True})
    calls.append({"size": (5, 13), "mode": "bicubic"})
    module, x = (
        _Many(calls).eval(),
        torch.randn(1, 2, side, side, generator=torch.Generator().manual_seed(side)),
    )
    if exported:
        compiled = wasmgrad.compile(torch.export.export(module, (x,)), opt_level=0)
    else:
        compiled = wasmgrad.compile(torch.jit.trace(module, x), shapes={"x": x.shape}, opt_level=0)
    for call, result, wanted in zip(calls, compiled(x.numpy()), module(x), strict=True):
        assert result.shape == tuple(wanted.shape), call
        np.testing.assert_allclose(result, wanted.numpy(), rtol=1e-4, atol=1e-4, err_msg=str(call))


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_bytes_are_interpolated_as_in_onnxruntime(dtype: str) -> None:
    """Rounded toward zero; where the exact value is a whole number, onnxruntime may lie one below."""
    limits, nodes, constants = np.iinfo(dtype), [], {}
    x = np.random.default_rng(8).integers(limits.min, limits.max + 1, (1, 2, 5, 6)).astype(dtype)
    for mode in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
        for place, size in enumerate(([1, 2, 8, 9], [1, 2, 3, 4], [1, 2, 10, 12])):
            name = f"{mode}{place}"
            constants[f"{name}_size"] = np.array(size, np.int64)
            attributes = {"mode": "linear", "coordinate_transformation_mode": mode}
            nodes.append(helper.make_node("Resize", ["x", "", "", f"{name}_size"], [name], **attributes))
    model = _model(18, nodes, {"x": x}, constants)
    exact = _expected(model, {"x": x.astype(np.float32)})
    elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.elem_type = elem_type
    expected = _expected(model, {"x": x})
    assert expected is not None
    assert exact is not None
    results = wasmgrad.compile(model, verify=False)(x)
    for result, wanted, value in zip(results, expected, exact, strict=True):
        nearly_whole = np.abs(value - np.rint(value)) < 1e-4
        np.testing.assert_array_equal(result[~nearly_whole], wanted[~nearly_whole])
        np.testing.assert_array_equal(result[nearly_whole], np.rint(value)[nearly_whole].astype(dtype))
        assert result.dtype == dtype
