"""The models of the graph benchmarks as files: ONNX from the zoo, compiled modules from a cache.

A module is compiled again when the model, the compiler or the runtime has changed. It must not know who runs it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wasmgrad.compiler
from wasmgrad._files import cache_dir, find_part
from wasmgrad.compiler import CompileOptions, Simd, compile_model

from benchmarks import peak

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Model:
    """A model of the benchmarks: the runs of a turn, and its inputs with static shapes."""

    name: str
    runs: int
    inputs: tuple[dict[str, Any], ...] = ({"name": "input", "dtype": "float32", "shape": [1, 3, 224, 224]},)


MODELS = {
    model.name: model
    for model in (
        Model("resnet50", 2),
        Model("efficientnet-lite0", 6),
        Model("mobilenetv2", 6),
        Model("opennsfw", 6, ({"name": "input:0", "dtype": "float32", "shape": [1, 224, 224, 3]},)),
        Model("lenet5", 400, ({"name": "input", "dtype": "float32", "shape": [1, 1, 28, 28]},)),
    )
}


def onnx(model: str) -> Path:
    """The model's ONNX file."""
    return Path(_tool("make_models.py", model))


def peers() -> Path:
    """The `node_modules` folder of the peers."""
    return Path(_tool("fetch_peers.py"))


def compiled(model: str, simd: Simd) -> Path:
    """The model compiled for batch 1 with `simd` "128" or "relaxed"."""
    source = onnx(model)
    key = hashlib.sha256(f"{source.parent.name} {source.name} {simd} {_compiler()}".encode()).hexdigest()[:16]
    target = _folder() / f"{model}-{simd}-{key}.wasm"
    if not target.is_file():
        for stale in target.parent.glob(f"{model}-{simd}-*.wasm"):
            stale.unlink()
        shapes = {info["name"]: tuple(info["shape"]) for info in MODELS[model].inputs}
        compile_model(source, CompileOptions(shapes=shapes, simd=simd)).save(target)
    return target


def peak_module(simd: str) -> Path:
    """The program that measures the attainable peak of an engine."""
    sources = b"".join(Path(__file__).with_name(name).read_bytes() for name in ("peak.c", "peak.py"))
    target = _folder() / f"peak-{simd}-{hashlib.sha256(sources).hexdigest()[:16]}.wasm"
    if not target.is_file():
        peak.build(simd, target)
    return target


def metadata(module: Path) -> dict[str, Any]:
    """What a module says about itself."""
    from wasmgrad import _wasm_file
    from wasmgrad._graph_meta import SECTION

    section = _wasm_file.custom(module.read_bytes(), SECTION)
    assert section is not None
    result: dict[str, Any] = json.loads(bytes(section))
    return result


@functools.cache
def _compiler() -> str:
    """A hash of all that turns a model into a module."""
    digest = hashlib.sha256()
    folders = [Path(wasmgrad.compiler.__file__).parent, find_part("graph_runtime/wasm32")]
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        if path.suffix in {".py", ".a"}:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _folder() -> Path:
    folder = cache_dir() / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.cache
def _tool(name: str, *arguments: str) -> str:
    """What a tool prints."""
    command = [sys.executable, str(_ROOT / "tools" / name), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
