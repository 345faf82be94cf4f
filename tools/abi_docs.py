#!/usr/bin/env python3
"""Writes docs/training-abi.md from the C header of the interface, the table of options and the text around them.

    python tools/abi_docs.py            writes the page
    python tools/abi_docs.py --check    exit code 1 when the page is not what would be written

The header (guests/sdk/include/wasmgrad/training_v1.h) is the one definition of the interface. What it cannot say stands
in tools/training-abi.in.md, where `@name@` marks the place of a generated part.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "options"))
import table as option_table
import text as option_text

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "guests/sdk/include/wasmgrad/training_v1.h"
TEMPLATE = ROOT / "tools/training-abi.in.md"
PAGE = ROOT / "docs/training-abi.md"

# C type -> its core WebAssembly type, and its size in memory, which is its alignment too.
WASM_TYPES = {
    "uint32_t": ("i32", 4),
    "uint64_t": ("i64", 8),
    "double": ("f64", 8),
    "float": ("f32", 4),
    "uint8_t": ("i32", 1),
    "wasmgrad_model": ("i32", 4),
    "wasmgrad_dataset": ("i32", 4),
    "wasmgrad_trainer": ("i32", 4),
}
RESOURCES = ("model", "dataset", "trainer")
_COMMENT = r"/\*(?P<doc>(?:(?!\*/).)*)\*/\s*"


@dataclass(frozen=True)
class Member:
    """A parameter of a function or a field of a record: `const T* name`, or `T name[count]`."""

    type: str
    name: str
    pointer: bool = False
    count: int = 1
    doc: str = ""

    @property
    def wasm_type(self) -> str:
        """Its type as an argument."""
        return "i32" if self.pointer else WASM_TYPES[self.type][0]


@dataclass(frozen=True)
class Function:
    """An import; every result is an errno."""

    name: str
    doc: str
    parameters: tuple[Member, ...]

    @property
    def signature(self) -> str:
        """As core WebAssembly has it."""
        shown = ", ".join(f"{parameter.name}: {parameter.wasm_type}" for parameter in self.parameters)
        return f"{self.name}({shown}) -> i32"


@dataclass(frozen=True)
class Enumeration:
    """Named numbers."""

    name: str
    doc: str
    values: tuple[tuple[str, int, str], ...]  # name, number, what it means


@dataclass(frozen=True)
class Record:
    """A struct in memory."""

    name: str
    doc: str
    fields: tuple[Member, ...]


@dataclass(frozen=True)
class Header:
    """What the header declares."""

    module: str
    rules: tuple[str, ...]
    enumerations: tuple[Enumeration, ...]
    records: tuple[Record, ...]
    functions: tuple[tuple[str, tuple[Function, ...]], ...]  # by section

    @property
    def all_functions(self) -> list[Function]:
        """Of all sections."""
        return [function for _, functions in self.functions for function in functions]

    def layout(self, record: Record) -> tuple[list[int], int, int]:
        """Offsets of the fields, size and alignment, with 32-bit addresses."""
        offsets, end, alignment = [], 0, 1
        for field in record.fields:
            size, align = self._size(field)
            end = -(-end // align) * align
            offsets.append(end)
            end += size * field.count
            alignment = max(alignment, align)
        return offsets, -(-end // alignment) * alignment, alignment

    def _size(self, field: Member) -> tuple[int, int]:
        if field.pointer:
            return 4, 4
        if field.type in WASM_TYPES:
            size = WASM_TYPES[field.type][1]
            return size, size
        _, size, alignment = self.layout(next(r for r in self.records if r.name == field.type))
        return size, alignment


def parse(text: str) -> Header:
    """The header's declarations and comments."""
    module = re.search(r'#define WASMGRAD_TRAINING_MODULE "([^"]+)"', text)
    opening = re.match(r"/\*(.*?)\*/", text, re.DOTALL)
    assert module is not None
    assert opening is not None
    return Header(
        module[1],
        tuple(_rules(opening[1])),
        tuple(_enumerations(text)),
        tuple(_records(text)),
        tuple(_sections(text)),
    )


