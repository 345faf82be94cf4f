"""docs/operators.md is what tools/operators_page.py writes: a row for each operator, a line for each kind refused."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("operators_page", ROOT / "tools" / "operators_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_the_tool_says_and_that_nothing_is_wrong(writer: ModuleType) -> None:
    page = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    introduction, _, rest = page.partition("\n## Tests\n")
    assert introduction == writer._INTRODUCTION.partition("\n## Tests\n")[0]
    assert "wrong" not in rest.partition("\n\n")[0]
    assert "error" not in rest.partition("\n\n")[0]


def test_refusals_of_one_kind_are_one_line(writer: ModuleType) -> None:
    results = [
        writer.Result("a", ["Relu"], "pass", ""),
        writer.Result("b", ["Cast"], "refused", "input 'x': tensors of int4 are only stored; do this"),
        writer.Result("c", ["Add"], "refused", "input 'y': tensors of int4 are only stored; do that"),
        writer.Result(
            "d", ["Cast"], "refused", "node 'n' (Cast, opset 21): tensors of string are not supported"
        ),
        writer.Result("e", ["If"], "refused", "node 'm' (If, opset 9): tensors of string are not supported"),
        writer.Result("f", ["Loop"], "refused", "input 'z' is a sequence; only dense tensors are supported"),
        writer.Result("g", ["Not"], "refused", "operator set 1 is not supported; 7 to 28 are"),
    ]
    page = writer.page(results)
    assert "7 tests, 1 passed: 1 pass, 6 refused" in page
    assert page.partition("## What is left")[2].splitlines()[4:] == [
        "| what is not compiled | in tests of | tests |",
        "|---|---|---:|",
        "| inputs: is a sequence | Loop | 1 |",
        "| inputs: tensors of int4 are only stored | Add, Cast | 2 |",
        "| operator set 1 is not supported | Not | 1 |",
        "| tensors of string are not supported | Cast, If | 2 |",
    ]
