"""Every model of tools/make_models.py, compiled, gives what onnxruntime (or torch) gives, on every engine.

What is compared are all values of all outputs; the top class alone would hide wrong borders and lost channels. A usual
run takes one engine for each model, and one of the large models; WASMGRAD_SWEEP=1 takes all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasmgrad
from numpy.typing import NDArray
from PIL import Image

from .. import sweep

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parents[3]
IMAGENET_CATS = {281, 282, 283, 284, 285}
TOLERANCE = 1e-4
"""Of the range of an output."""

EVERYWHERE = [
    "lenet5",
    "lenet5-mindspore",
    "mnist-cnn",
    "resnet50",
    "mobilenetv2",
    "efficientnet-lite0",
    "opennsfw",
    "vit-tiny",
    "mlp-mixer",
    "lstm",
    "light_densenet121",
    "light_inception_v1",
    "light_inception_v2",
    "light_resnet50",
    "light_shufflenet",
    "light_squeezenet",
]
ENGINES = ["wasmtime", "node", "wasmedge"]
ALL = list(product(EVERYWHERE, ENGINES))
SAMPLE = list(zip(EVERYWHERE, cycle(ENGINES), strict=False))
LARGE = ["light_bvlc_alexnet", "light_vgg19", "light_zfnet512"]
"""240 to 575 MB of weights, so on one engine only."""
TORCH = ["lenet5.pt", "lenet5.pt2", "mnist-cnn.pt", "mobilenetv2.pt", "mobilenetv2.pt2"]
SHAPES = {
    "opennsfw": {"input:0": (1, 224, 224, 3)},
    "lenet5.pt": {"input": (1, 1, 28, 28)},
    "mnist-cnn.pt": {"input": (1, 1, 28, 28)},
    "mobilenetv2.pt": {"input": (1, 3, 224, 224)},
}
"""Of inputs whose shape the file leaves open."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A compiled model with inputs, and the outputs that it must have for them."""

    name: str
    module: Path
    inputs: dict[str, Array]
    expected: list[Array]


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """The model that the test names, compiled once for all engines and removed after the last."""
    name = request.param
    file = build(name)
    module = tmp_path_factory.mktemp("models") / f"{name}.wasm"
    compiled = wasmgrad.compile(file, shapes=SHAPES.get(name))
    compiled.save(module)
    inputs = inputs_of(name, compiled.inputs)
    compiled.close()
    yield Case(name, module, inputs, outputs_of(file, inputs))
    module.unlink()


def build(name: str) -> Path:
    """The model's file, made when the cache lacks it. MindSpore has packages for some platforms only."""
    command = [sys.executable, str(ROOT / "tools/make_models.py"), name]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0 and "mindspore" in name and not os.environ.get("CI"):
        pytest.skip("MindSpore cannot be installed here")
    assert done.returncode == 0
    return Path(done.stdout.strip())


def inputs_of(name: str, tensors: tuple[Any, ...]) -> dict[str, Array]:
    """The cat for the models with real weights, which random numbers would saturate; else random numbers."""
    random = np.random.default_rng(0)

    def values(tensor: Any) -> Array:
        if name == "efficientnet-lite0":
            mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
            return ((cat() / np.float32(255) - mean) / deviation).transpose(2, 0, 1)[None]
        if name == "opennsfw":
            return (cat()[:, :, ::-1] - np.float32([104, 117, 123]))[None]
        if tensor.dtype == "int64":
            return random.integers(0, 1000, tensor.shape)
        return random.standard_normal(tensor.shape, np.float32)

    return {tensor.name: values(tensor) for tensor in tensors}


def cat() -> Array:
    """[224, 224, 3] float32, 0 to 255: the middle of the picture, its shorter side scaled to 256 pixels."""
    image = Image.open(ROOT / "data/pictures/chelsea.png").convert("RGB")
    scale = 256 / min(image.size)
    size = round(image.width * scale), round(image.height * scale)
    left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
    middle = image.resize(size, Image.Resampling.BICUBIC).crop((left, top, left + 224, top + 224))
    return np.asarray(middle, np.float32)


def outputs_of(file: Path, inputs: dict[str, Array]) -> list[Array]:
    """What onnxruntime makes of an ONNX file, and torch of its own."""
    if file.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return [np.asarray(value) for value in session.run(None, inputs)]
    import torch

    program: Any = torch.jit.load(file).eval() if file.suffix == ".pt" else torch.export.load(file).module()
    with torch.no_grad():
        return [program(*map(torch.from_numpy, inputs.values())).numpy()]


def run(case: Case, engine: str) -> list[Array]:
    module = wasmgrad.load(case.module, engine=engine)
    try:
        results = module(**case.inputs)
    finally:
        module.close()
    return list(results) if isinstance(results, tuple) else [results]


def assert_close(actual: list[Array], expected: list[Array]) -> None:
    assert [array.shape for array in actual] == [array.shape for array in expected]
    for ours, theirs in zip(actual, expected, strict=True):
        assert np.abs(ours - theirs).max() <= TOLERANCE * np.ptp(theirs)


@pytest.mark.parametrize(("case", "engine"), ALL if sweep.WHOLE else SAMPLE, indirect=["case"])
def test_outputs_equal_onnxruntimes(case: Case, engine: str) -> None:
    assert_close(run(case, engine), case.expected)


@pytest.mark.parametrize("case", LARGE if sweep.WHOLE else LARGE[:1], indirect=True)
def test_outputs_of_a_large_model_equal_onnxruntimes(case: Case) -> None:
    assert_close(run(case, "wasmtime"), case.expected)


@pytest.mark.parametrize("case", TORCH, indirect=True)
def test_outputs_of_a_torch_file_equal_torchs(case: Case) -> None:
    assert_close(run(case, "wasmtime"), case.expected)


@pytest.mark.parametrize(
    ("simd", "engine"),
    list(product(["relaxed", "off"], ["wasmtime", "node"]))
    if sweep.WHOLE
    else [("relaxed", "wasmtime"), ("off", "node")],
)
def test_outputs_do_not_depend_on_the_instructions(simd: str, engine: str) -> None:
    file = build("mobilenetv2")
    module = wasmgrad.compile(file, simd=simd, engine=engine)
    inputs = inputs_of("mobilenetv2", module.inputs)
    assert_close([module(**inputs)], outputs_of(file, inputs))
    module.close()


@pytest.mark.parametrize("case", ["efficientnet-lite0"], indirect=True)
def test_efficientnet_calls_the_cat_a_cat(case: Case) -> None:
    (logits,) = run(case, "wasmtime")
    best = np.argsort(-logits[0])[:5]
    assert best[0] in IMAGENET_CATS
    assert list(best) == list(np.argsort(-case.expected[0][0])[:5])
