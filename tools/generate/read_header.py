"""Reads the C header of the training interface, its one definition. It must not know what is written from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "guests/sdk/include/wasmgrad/training_v1.h"

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
_COMMENT = r"/\*(?P<doc>(?:(?!\*/).)*)\*/\s*"


@dataclass(frozen=True)
class Member:
    """A parameter of a function or a field of a record: `const T* name`, or `T name[count]`."""

    type: str
    name: str
    pointer: bool = False
    constant: bool = False
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


def load() -> Header:
    """The header's declarations and comments."""
    text = HEADER.read_text(encoding="utf-8")
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
    found = re.fullmatch(r"(const )?(\w+)(\*?) (\w+)(?:\[(\d+)\])?", declaration.strip())
    assert found is not None, declaration
    return Member(found[2], found[4], bool(found[3]), bool(found[1]), int(found[5] or 1), _prose(doc))


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
