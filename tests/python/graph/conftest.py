"""Real graph modules from small C files: sums, honest or made to lie, and a classifier of pictures by their colour."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wasmgrad._graph.format import wasm
from wasmgrad._graph.format.metadata import SECTION

HERE = Path(__file__).parent
PAGES = 4
WEIGHTS = np.arange(10, 70, 10, dtype=np.float32)

METADATA: dict[str, Any] = {
    "abi": 1,
    "producer": "a test",
    "model": {"name": "sums", "format": "onnx", "sha256": "0" * 64, "opset": 18},
    "inputs": [
        {"name": "a", "dtype": "float32", "shape": [2, 3]},
        {"name": "b", "dtype": "float32", "shape": [2, 3]},
        {"name": "n", "dtype": "int64", "shape": []},
    ],
    "outputs": [
        {"name": "sum", "dtype": "float32", "shape": [2, 3]},
        {"name": "count", "dtype": "int64", "shape": []},
    ],
    "operators": {"Add": 2, "Mul": 1},
    "parameters": 6,
    "flops": 13,
    "memory": {"bytes": PAGES * wasm.PAGE, "weights": 64, "workspace": 320},
    "weights": {"mode": "embed", "bytes": 24, "sha256": hashlib.sha256(WEIGHTS.tobytes()).hexdigest()},
    "options": {"simd": "128", "opt_level": 3},
    "plan": [
        {"name": "add", "kernel": "add_add", "flops": 12, "bytes": 96},
        {"name": "double", "kernel": "multiply", "flops": 1, "bytes": 16},
    ],
    "preprocess": None,
    "labels": None,
    "states": [],
}

TOTAL: dict[str, Any] = {"name": "total", "dtype": "int64", "shape": [], "output": "next_total"}
"""The state of the sums, which their metadata may tell of."""

COLORS: dict[str, Any] = METADATA | {
    "model": {"name": "colors", "format": "operator", "sha256": "0" * 64, "opset": None},
    "inputs": [{"name": "picture", "dtype": "float32", "shape": [1, 3, 8, 8]}],
    "outputs": [{"name": "scores", "dtype": "float32", "shape": [1, 3]}],
    "operators": {"GlobalAveragePool": 1},
    "parameters": 0,
    "weights": {"mode": "embed", "bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()},
    "plan": [{"name": "mean", "kernel": "global_average_pool", "flops": 195, "bytes": 780}],
    "labels": ["red", "green", "blue"],
    "preprocess": {
        "kind": "image", "resize": None, "crop": 8, "interpolation": "bilinear", "layout": "NCHW", "color": "RGB",
        "scale": 1 / 255, "mean": [0, 0, 0], "std": [1, 1, 1],
    },
}  # fmt: skip

MakeModule = Callable[..., bytes]


@pytest.fixture
def metadata() -> dict[str, Any]:
    """A copy of the metadata of the sums, to be changed."""
    return copy.deepcopy(METADATA)


@pytest.fixture(scope="session")
def bare_module(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """A C file compiled, without metadata: `bare_module("sums", "NAME=VALUE", ...)`, each once a session."""
    built: dict[tuple[str, ...], bytes] = {}

    def build(name: str, *defines: str) -> bytes:
        key = (name, *defines)
        if key not in built:
            output = tmp_path_factory.mktemp(name) / f"{name}.wasm"
            command = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-O1", "-g0"]
            command += ["-fno-sanitize=undefined", "-nostdlib", "-Wl,--no-entry", "-Wl,-z,stack-size=65536"]
            command += [*(f"-D{define}" for define in defines), str(HERE / f"{name}.c"), "-o", str(output)]
            subprocess.run(command, check=True, timeout=120)
            built[key] = output.read_bytes()
        return built[key]

    return build


@pytest.fixture(scope="session")
def make_module(bare_module: Callable[..., bytes]) -> MakeModule:
    """A graph module of the sums: `make_module("NAME=VALUE", ..., metadata=..., pages=...)`."""

    def make(
        *defines: str, metadata: dict[str, Any] = METADATA, pages: int = PAGES, name: str = "sums"
    ) -> bytes:
        sized = wasm.with_memory(bare_module(name, *defines), pages)
        return wasm.with_custom(sized, SECTION, json.dumps(metadata).encode())

    return make


@pytest.fixture(scope="session")
def module(make_module: MakeModule) -> bytes:
    """The sums, honest."""
    return make_module()


@pytest.fixture(scope="session")
def colors(make_module: MakeModule) -> bytes:
    """The classifier of pictures."""
    return make_module(name="colors", metadata=COLORS)


@pytest.fixture(scope="session")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules, good and bad, with `verdicts.json`, which every reader of graph modules is held to."""
    folder = tmp_path_factory.mktemp("graph_modules")
    script = Path(__file__).resolve().parents[2] / "graph_modules/make_modules.py"
    subprocess.run([sys.executable, "-B", str(script), str(folder)], check=True)
    return folder


@pytest.fixture
def arrays() -> dict[str, np.ndarray[Any, Any]]:
    """Inputs of the sums."""
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    return {"a": a, "b": a * 100, "n": np.array(21, np.int64)}
