"""docs/training-abi.md: the C header, the table of options, and the text around them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import write_text
from read_header import ROOT, Function, Header, Member
from read_options import Table
from write_wit import wit_name

# What the header cannot say. `@name@` marks the place of a generated part.
TEMPLATE = ROOT / "tools/generate/training-abi.in.md"


def _lowering(function: Function) -> str:
    if function.name == "last_error":
        return "`error.message`"
    if name := wit_name(function):
        return f"`{name}`"
    return f"dropping a `{function.name.removesuffix('_close')}`"


def _functions_part(header: Header) -> Iterator[str]:
    for title, functions in header.functions:
        yield f"### {title}\n"
        for function in functions:
            yield f"#### `{function.name}`\n"
            yield f"```text\n{function.signature}\n```\n"
            if function.doc:
                yield f"{_shown(function.doc)}\n"


def _shown(doc: str) -> str:
    """A comment as Markdown."""
    doc = re.sub(r"docs/training-abi\.md#(\w+)", r"[\1](#\1)", doc)
    return re.sub(r"(?<!`)\b((?:WASMGRAD|wasmgrad)_\w+)", r"`\1`", doc)


def _type_shown(field: Member) -> str:
    name = "address" if field.pointer else field.type.removeprefix("wasmgrad_").removesuffix("_t")
    return name if field.count == 1 else f"{name}[{field.count}]"


def _records_part(header: Header) -> Iterator[str]:
    for record in header.records:
        offsets, size, _ = header.layout(record)
        yield f"### `{record.name}`\n"
        if record.doc:
            yield f"{_shown(record.doc)}\n"
        rows = [
            f"| {offset} | `{field.name}` | {_type_shown(field)} | {_shown(field.doc)} |"
            for offset, field in zip(offsets, record.fields, strict=True)
        ]
        yield "| offset | field | type | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
        yield f"{size} bytes.\n"


def _enumerators_part(header: Header) -> Iterator[str]:
    for enumeration in header.enumerations:
        yield f"### `{enumeration.name}`\n"
        if enumeration.doc:
            yield f"{_shown(enumeration.doc)}\n"
        rows = [f"| {number} | `{name}` | {_shown(doc)} |" for name, number, doc in enumeration.values]
        yield "| value | name | |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _lowering_part(header: Header) -> Iterator[str]:
    rows = [
        f"| {_lowering(function)} | `({', '.join(p.wasm_type for p in function.parameters)}) -> i32` "
        f"| `{function.name}` |"
        for function in header.all_functions
    ]
    yield "| WIT | core type | import |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def page(header: Header, table: Table) -> str:
    """The page as it should be."""
    parts = {
        "module": [f"`{header.module}`"],
        "rules": [f"- {_shown(rule)}\n" for rule in header.rules],
        "functions": _functions_part(header),
        "records": _records_part(header),
        "enumerators": _enumerators_part(header),
        "lowering": _lowering_part(header),
        "options": ["\n".join(write_text.rows(table))],
    }
    written = TEMPLATE.read_text(encoding="utf-8")
    for name, lines in parts.items():
        between = "" if name == "rules" else "\n"
        written = written.replace(f"@{name}@", between.join(lines).rstrip("\n"))
    return written
