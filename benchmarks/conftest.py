"""Data and models that the benchmarks share."""

from __future__ import annotations

import os

import pytest
import wasmgrad

from benchmarks import mnist


@pytest.fixture(scope="session")
def train_set() -> wasmgrad.Dataset:
    """All 60,000 training images as u8."""
    return wasmgrad.Dataset(mnist.images(), mnist.labels())


@pytest.fixture(scope="session")
def threads() -> int:
    """As many as the process may use."""
    return len(os.sched_getaffinity(0))
