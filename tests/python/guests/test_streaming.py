"""A guest trains on a file that is larger than its memory, and than what its host holds for it.

A usual run takes a file of one gigabyte, WASMGRAD_SWEEP=1 one of four.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import wasmgrad

from .. import sweep

MIB = 1 << 20


@pytest.fixture
def model(tmp_path: Path) -> Path:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(4, 2)), buffer)
    file = tmp_path / "model.pt"
    file.write_bytes(buffer.getvalue())
    return file


@pytest.mark.long
def test_gigabytes_stream_through_a_guest_of_64_mb(
    build_c_guest: Callable[[str], Path], model: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()

    def stream(size: int) -> wasmgrad.GuestResult:
        with (data / "rows").open("wb") as file:
            file.truncate(size)
        result = wasmgrad.Sandbox(
            build_c_guest("stream_train"),
            args=["/data/rows", "linear"],
            dirs=[f"{data}:/data:ro"],
            models={"linear": model},
            limits=wasmgrad.Limits(memory_pages=1024),
        ).run()
        assert result.exit_code == 0, result.stderr
        assert result.stdout == f"{size} bytes in {size // MIB} steps\n"
        return result

    little, much = stream(64 * MIB), stream((4096 if sweep.WHOLE else 1024) * MIB)
    assert little.peak_memory_bytes is not None
    assert much.peak_memory_bytes is not None
    assert much.peak_memory_bytes < little.peak_memory_bytes + 100 * MIB
