"""The quantization of one model, from the float32 model that was read to the one that is compiled in its place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import onnx
from onnx import helper

from ..._errors import Error, InvalidArgument, NotFound, RuntimeFailure
from ..._graph.format.metadata import TensorInfo
from .._difference import Rounding, difference, random_inputs
from .._foreign import unsupported
from .._options import CompileOptions
from ..frontend import normalize
from ..frontend.reference import onnxruntime_reference
from ..frontend.source import Source
from .integer import calibrated, dynamic, operators
from .measure import Layer, Session, compare_outputs, layer_noise, layers, noise_alone
from .prepare import prepared
from .report import LayerReport, QuantizationReport
from .samples import Sample, read_samples
from .weights import float16, refuses_float16, weights_int4, weights_int8

__all__ = ["quantized"]

_RANDOM = 4  # samples, where none are given
_MEASURED = 16  # samples on which layers are compared

_UNSUPPORTED = "not supported by the quantizer"
_BETWEEN = "beside a layer in float32"
_NAMED = "kept by keep_float"

_BY_KIND: dict[str, Callable[[onnx.ModelProto, Collection[str]], onnx.ModelProto]] = {
    "dynamic": dynamic,
    "weights-int8": weights_int8,
    "weights-int4": weights_int4,
    "float16": float16,
}


def quantized(source: Source, options: CompileOptions) -> tuple[Source, QuantizationReport]:
    """The source in `options.quantize`, whose reference is onnxruntime, and what became of its layers.

    Errors: of the samples; `NotFound` without onnxruntime; `InvalidArgument` for a pattern of `keep_float` that fits
    no layer; `Unsupported` for a model that onnxruntime's tools cannot quantize or run.
    """
    try:
        import onnxruntime.quantization  # noqa: F401
    except ImportError as error:
        raise NotFound("quantizing needs onnxruntime: `pip install onnxruntime`") from error
    kind = options.quantize
    assert kind is not None
    inputs = _infos(source)
    samples = read_samples(options.calibrate, inputs, options.preprocess)
    try:
        exact = prepared(source)
        kept = dict.fromkeys(_named(exact, options.keep_float), _NAMED)
        if not samples:
            samples = _random(exact, inputs)
        _check_export(source, exact, samples)
        if kind == "int8":
            model, alone = _static(exact, samples, options, kept)
        else:
            model, alone = _BY_KIND[kind](exact, kept), {}
        found = layers(exact, model)
        noise = layer_noise(exact, model, found, _few(samples))
        outputs = compare_outputs(Session(exact), Session(model), samples)
    except Error:
        raise
    except Exception as error:  # onnxruntime and ONNX report what they cannot do by many classes
        advice = "WASMGRAD_DEBUG=1 shows what they said, keep_float leaves layers out"
        raise unsupported(
            f"onnxruntime's tools cannot quantize this model to {kind}: {advice}", error
        ) from error
    judged = [
        LayerReport(layer.name, layer.operator, noise.get(layer.name), alone.get(layer.name), reason)
        for layer, reason in _judged(exact, model, found, kind, kept)
    ]
    report = QuantizationReport(kind, len(samples), not options.calibrate, tuple(outputs), tuple(judged))
    checked, shapes = normalize.check(model, {}, {})
    reference = onnxruntime_reference(checked)
    return replace(source, model=checked, shapes=shapes, constants={}, reference=reference), report


def _infos(source: Source) -> list[TensorInfo]:
    """The inputs that are left to the compiled model."""
    infos = {info.name: info for info in source.model.graph.input}
    return [
        TensorInfo(
            name, str(helper.tensor_dtype_to_np_dtype(infos[name].type.tensor_type.elem_type)), tuple(shape)
        )
        for name, shape in source.shapes.items()
    ]


def _named(model: onnx.ModelProto, patterns: Sequence[str]) -> list[str]:
    """Names of the nodes that a pattern fits, by name or by operator."""
    found = []
    for pattern in patterns:
        fitting = [
            node.name
            for node in model.graph.node
            if fnmatchcase(node.name, pattern) or fnmatchcase(node.op_type, pattern)
        ]
        if not fitting:
            raise InvalidArgument(
                f"keep_float: {pattern!r} fits no node and no operator; the report lists the layers by name"
            )
        found += fitting
    return found


def _random(model: onnx.ModelProto, inputs: Sequence[TensorInfo]) -> list[Sample]:
    """Random samples that the model takes: integers may be indices, so smaller ones follow where it refuses."""
    session = Session(model)
    for below in (10, 2):
        samples = [random_inputs(tuple(inputs), seed, below) for seed in range(_RANDOM)]
        try:
            session.run(samples[0])
        except Exception:
            continue
        return samples
    return [random_inputs(tuple(inputs), seed, 1) for seed in range(_RANDOM)]


def _check_export(source: Source, model: onnx.ModelProto, samples: Sequence[Sample]) -> None:
    """Holds the float32 model against where it comes from; what it becomes is held against onnxruntime only.

    Errors: `RuntimeFailure` when an output differs.
    """
    if source.reference.framework == "onnxruntime" or not samples:
        return
    expected = source.reference.outputs({**samples[0], **source.constants})
    found = Session(model).run(samples[0])
    rounding = Rounding(model)
    for (name, value), theirs in zip(found.items(), expected, strict=True):
        gap = difference(name, value, theirs, rounding)
        if not gap.ok:
            raise RuntimeFailure(
                f"{name}: the float32 model differs from {source.reference.framework}'s by {gap.absolute:.3g} "
                "before it is quantized"
            )


def _few(samples: Sequence[Sample]) -> list[Sample]:
    """Some of the samples, evenly: neighbours may be alike."""
    return list(samples[:: -(-len(samples) // _MEASURED)])


def _static(
    exact: onnx.ModelProto, samples: Sequence[Sample], options: CompileOptions, kept: dict[str, str]
) -> tuple[onnx.ModelProto, dict[str, float]]:
    """The model in int8, and with `min_snr` the noise of each layer alone. Layers below it are added to `kept`."""
    ranges = calibrated(exact, samples, options.calibrate_by)
    model = ranges.quantized(kept)
    if options.min_snr is None:
        return model, {}
    candidates = [
        layer
        for layer in layers(exact, model)
        if layer.name not in kept and not _untouched(exact, model, layer.name)
    ]
    alone = noise_alone(exact, candidates, ranges.quantized, _few(samples))
    low = [name for name, decibels in alone.items() if decibels < options.min_snr]
    kept.update(dict.fromkeys(low, f"alone below {options.min_snr:g} dB"))
    return ranges.quantized(kept) if low else model, alone


def _untouched(exact: onnx.ModelProto, model: onnx.ModelProto, name: str) -> bool:
    """Whether the node of that name reads the same tensors in both models."""
    before, after = (
        next((node for node in each.graph.node if node.name == name), None) for each in (exact, model)
    )
    return before is not None and after is not None and before.input == after.input


def _judged(
    exact: onnx.ModelProto, model: onnx.ModelProto, found: Sequence[Layer], kind: str, kept: dict[str, str]
) -> list[tuple[Layer, str | None]]:
    """The layers that this kind is about, each with why it was kept: all, or those with weights."""
    if kind not in ("int8", "float16"):
        found = [layer for layer in found if layer.weighted]

    return [(layer, kept.get(layer.name, _untouched_because(exact, model, layer, kind))) for layer in found]


def _untouched_because(exact: onnx.ModelProto, model: onnx.ModelProto, layer: Layer, kind: str) -> str | None:
    """Why the tools left a layer as it was; None where they did not."""
    if kind == "float16":
        return _UNSUPPORTED if refuses_float16(layer.operator) else None
    if not _untouched(exact, model, layer.name):
        return None
    # An activation, or what only moves numbers, is not rounded where the layer that it belongs to is not.
    return _BETWEEN if kind == "int8" and layer.operator in operators() else _UNSUPPORTED
