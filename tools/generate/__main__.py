"""Writes what depends on the table of options and on the C header of the interface: `python tools/generate [--check]`.

`--check` writes nothing and ends with exit code 1 when a file is not what would be written. Whole files are generated
where nothing else stands in them; in others the lines between `[generated: NAME]` and `[/generated]` are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import read_header
import read_options
import write_component
import write_cpp
import write_imports
import write_page
import write_python
import write_sdk
import write_text
import write_types
import write_wit
from read_header import Header
from read_options import ROOT, Table

Region = Callable[[], list[str]]

_REGION = re.compile(
    r"(?P<open>^[^\n]*\[generated: (?P<name>[\w. ]+)\][^\n]*\n)(?P<body>.*?)(?P<close>^[^\n]*\[/generated\])",
    re.M | re.S,
)


def whole_files(table: Table, header: Header) -> dict[str, str]:
    """Path -> text."""
    return {
        "docs/training-abi.md": write_page.page(header, table),
        "guests/sdk/javascript/wasmgrad/training.d.ts": write_types.typescript(header),
        "guests/sdk/python/typings/wit_world/imports/training.pyi": write_types.python(header),
        "guests/sdk/wit/training.wit": write_wit.package(header),
        "cpp/abi/component/training_table.hpp": write_component.header(header),
        "cpp/training/options/option_table.hpp": write_cpp.header(table),
        "python/wasmgrad/_training/option_table.py": write_python.module(table),
        "tests/conformance/option_cases.h": write_text.conformance(table),
    }


def regions(table: Table, header: Header) -> dict[str, dict[str, Region]]:
    """Path -> name of the region -> its lines."""
    groups = ["", *table.groups]
    return {
        "cpp/training/options/options.hpp": {
            "enumerations": lambda: write_cpp.enumerations(table),
            "settings": lambda: write_cpp.settings(table),
            **{
                f"fields {g or 'trainer'}": lambda g=g: write_cpp.members(table, g)
                for g in ("", "optimizer", "schedule")
            },
        },
        "cpp/training/options/overrides.hpp": {"fields": lambda: write_cpp.overrides(table)},
        "python/wasmgrad/_training/options.py": {
            "literals": lambda: write_python.literals(table),
            "members": lambda: write_python.members(table),
        },
        "guests/sdk/include/wasmgrad/trainer_options.hpp": {
            **{f"fields {g or 'trainer'}": lambda g=g: write_sdk.cpp_fields(table, g) for g in groups},
            **{f"members {g or 'trainer'}": lambda g=g: write_sdk.cpp_adds(table, g) for g in groups},
        },
        "guests/sdk/rust/src/options.rs": {
            "defaults early_stopping": lambda: write_sdk.rust_defaults(table, "early_stopping"),
            **{f"fields {g or 'trainer'}": lambda g=g: write_sdk.rust_fields(table, g) for g in groups},
            **{f"members {g or 'trainer'}": lambda g=g: write_sdk.rust_adds(table, g) for g in groups},
        },
        "guests/sdk/assemblyscript/wasmgrad/options.ts": {
            f"methods {g or 'trainer'}": lambda g=g: write_sdk.assemblyscript_methods(table, g)
            for g in groups
            if g != "early_stopping"  # whose constructor takes them
        },
        "guests/sdk/rust/src/sys.rs": {
            "records": lambda: write_imports.rust_records(header),
            "imports": lambda: write_imports.rust(header),
        },
        "guests/sdk/assemblyscript/wasmgrad/sys.ts": {
            "imports": lambda: write_imports.assemblyscript(header)
        },
    }


def written() -> Iterator[tuple[Path, str]]:
    """Every file, with the text that it should have."""
    table, header = read_options.load(), read_header.load()
    for path, contents in whole_files(table, header).items():
        yield ROOT / path, contents
    for path, parts in regions(table, header).items():
        yield ROOT / path, _filled(ROOT / path, parts)


def _filled(path: Path, parts: dict[str, Region]) -> str:
    left = dict(parts)

    def fill(found: re.Match[str]) -> str:
        lines = left.pop(found["name"])()
        return found["open"] + "".join(f"{line}\n" for line in lines) + found["close"]

    filled = _REGION.sub(fill, path.read_text(encoding="utf-8"))
    if left:
        raise ValueError(f"{path.relative_to(ROOT)}: has no region {', '.join(left)}")
    return filled


def main() -> int:
    """Write the files, or check them."""
    check = sys.argv[1:] == ["--check"]
    stale = [(p, c) for p, c in written() if not p.exists() or p.read_text(encoding="utf-8") != c]
    for path, contents in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is not up to date: run python tools/generate", file=sys.stderr)
        else:
            path.write_text(contents, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
