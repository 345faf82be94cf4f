"""Builds `peak.c` as a graph module, once plain and once with relaxed SIMD. It must not know who runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from wasmgrad._graph.format import wasm
from wasmgrad._graph.format.metadata import ABI, SECTION

_DEPTH, _PASSES = 256, 4000
_TILES = ((4, 2), (3, 3), (2, 4), (5, 2))
_PAGES = 32
_TARGETS = {"128": "generic+simd128", "relaxed": "generic+simd128+relaxed_simd"}


def build(simd: str, target: Path) -> None:
    """Write the module for `simd` ("128" or "relaxed") to `target`; its plan has a call for each register tile."""
    size = _PAGES * wasm.PAGE
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        "wasm32-freestanding",
        f"-mcpu={_TARGETS[simd]}",
    ]
    command += ["-std=c17", "-O3", "-nostdlib", "-fno-sanitize=all", f"-DPASSES={_PASSES}"]
    command += ["-DRELAXED"] if simd == "relaxed" else []
    command += ["-Wl,--no-entry", f"-Wl,--initial-memory={size}", f"-Wl,--max-memory={size}"]
    command += [str(Path(__file__).with_name("peak.c")), "-o", str(target)]
    subprocess.run(command, check=True)
    plan: list[dict[str, Any]] = [
        {
            "name": f"{rows}x{4 * columns}",
            "kernel": "multiply_add",
            "flops": 2 * rows * 4 * columns * _DEPTH * _PASSES,
            "bytes": 16 * (rows + columns) * _DEPTH,
        }
        for rows, columns in _TILES
    ]
    metadata = {
        "abi": ABI,
        "producer": "wasmgrad benchmarks",
        "model": {"name": "peak", "format": "operator", "sha256": "0" * 64, "opset": 0},
        "inputs": [],
        "outputs": [{"name": "sum", "dtype": "float32", "shape": [4]}],
        "operators": {},
        "parameters": 0,
        "flops": sum(entry["flops"] for entry in plan),
        "memory": {"bytes": size, "weights": 0, "workspace": 0},
        "weights": {"mode": "embed", "bytes": 0, "sha256": "0" * 64},
        "options": {"simd": simd, "opt_level": 3},
        "plan": plan,
        "preprocess": None,
        "labels": None,
    }
    target.write_bytes(wasm.with_custom(target.read_bytes(), SECTION, json.dumps(metadata).encode()))
