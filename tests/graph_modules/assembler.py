"""A graph module that computes y = x + w for one number, byte by byte, so that any byte of it can be made to lie."""

from __future__ import annotations

import copy
import json
from typing import Any

PAGES = 4
X, Y, W, S, LARGE = 1024, 1088, 1152, 1216, 1 << 16  # addresses; W is what the code reads
WEIGHT = b"\0\0\x20\x40"  # 2.5 as float32

TENSOR = {"dtype": "float32", "shape": [1]}
METADATA: dict[str, Any] = {
    "abi": 1,
    "producer": "a test",
    "model": {"name": "plus", "format": "onnx", "sha256": "0" * 64, "opset": 18},
    "inputs": [TENSOR | {"name": "x"}],
    "outputs": [TENSOR | {"name": "y"}],
    "operators": {"Add": 1},
    "parameters": 1,
    "flops": 1,
    "memory": {"bytes": PAGES << 16, "weights": 1 << 16, "workspace": 128},
    "weights": {"mode": "embed", "bytes": 4, "sha256": "0" * 64},
    "options": {"simd": "128", "opt_level": 3},
    "plan": [{"name": "add", "kernel": "add", "flops": 1, "bytes": 12}],
    "preprocess": {
        "kind": "image",
        "resize": 9,
        "crop": [8, 8],
        "interpolation": "bilinear",
        "layout": "NCHW",
        "color": "RGB",
        "scale": 0.5,
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
    },
    "labels": ["cat", "dog"],
}

STATE = TENSOR | {"name": "s", "output": "t"}

CUSTOM, IMPORT, MEMORY, EXPORT, START, CODE, DATA = 0, 2, 5, 7, 8, 10, 11
HEADER = b"\0asm\1\0\0\0"


