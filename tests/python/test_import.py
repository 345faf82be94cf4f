"""Importing the package is quick and loads nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = ("torch", "numpy", "rich", "typer", "wasmgrad._core", "wasmgrad._graph_core")


def test_import_loads_nothing_heavy() -> None:
    code = f"import sys, wasmgrad; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_import_takes_under_three_tenths_of_a_second() -> None:
    code = "import time; t = time.process_time(); import wasmgrad; print(time.process_time() - t)"
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(runs) < 0.3


def test_spinning_is_turned_off_before_libtorch_can_load() -> None:
    code = "import os, wasmgrad; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "PASSIVE"


def test_every_public_name_is_there() -> None:
    import wasmgrad

    for name in wasmgrad.__all__:
        assert getattr(wasmgrad, name) is not None
