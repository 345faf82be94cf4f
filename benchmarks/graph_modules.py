"""The models of the graph benchmarks as files: ONNX from the zoo, compiled modules and libraries from a cache.

They are compiled again when the model, the compiler or the runtime has changed. It must not know who runs them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import wasmgrad.compiler
from wasmgrad._files import cache_dir, find_part
from wasmgrad._graph.engines.native import NativeFile
from wasmgrad._graph.format.file import GraphFile
from wasmgrad.compiler import Compiled, CompileOptions, Simd, compile_model
from wasmgrad.compiler.backend.link import finish, link
from wasmgrad.compiler.passes import kernels

from benchmarks import peak

Build: TypeAlias = Literal["128", "relaxed", "native"]
"""A module for one choice of SIMD instructions, or a library for this computer."""

_ROOT = Path(__file__).resolve().parent.parent

# Kernels by how their functions' names begin, the longest first; all others are element-wise.
_KERNELS: dict[str, type[kernels.Kernel]] = {
    "conv2d_quantized": kernels.Conv2dQuantized,
    "matmul_quantized": kernels.MatMulQuantized,
    "add_quantized": kernels.AddQuantized,
    "quantize": kernels.Quantize,
    "conv2d": kernels.Conv2d,
    "gru_update": kernels.GruUpdate,
    "gru_reset": kernels.GruReset,
    "gru": kernels.Gru,
    "lstm": kernels.Lstm,
    "matmul": kernels.MatMul,
    "pool2d": kernels.Pool2d,
    "softmax": kernels.Softmax,
    "layer": kernels.LayerNorm,
    "transpose": kernels.Transpose,
}


@dataclass(frozen=True)
class Model:
    """A model of the benchmarks: the runs of a turn, and its inputs with static shapes."""

    name: str
    runs: int
    inputs: tuple[dict[str, Any], ...] = ({"name": "input", "dtype": "float32", "shape": [1, 3, 224, 224]},)
    state: tuple[tuple[str, str], ...] = ()
    """Inputs that a module may keep, and the outputs that they become."""


MODELS = {
    model.name: model
    for model in (
        Model("resnet50", 2),
        Model("efficientnet-lite0", 6),
        Model("mobilenetv2", 6),
        Model("vit-tiny", 2),
        Model("opennsfw", 6, ({"name": "input:0", "dtype": "float32", "shape": [1, 224, 224, 3]},)),
        Model("lenet5", 400, ({"name": "input", "dtype": "float32", "shape": [1, 1, 28, 28]},)),
    )
}

_LAYERS, _CACHE = 8, [1, 8, 256, 64]
DECODER = Model(
    "gpt-33m",
    20,
    (
        *({"name": name, "dtype": "int64", "shape": [1]} for name in ("token", "position")),
        *(
            {"name": f"{kind}_{layer}", "dtype": "float32", "shape": _CACHE}
            for layer in range(_LAYERS)
            for kind in ("key", "value")
        ),
    ),
    (("key_*", "next_key_*"), ("value_*", "next_value_*")),
)
"""One step of a language model: a token is read, and what comes next is scored."""


def zoo(name: str) -> Path:
    """The file of a model of `tools/make_models.py`."""
    return Path(_tool("make_models.py", name))


def peers() -> Path:
    """The `node_modules` folder of the peers."""
    return Path(_tool("fetch_peers.py"))


def node() -> str:
    """The program of the Node that the peers' package names, so that its engine is the same everywhere."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
    return str(peers() / f"node-linux-{machine}/bin/node")


def node_version() -> str:
    """`Node`, and the version of that one."""
    line = subprocess.run([node(), "--version"], check=True, capture_output=True, text=True).stdout
    return f"Node {line.strip().removeprefix('v')}"


def compiled(model: str, build: Build) -> Path:
    """The model compiled for batch 1; one in 8 bits is called as in the zoo, with "-int8" behind its name."""
    kind = ".so" if build == "native" else ".wasm"
    return _cached(f"{model}-{build}", kind, model, lambda: _compile(model, build).module)


