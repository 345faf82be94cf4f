"""From an object file to a shared library for this computer: the same plan and kernels without WebAssembly.

The linker is the system's C compiler, else Zig's of the PyPI package `ziglang`. Nothing here knows what the object
computes.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..._errors import NotFound, RuntimeFailure
from ..._files import find_part, find_zig
from ..._graph.format.metadata import GraphMetadata

__all__ = ["link_library", "target_options"]


def target_options(level: str) -> dict[str, object]:
    """The TVM target of a level."""
    options: dict[str, object] = {
        "kind": "llvm",
        "mtriple": f"{platform.machine()}-linux-gnu",
        "num-cores": 1,
    }
    if level != "baseline":
        options["mcpu"] = level.removesuffix("-vnni")  # which TVM's own code has no use for
    return options


def link_library(graph_object: bytes, image: bytes, metadata: GraphMetadata, level: str) -> bytes:
    """The shared library. image: all weights, at the begin of the memory.

    Errors: `NotFound` without a linker or without the graph runtime; `RuntimeFailure` in the linker's own words.
    """
    runtime = find_part(f"graph_runtime/native/{level}/libgraph_runtime.a")
    with tempfile.TemporaryDirectory(prefix="wasmgrad-") as directory:
        work = Path(directory)
        (work / "graph.o").write_bytes(graph_object)
        (work / "image.bin").write_bytes(image)
        (work / "metadata.json").write_bytes(metadata.to_json())
        (work / "data.s").write_text(_DATA.format(image=len(image), memory=metadata.memory.bytes))
        command = [
            *_compiler(),
            *("-shared", "-fPIC", "-s", "-Wl,-u,graph_initialize"),
            *("data.s", "graph.o", str(runtime), "-lm", "-o", "graph.so"),
        ]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeFailure(f"{Path(command[0]).name} failed:\n{done.stderr.strip()}")
        return (work / "graph.so").read_bytes()


def _compiler() -> list[str]:
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [found]
    zig = find_zig()
    if zig is None:
        raise NotFound(
            "no C compiler to link with was found; install one with `pip install 'wasmgrad[compile]'`"
        )
    return [str(zig), "cc"]


_DATA = """\
    .section .rodata
    .balign 64
    .globl graph_image
    .hidden graph_image
graph_image:
    .incbin "image.bin"
    .balign 8
    .globl graph_image_bytes
    .hidden graph_image_bytes
graph_image_bytes:
    .quad {image}
    .globl graph_memory_bytes
    .hidden graph_memory_bytes
graph_memory_bytes:
    .quad {memory}
    .globl graph_metadata_text
    .hidden graph_metadata_text
graph_metadata_text:
    .incbin "metadata.json"
    .byte 0
    .section .note.GNU-stack,"",%progbits
"""
