"""The installed kernels by themselves, in wasmtime, for tests that compare them with something independent.

Each buffer stands between canaries: a write outside is seen, and a value read outside is a NaN that spreads.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import wasmtime
from wasmgrad._files import find_part
from wasmgrad.compiler.passes import kernels as k

GUARD = 256  # bytes of NaN before and after every buffer
VARIANTS = ["off", "128", "relaxed"]
DETERMINISTIC = "relaxed-deterministic"
"""Relaxed SIMD as every processor can compute it: dot products of bytes are then of signed ones."""

Array = np.ndarray[Any, Any]


class Library:
    """The kernels of one variant, instantiated; `lanes` is what their descriptors and weights must be packed for."""

    def __init__(self, module: Path, lanes: int, *, deterministic: bool) -> None:
        self.lanes = lanes
        config = wasmtime.Config()
        config.wasm_relaxed_simd = True
        config.wasm_relaxed_simd_deterministic = deterministic
        engine = wasmtime.Engine(config)
        self.store = wasmtime.Store(engine)
        self.exports = wasmtime.Instance(
            self.store, wasmtime.Module.from_file(engine, str(module)), []
        ).exports(self.store)
        self.memory = self.exports["memory"]
        self.arena = self.memory.data_len(self.store)

    def run(self, kernel: k.Kernel, shape: Sequence[int], dtype: str = "float32", **arrays: Array) -> Array:
        """Call a kernel and return its output `y` of that shape; the other parameters are given by name."""
        return self.run_all(kernel, {"y": tuple(shape)}, dtype, **arrays)["y"]

    def run_all(
        self,
        kernel: k.Kernel,
        outputs: Mapping[str, tuple[int, ...]],
        dtype: str = "float32",
        **arrays: Array,
    ) -> dict[str, Array]:
        """Call a kernel and return its outputs of that type, whose shapes are given by name, as the rest is.

        What is given is handed over as float32, or as the integers that it holds.
        """
        values = {name: _handed_over(array) for name, array in arrays.items()}
        values.update((name, _canary(shape, dtype)) for name, shape in outputs.items())
        values["scratch"] = _canary((kernel.scratch_bytes(),), "uint8")
        buffers = [
            kernel.descriptor(),
            *(values.get(name, np.zeros(0, np.float32)) for name in kernel.parameters),
        ]
        addresses, end = [], self.arena
        for buffer in buffers:
            addresses.append(end + GUARD)
            end += 2 * GUARD + -(-buffer.nbytes // 64) * 64
        missing = end - self.memory.data_len(self.store)
        if missing > 0:
            self.memory.grow(self.store, -(-missing // 65536))
        before = np.full((end - self.arena) // 4, np.nan, np.float32).view(np.uint8)
        for address, buffer in zip(addresses, buffers, strict=True):
            before[address - self.arena :][: buffer.nbytes] = buffer.reshape(-1).view(np.uint8)
        memory = self._bytes(end)
        memory[:] = before
        assert self.exports[kernel.symbol](self.store, *addresses) == 0
        after = self._bytes(end).copy()
        results = {}
        for name in (*outputs, "scratch"):
            start = addresses[1 + kernel.parameters.index(name)] - self.arena
            results[name] = after[start:][: values[name].nbytes].view(values[name].dtype).copy()
            for side in (before, after):
                side[start:][: values[name].nbytes] = 0
        np.testing.assert_array_equal(after, before, err_msg=f"{kernel} wrote outside its outputs")
        return {name: results[name].reshape(shape) for name, shape in outputs.items()}

    def expand(self, stored: k.Stored) -> Array:
        """The floats that are made of what is stored."""
        kernel = stored.kernel
        arrays = dict(zip(kernel.parameters, stored.arrays, strict=False))
        return self.run(kernel, (kernel.size(),), **arrays)

    def _bytes(self, end: int) -> Array:
        base = ctypes.addressof(self.memory.data_ptr(self.store).contents)
        return np.ctypeslib.as_array((ctypes.c_uint8 * (end - self.arena)).from_address(base + self.arena))


def _handed_over(array: Array) -> Array:
    return np.ascontiguousarray(array, array.dtype if array.dtype.kind in "iu" else np.float32)


def _canary(shape: tuple[int, ...], dtype: str) -> Array:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.resize(np.float32(np.nan).reshape(1).view(np.uint8), size).view(dtype).reshape(shape)


def library(variant: str, symbols: Sequence[str], folder: Path) -> Library:
    """The kernels of one variant as they are installed, linked by themselves."""
    installed = find_part("graph_runtime/wasm32")
    archives = [f"{variant.partition('-')[0]}/libgraph_runtime.a", "libc.a", "libbuiltins.a"]
    module = folder / f"{variant}.wasm"
    command = [sys.executable, "-m", "ziglang", "wasm-ld", "--no-entry", "--stack-first"]
    command += [f"--export=wg_{name}" for name in symbols]
    command += [*(str(installed / archive) for archive in archives), "-o", str(module)]
    subprocess.run(command, check=True)
    return Library(module, 1 if variant == "off" else 4, deterministic=variant == DETERMINISTIC)