def _known(name: str) -> Model:
    return DECODER if name == DECODER.name else MODELS[name]


def stateful(name: str, simd: Simd) -> Path:
    """The model compiled to a module that keeps its state."""

    def make() -> bytes:
        options = CompileOptions(state=dict(_known(name).state), simd=simd)
        return compile_model(zoo(name), options).module

    return _cached(f"{name}-{simd}-stateful", ".wasm", name, make)


def hollow(model: str, simd: Simd) -> Path:
    """The compiled model with kernels that return at once: a run takes as long as a real one spends outside them."""
    return _cached(f"{model}-{simd}-hollow", ".wasm", model, lambda: _hollow(_compile(model, simd), simd))


def _compile(model: str, build: Build) -> Compiled:
    inputs = _known(model.removesuffix("-int8")).inputs
    shapes = {info["name"]: tuple(info["shape"]) for info in inputs}
    if build == "native":
        return compile_model(zoo(model), CompileOptions(shapes=shapes, target="native"))
    return compile_model(zoo(model), CompileOptions(shapes=shapes, simd=build))


def _hollow(whole: Compiled, simd: Simd) -> bytes:
    """The plan linked with such functions in place of the kernel library's."""
    symbols = {entry.kernel for entry in whole.metadata.plan if entry.kernel.startswith("wg_")}
    stubs = (f"int {symbol}({_parameters(symbol)}) {{ return 0; }}" for symbol in sorted(symbols))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "plan.o").write_bytes(whole.graph_object)
        Path(folder, "stubs.c").write_text("\n".join(stubs))
        zig = [sys.executable, "-m", "ziglang"]
        for command in (
            [
                "cc",
                "-target",
                "wasm32-freestanding",
                "-std=c23",
                "-O1",
                "-g0",
                "-c",
                "stubs.c",
                "-o",
                "stubs.o",
            ],
            ["wasm-ld", "-r", "plan.o", "stubs.o", "-o", "both.o"],
        ):
            subprocess.run(zig + command, cwd=folder, check=True)
        linked = link(Path(folder, "both.o").read_bytes(), simd)
    return finish(linked, linked.pages(whole.metadata.memory.bytes), None, whole.metadata)


def _parameters(symbol: str) -> str:
    name = symbol.removeprefix("wg_")
    kernel = next((kernel for begin, kernel in _KERNELS.items() if name.startswith(begin)), kernels.Unary)
    return ", ".join(["void *"] * (1 + len(kernel.parameters)))


def _cached(name: str, kind: str, model: str, make: Callable[[], bytes]) -> Path:
    source = zoo(model)
    key = hashlib.sha256(f"{source.parent.name} {source.name} {name} {_compiler()}".encode()).hexdigest()[:16]
    target = _folder() / f"{name}-{key}{kind}"
    if not target.is_file():
        for stale in target.parent.glob(f"{name}-{'?' * len(key)}{kind}"):
            stale.unlink()
        target.write_bytes(make())
    return target


def peak_module(simd: str) -> Path:
    """The program that measures the attainable peak of an engine."""
    sources = b"".join(Path(__file__).with_name(name).read_bytes() for name in ("peak.c", "peak.py"))
    target = _folder() / f"peak-{simd}-{hashlib.sha256(sources).hexdigest()[:16]}.wasm"
    if not target.is_file():
        peak.build(simd, target)
    return target


def metadata(file: Path) -> dict[str, Any]:
    """What a module or a library says about itself."""
    with contextlib.closing((NativeFile if file.suffix == ".so" else GraphFile)(file)) as graph:
        result: dict[str, Any] = json.loads(graph.metadata.to_json())
    return result


@functools.cache
def _compiler() -> str:
    """A hash of all that turns a model into a module."""
    digest = hashlib.sha256()
    folders = [Path(wasmgrad.compiler.__file__).parent, find_part("graph_runtime")]
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