def unsigned(value: int, length: int = 1) -> bytes:
    """LEB128, of `length` bytes at least."""
    encoded = bytearray()
    while value >= 0x80 or len(encoded) + 1 < length:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def signed(value: int) -> bytes:
    """LEB128 of an address below 2 GiB."""
    return unsigned(value, -(-(value.bit_length() + 1) // 7))


def vector(*items: bytes) -> bytes:
    """A count and the items."""
    return unsigned(len(items)) + b"".join(items)


def text(value: bytes) -> bytes:
    """A length and the bytes."""
    return unsigned(len(value)) + value


def section(identifier: int, contents: bytes) -> bytes:
    """One section."""
    return bytes([identifier]) + text(contents)


def custom(name: bytes, contents: bytes) -> bytes:
    """One custom section."""
    return section(CUSTOM, text(name) + contents)


def active(address: int, contents: bytes) -> bytes:
    """A data segment for that address."""
    return b"\0\x41" + signed(address) + b"\x0b" + text(contents)


def body(*instructions: bytes) -> bytes:
    """A function without local variables."""
    return text(b"\0" + b"".join(instructions) + b"\x0b")


def constant(value: int) -> bytes:
    """i32.const."""
    return b"\x41" + signed(value)


def address_of(address: int) -> bytes:
    """A function that returns it for index 0, and 0 for others."""
    return body(constant(0), constant(address), b"\x20\0\x1b")


def add(weight: int) -> bytes:
    """A function that computes y = x + w."""
    load = b"\x2a\2\0"
    return body(constant(Y), constant(X), load, constant(weight), load, b"\x92\x38\2\0", constant(0))


TYPES = vector(
    b"\x60\0\0", b"\x60\1\x7f\1\x7f", b"\x60\0\1\x7f", b"\x60\1\x7e\1\x7f", b"\x60\2\x7f\x7f\1\x7f"
)
FUNCTIONS = {
    "_initialize": 0,
    "graph_input": 1,
    "graph_output": 1,
    "graph_weights": 2,
    "graph_run": 2,
    "graph_call": 1,
}
EXPORTS = [("memory", 2, 0), *((name, 0, index) for index, name in enumerate(FUNCTIONS))]
FIXED = b"\1" + unsigned(PAGES) * 2


def exports(rows: list[tuple[str, int, int]]) -> bytes:
    """The contents of the section, of names, kinds and indices."""
    return vector(*(text(name.encode()) + bytes([kind, index]) for name, kind, index in rows))


def code(weight: int = W, **replaced: bytes) -> bytes:
    """The contents of the section; `replaced` are functions by name."""
    bodies = {
        "_initialize": body(),
        "graph_input": address_of(X),
        "graph_output": address_of(Y),
        "graph_weights": body(constant(weight)),
        "graph_run": add(weight),
        "graph_call": body(constant(0)),
    }
    return vector(*(bodies | replaced).values())


def parts(**replaced: bytes) -> dict[str, bytes]:
    """The sections of the honest module by name, in order; `replaced` are others in their place, whole."""
    return {
        "types": section(1, TYPES),
        "imports": b"",
        "functions": section(3, vector(*map(unsigned, FUNCTIONS.values()))),
        "memory": section(MEMORY, vector(FIXED)),
        "exports": section(EXPORT, exports(EXPORTS)),
        "start": b"",
        "code": section(CODE, code()),
        "data": section(DATA, vector(active(W, WEIGHT))),
        "metadata": custom(b"wasmgrad.graph", json.dumps(METADATA).encode()),
    } | replaced


def module(**replaced: bytes) -> bytes:
    """The honest module, or one that lies."""
    return HEADER + b"".join(parts(**replaced).values())


THREADS = 4
THREAD_FUNCTIONS = {"graph_thread": 1, "graph_stop": 0, "graph_spin": 0}
SHARED = text(b"env") + text(b"memory") + b"\2\3" + unsigned(PAGES) * 2


def threads(count: int = THREADS, **replaced: bytes) -> bytes:
    """The honest module for several threads, or one that lies."""
    document = copy.deepcopy(METADATA)
    document["options"]["threads"] = count
    functions = FUNCTIONS | THREAD_FUNCTIONS
    rows = [("memory", 2, 0), *((name, 0, index) for index, name in enumerate(functions))]
    waiting = {"graph_thread": body(constant(0)), "graph_stop": body(), "graph_spin": body()}
    shared = {
        "imports": section(IMPORT, vector(SHARED)),
        "functions": section(3, vector(*map(unsigned, functions.values()))),
        "memory": b"",
        "exports": section(EXPORT, exports(rows)),
        "code": section(CODE, code(**waiting)),
        "metadata": custom(b"wasmgrad.graph", json.dumps(document).encode()),
    }
    return module(**(shared | replaced))


def with_metadata(contents: bytes) -> bytes:
    """The module that says so of itself."""
    return module(metadata=custom(b"wasmgrad.graph", contents))


def with_plans(further: Any, select: bytes | None = None) -> bytes:
    """The module that says so of further plans, which are all where the first one is; `select` chooses them."""
    kinds = (*FUNCTIONS.values(), 4)
    return module(
        functions=section(3, vector(*map(unsigned, kinds))),
        exports=section(EXPORT, exports([*EXPORTS, ("graph_select", 0, len(FUNCTIONS))])),
        code=section(CODE, code(graph_select=body(constant(0)) if select is None else select)),
        metadata=custom(b"wasmgrad.graph", json.dumps(METADATA | {"further": further}).encode()),
    )


def with_states(states: Any, further: Any = None, **replaced: bytes) -> bytes:
    """The module that says so of its states, and tells where one is."""
    kinds = (*FUNCTIONS.values(), 1)
    defaults = {
        "functions": section(3, vector(*map(unsigned, kinds))),
        "exports": section(EXPORT, exports([*EXPORTS, ("graph_state", 0, len(FUNCTIONS))])),
        "code": section(CODE, code(graph_state=address_of(S))),
        "metadata": custom(
            b"wasmgrad.graph", json.dumps(METADATA | {"states": states, "further": further}).encode()
        ),
    }
    return module(**(defaults | replaced))


def with_value(path: tuple[str | int, ...], value: Any) -> bytes:
    """The module whose metadata has that value at that place; `...` takes the key away."""
    document = copy.deepcopy(METADATA)
    *way, last = path
    node: Any = document
    for step in way:
        node = node[step]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return with_metadata(json.dumps(document).encode())
