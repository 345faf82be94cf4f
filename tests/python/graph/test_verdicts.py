"""Good and bad modules get the verdicts that all readers share (tests/graph_modules); JavaScript's test lies beside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from wasmgrad import Error
from wasmgrad._graph.module import load


def verdict(module: Path) -> str:
    try:
        loaded = load(module)
        y = loaded(np.ones(loaded.inputs[0].shape, np.float32))
    except Error as error:
        named = error.message.startswith(f"{module}: ")
        return error.kind if named else f"the file is not named: {error.message}"
    assert isinstance(y, np.ndarray)
    return "ok" if y.item() == 3.5 else f"y is {y}"


def test_every_module_gets_the_verdict_that_all_readers_share(verdicts: Path) -> None:
    expected = json.loads((verdicts / "verdicts.json").read_text())
    assert {name: verdict(verdicts / f"{name}.wasm") for name in expected} == expected
