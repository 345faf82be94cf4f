"""Sweeps take a fixed sample of their cases in a usual run, and all of them with WASMGRAD_SWEEP=1."""

from __future__ import annotations

import os

__all__ = ["WHOLE"]

WHOLE = os.environ.get("WASMGRAD_SWEEP") == "1"
