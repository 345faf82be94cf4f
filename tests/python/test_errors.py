"""The error tree has one class for each kind of the core."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import wasmgrad
from wasmgrad._errors import error_of_kind

SOURCE = Path(__file__).resolve().parents[2] / "cpp/base/status.cpp"
KINDS = re.findall(r'return "(\w+)";', SOURCE.read_text())


def test_the_core_names_eleven_kinds() -> None:
    assert len(set(KINDS)) == 11


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_the_core_has_its_class(kind: str) -> None:
    error = error_of_kind(kind, "a sentence")
    assert isinstance(error, wasmgrad.Error)
    assert error.kind == kind
    assert str(error) == error.message == "a sentence"


def test_unknown_kind_becomes_unknown() -> None:
    assert type(error_of_kind("novel", "x")) is wasmgrad.Unknown


def test_errors_are_also_the_builtin_ones() -> None:
    assert issubclass(wasmgrad.InvalidArgument, ValueError)
    assert issubclass(wasmgrad.TimeLimit, TimeoutError)
    assert issubclass(wasmgrad.NotFound, FileNotFoundError)
    assert issubclass(wasmgrad.SecurityError, PermissionError)
