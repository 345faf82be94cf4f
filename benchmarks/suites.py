"""The suites that `wasmgrad bench` runs: modules of this folder that say what they measure, of which models, how."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Sequence
from typing import Protocol, cast

from benchmarks.report import Ratio, Report, machine

NAMES = ("training", "engines", "web", "decode")


class Suite(Protocol):
    """What such a module has."""

    TITLE: str
    """What a row of its table is, in a line."""
    MODELS: Collection[str]
    ROUNDS: int

    def measure(self, model: str, rounds: int) -> list[Ratio]:
        """One interleaved run of all contestants on one model."""

    def versions(self) -> list[str]:
        """Of engines and peers."""


def suite(name: str) -> Suite:
    """The suite of that name, one of NAMES."""
    return cast(Suite, importlib.import_module(f"benchmarks.{name}"))


def run(name: str, models: Sequence[str], rounds: int | None) -> Report:
    """Measures models of a suite one after the other, all of them where none is named."""
    found = suite(name)
    chosen = list(models) or list(found.MODELS)
    ratios = [each for model in chosen for each in found.measure(model, rounds or found.ROUNDS)]
    return Report(name, found.TITLE, f"wasmgrad bench {name}", machine(), found.versions(), ratios)
