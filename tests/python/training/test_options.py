"""Python's lists of options and limits are those of the core."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from wasmgrad import Limits
from wasmgrad._training.options import set_options

ROOT = Path(__file__).resolve().parents[3]
CPP = ROOT / "cpp"


def test_limits_are_those_of_the_run_configuration() -> None:
    text = (CPP / "runner/run_config.hpp").read_text()
    body = re.search(r"struct Limits \{(.*?)\n\};", text, re.DOTALL)
    assert body is not None
    values: dict[str, float] = {}
    for name, value in re.findall(r"(\w+) = ([^;]+);", body[1]):
        number = re.sub(r"std::uint64_t\{(\d+)\}", r"\1", value)
        base, _, shift = number.partition(" << ")
        values[name] = float(base) * 2 ** int(shift or 0)
    assert asdict(Limits()) == values


def test_options_without_value_are_left_to_the_guest() -> None:
    assert set_options({"epochs": 3, "seed": None, "nesterov": False}) == {"epochs": 3, "nesterov": False}


def test_open_files_have_their_old_name_for_one_release() -> None:
    with pytest.warns(FutureWarning, match="handles is now open_files"):
        limits = Limits(handles=9)
    assert limits == Limits(open_files=9)
    assert limits.handles == 9
