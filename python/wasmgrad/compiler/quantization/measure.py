"""How far a quantized model is from the one it was made of: in each layer, and in the outputs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from ..frontend.reference import exact_options
from .report import OutputReport
from .samples import Sample

__all__ = ["MOST", "Layer", "Session", "compare_outputs", "layer_noise", "layers", "noise_alone"]

MOST = 150.0
"""Decibels that stand for no difference: float32 itself has fewer."""


class Noise:
    """Energies of a signal, of another one and of what they differ by, summed over arrays."""

    def __init__(self) -> None:
        self.signal = self.other = self.noise = 0.0

    def add(self, exact: NDArray[Any], value: NDArray[Any]) -> None:
        """Counts two arrays of one shape."""
        left, right = exact.astype(np.float64), value.astype(np.float64)
        self.signal += float(np.square(left).sum())
        self.other += float(np.square(right).sum())
        self.noise += float(np.square(left - right).sum())

    @property
    def cosine(self) -> float:
        """The cosine of the angle between the signals; 1 where one of them is zero and so is the other."""
        if self.signal == 0 or self.other == 0:
            return float(self.signal == self.other)
        return (self.signal + self.other - self.noise) / (2 * math.sqrt(self.signal * self.other))

    @property
    def decibels(self) -> float:
        """The signal-to-noise ratio, at most `MOST`; 0 for a signal that is all noise or none."""
        if self.noise == 0:
            return MOST
        if self.signal == 0 or not math.isfinite(self.noise):
            return 0.0
        return min(10 * math.log10(self.signal / self.noise), MOST)


class Session:
    """A model in onnxruntime. With `wanted`, these tensors are its outputs, and no operators are fused."""

    def __init__(self, model: onnx.ModelProto, wanted: Iterable[str] | None = None) -> None:
        import onnxruntime

        options = exact_options(model)
        if wanted is not None:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            model = _with_outputs(model, wanted)
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._names = [info.name for info in self._session.get_outputs()]
        self._inputs = {info.name for info in self._session.get_inputs()}

    def run(self, sample: Sample) -> dict[str, NDArray[Any]]:
        """The outputs by name."""
        fed = {name: array for name, array in sample.items() if name in self._inputs}
        return dict(zip(self._names, map(np.asarray, self._session.run(None, fed)), strict=True))


def _with_outputs(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.output[:]
    changed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return changed


@dataclass(frozen=True)
class Layer:
    """A node that makes floats: its name, its operator, the tensor by which two models are compared.

    `folded` are names of nodes behind it that are part of it in the quantized model, as an activation may be;
    `weighted`: a matrix or more is its constant.
    """

    name: str
    operator: str
    tensor: str
    folded: tuple[str, ...]
    weighted: bool


def layers(model: onnx.ModelProto, quantized: onnx.ModelProto) -> list[Layer]:
    """The layers of a float32 model whose shapes are inferred, in order, as the quantized model has them."""
    typed = {
        info.name: info.type.tensor_type.elem_type for info in (*model.graph.value_info, *model.graph.output)
    }
    matrices = {
        tensor.name
        for tensor in model.graph.initializer
        if len(tensor.dims) > 1 and tensor.data_type == TensorProto.FLOAT
    }
    nodes = [
        node
        for node in model.graph.node
        if any(node.input) and typed.get(node.output[0]) == TensorProto.FLOAT
    ]
    maker = {node.output[0]: node for node in nodes}
    tensors = {node.name: node.output[0] for node in quantized.graph.node}
    folded: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        last = maker.get(tensors.get(node.name, ""))
        while last is not None and last.name != node.name:  # it makes what a later node made
            folded[node.name].append(last.name)
            last = maker.get(last.input[0])
    gone = {name for names in folded.values() for name in names}
    return [
        Layer(
            node.name,
            node.op_type,
            tensors[node.name] if node.name in folded else node.output[0],
            tuple(folded[node.name]),
            not matrices.isdisjoint(node.input),
        )
        for node in nodes
        if node.name not in gone
    ]


def compare_outputs(exact: Session, found: Session, samples: Sequence[Sample]) -> list[OutputReport]:
    """The outputs of two models of the same inputs and outputs, on all samples."""
    noise: dict[str, Noise] = defaultdict(Noise)
    rows: dict[str, list[bool]] = defaultdict(list)
    for sample in samples:
        right = found.run(sample)
        for name, value in exact.run(sample).items():
            noise[name].add(value, right[name])
            if value.ndim == 2 and value.shape[1] > 1:
                rows[name] += (value.argmax(1) == right[name].argmax(1)).tolist()
    return [
        OutputReport(
            name,
            each.decibels,
            each.cosine,
            sum(rows[name]) / len(rows[name]) if name in rows else None,
        )
        for name, each in noise.items()
    ]


def layer_noise(
    model: onnx.ModelProto, quantized: onnx.ModelProto, found: Sequence[Layer], samples: Sequence[Sample]
) -> dict[str, float]:
    """Decibels of each layer by name: what it makes in the quantized model, behind its own rounding, against float32.

    Left out are layers whose tensor is no part of the quantized model.
    """
    rounded = _rounded_again(quantized)
    there = {name for node in quantized.graph.node for name in node.output}
    pairs = {
        layer.name: (layer.tensor, rounded.get(layer.tensor, layer.tensor))
        for layer in found
        if layer.tensor in there
    }
    exact = Session(model, dict.fromkeys(first for first, _ in pairs.values()))
    other = Session(quantized, dict.fromkeys(second for _, second in pairs.values()))
    noise: dict[str, Noise] = defaultdict(Noise)
    for sample in samples:
        left, right = exact.run(sample), other.run(sample)
        for name, (first, second) in pairs.items():
            noise[name].add(left[first], right[second])
    return {name: each.decibels for name, each in noise.items()}


def _rounded_again(quantized: onnx.ModelProto) -> dict[str, str]:
    """Tensor -> the same one behind a QuantizeLinear and a DequantizeLinear, for those that have both."""
    steps = {
        node.input[0]: node.output[0] for node in quantized.graph.node if node.op_type == "QuantizeLinear"
    }
    real = {
        node.input[0]: node.output[0] for node in quantized.graph.node if node.op_type == "DequantizeLinear"
    }
    return {name: real[made] for name, made in steps.items() if made in real}


def noise_alone(
    model: onnx.ModelProto,
    found: Sequence[Layer],
    quantize: Callable[[Collection[str]], onnx.ModelProto],
    samples: Sequence[Sample],
) -> dict[str, float]:
    """Decibels of the outputs by the name of each layer, if it were the only one that is quantized.

    These energies add up to about that of all layers together, so the layers of the fewest decibels are those to keep.
    `quantize` makes the model without nodes of some names.
    """
    exact = Session(model)
    expected = [exact.run(sample) for sample in samples]
    names = {node.name for node in model.graph.node}
    alone = {}
    for layer in found:
        session = Session(quantize(names - {layer.name, *layer.folded}))
        noise = Noise()
        for sample, outputs in zip(samples, expected, strict=True):
            result = session.run(sample)
            for name, value in outputs.items():
                noise.add(value, result[name])
        alone[layer.name] = noise.decibels
    return alone