def _prose(comment: str | None) -> str:
    lines = [line.strip().removeprefix("*").strip() for line in (comment or "").splitlines()]
    return " ".join(line for line in lines if line)


def _rules(comment: str) -> Iterator[str]:
    _, _, rules = comment.partition("Rules that hold for every function:")
    for rule in re.split(r"^ \* - ", rules, flags=re.MULTILINE)[1:]:
        yield _prose(rule)


def _enumerations(text: str) -> Iterator[Enumeration]:
    pattern = rf"(?:{_COMMENT})?typedef enum (?P<name>\w+) \{{(?P<body>.*?)\}} \w+;"
    for found in re.finditer(pattern, text, re.DOTALL):
        values = re.findall(r"(\w+) = (\d+),?[ ]*(?:/\*(.*?)\*/)?", found["body"], re.DOTALL)
        yield Enumeration(
            found["name"],
            _prose(found["doc"]),
            tuple((name, int(number), _prose(doc)) for name, number, doc in values),
        )


def _member(declaration: str, doc: str = "") -> Member:
    found = re.fullmatch(r"(?:const )?(\w+)(\*?) (\w+)(?:\[(\d+)\])?", declaration.strip())
    assert found is not None, declaration
    return Member(found[1], found[3], bool(found[2]), int(found[4] or 1), _prose(doc))


def _records(text: str) -> Iterator[Record]:
    pattern = rf"(?:{_COMMENT})?typedef struct (?P<name>\w+) \{{(?P<body>.*?)\}} \w+;"
    for found in re.finditer(pattern, text, re.DOTALL):
        fields = re.findall(r"([\w* ]+(?:\[\d+\])?);[ ]*(?:/\*(.*?)\*/)?", found["body"], re.DOTALL)
        yield Record(found["name"], _prose(found["doc"]), tuple(_member(*field) for field in fields))


def _sections(text: str) -> Iterator[tuple[str, tuple[Function, ...]]]:
    parts = re.split(r"/\* ---- (\w+) ---- \*/", text)
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        pattern = rf'(?:{_COMMENT})?WASMGRAD_IMPORT\("(?P<name>\w+)"\)\s*uint32_t \w+\((?P<list>.*?)\);'
        yield (
            title,
            tuple(
                Function(
                    found["name"],
                    _prose(found["doc"]),
                    tuple(_member(" ".join(part.split())) for part in found["list"].split(",")),
                )
                for found in re.finditer(pattern, body, re.DOTALL)
            ),
        )


# -- the page ---------------------------------------------------------------------------------------------------------


def wit_name(function: str) -> str:
    """What the WIT package calls a function: `[static]model.load`, `[method]trainer.set-parameters`."""
    resource, _, rest = function.partition("_")
    kind = "static" if rest in ("load", "load_by_name", "create") else "method"
    return f"[{kind}]{resource}.{rest.replace('_', '-')}"


def _lowering(function: str) -> str:
    if function == "last_error":
        return "`error.message`"
    if function.endswith("_close"):
        return f"dropping a `{function.removesuffix('_close')}`"
    return f"`{wit_name(function).partition(']')[2]}`"


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
        f"| {_lowering(function.name)} | `({', '.join(p.wasm_type for p in function.parameters)}) -> i32` "
        f"| `{function.name}` |"
        for function in header.all_functions
    ]
    yield "| WIT | core type | import |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def page() -> str:
    """The page as it should be."""
    header = parse(HEADER.read_text(encoding="utf-8"))
    parts = {
        "module": [f"`{header.module}`"],
        "rules": [f"- {_shown(rule)}\n" for rule in header.rules],
        "functions": _functions_part(header),
        "records": _records_part(header),
        "enumerators": _enumerators_part(header),
        "lowering": _lowering_part(header),
        "options": ["\n".join(option_text.rows(option_table.load()))],
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, lines in parts.items():
        between = "" if name == "rules" else "\n"
        text = text.replace(f"@{name}@", between.join(lines).rstrip("\n"))
    return text


def main() -> int:
    """Write the page, or check it."""
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text(encoding="utf-8") == page():
            return 0
        print(f"{PAGE.relative_to(ROOT)} is not up to date: run python tools/abi_docs.py", file=sys.stderr)
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
