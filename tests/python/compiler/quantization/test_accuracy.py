"""Quantized models with real weights name what float32 names, and their modules what onnxruntime does.

A usual run takes few crops and sentences; WASMGRAD_SWEEP=1 takes all, as the tool does by itself.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ... import sweep

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(("model", "words"), [("efficientnet", "same first class"), ("minilm", "correlate")])
def test_real_models_stay_near_float32(model: str, words: str) -> None:
    # Of few crops, a few more may differ by chance.
    few = [] if sweep.WHOLE else ["--crops", "3", "--modules", "3", "--at-least", "0.88"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/quantization_accuracy.py"), model, *few],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert words in done.stdout
