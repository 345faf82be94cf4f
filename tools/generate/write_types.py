"""The training interface for editors and type checkers of guests in JavaScript (.d.ts) and Python (.pyi).

The names are those that componentize-qjs and componentize-py give to what the WIT package declares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

import write_wit
from read_header import Enumeration, Function, Header, Record

_TYPESCRIPT = {
    "string": "string",
    "bool": "boolean",
    "list<u8>": "Uint8Array",
    **dict.fromkeys(("u8", "u32", "u64", "f32", "f64"), "number"),
}
_PYTHON = {
    "string": "str",
    "bool": "bool",
    "list<u8>": "bytes",
    "_": "None",
    **dict.fromkeys(("u8", "u32", "u64"), "int"),
    **dict.fromkeys(("f32", "f64"), "float"),
}
_ERROR = Record("wasmgrad_error", "Why a call failed, and one sentence for a person.", ())
_ERROR_FIELDS = [("code", "errno"), ("message", "string")]


def _shown(wit: str, names: dict[str, str], listed: str, optional: str) -> str:
    """A type of WIT in another language."""
    if wit in names:
        return names[wit]
    if found := re.fullmatch(r"(list|option|borrow|tuple)<(.*)>", wit):
        inner = [_shown(part, names, listed, optional) for part in found[2].split(", ")]
        form = {"list": listed, "option": optional, "borrow": "{}", "tuple": ""}[found[1]]
        if form:
            return form.format(inner[0])
        return f"[{', '.join(inner)}]" if names is _TYPESCRIPT else f"tuple[{', '.join(inner)}]"
    return "".join(word.capitalize() for word in wit.split("-"))


def _typescript(wit: str) -> str:
    return "void" if wit == "_" else _shown(wit, _TYPESCRIPT, "{}[]", "{} | null")


def _python(wit: str) -> str:
    return _shown(wit, _PYTHON, "list[{}]", "{} | None")


def _camel(name: str) -> str:
    first, *rest = re.split("[-_]", name)
    return first + "".join(word.capitalize() for word in rest)


def _resources(header: Header) -> Iterator[tuple[str, list[Function]]]:
    named = [function for function in header.all_functions if write_wit.wit_name(function)]
    for resource, functions in groupby(named, lambda function: function.name.partition("_")[0]):
        yield resource, list(functions)


def _records(header: Header) -> Iterator[tuple[Record, list[tuple[str, str, str]]]]:
    """Each with name, type and comment of its fields."""
    yield _ERROR, [(name, kind, "") for name, kind in _ERROR_FIELDS]
    for record in header.records:
        if record.name != "wasmgrad_output_info":
            yield record, list(write_wit.fields_of(header, record))


def _method(function: Function) -> str:
    return write_wit.wit_name(function).partition(".")[2]


def typescript(header: Header) -> str:
    """guests/sdk/javascript/wasmgrad/training.d.ts."""
    lines = [
        "// Written by `python tools/generate` from guests/sdk/include/wasmgrad/training_v1.h.",
        "",
        "/** Functions throw an Error whose `payload` is a {@link Error_}: its `code` and its `message`. */",
        f"declare module '{header.module.replace('@0.1', '/training@0.1.0')}' {{",
    ]
    for enumeration in header.enumerations:
        cases = " | ".join(f"'{case}'" for case, _ in write_wit.cases_of(enumeration))
        lines += _doc(enumeration.doc, "  ")
        lines.append(f"  export type {_name(enumeration)} = {cases};")
    for record, fields in _records(header):
        lines += _doc(record.doc, "  ")
        lines.append(f"  export interface {_escaped(_name(record))} {{")
        for name, kind, doc in fields:
            lines += _doc(doc, "    ")
            lines.append(f"    {_camel(name)}: {_typescript(kind)};")
        lines.append("  }")
    for resource, functions in _resources(header):
        lines.append(f"  export class {resource.capitalize()} {{")
        lines.append("    private constructor();")
        for function in functions:
            lines += _doc(function.doc, "    ")
            static = "static " if write_wit.is_static(function) else ""
            arguments = ", ".join(
                f"{_camel(name)}: {_typescript(kind)}"
                for name, kind in write_wit.arguments_of(header, function)
            )
            result = _typescript(write_wit.result_of(header, function))
            lines.append(f"    {static}{_camel(_method(function))}({arguments}): {result};")
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def _escaped(name: str) -> str:
    return "Error_" if name == "Error" else name


def python(header: Header) -> str:
    """guests/sdk/python/typings/wit_world/imports/training.pyi."""
    lines = [
        "# Written by `python tools/generate` from guests/sdk/include/wasmgrad/training_v1.h.",
        "# Functions raise componentize_py_types.Err, whose `value` is an Error.",
        "from dataclasses import dataclass",
        "from enum import Enum",
        "from typing import Self",
        "",
    ]
    for enumeration in header.enumerations:
        lines += [f"class {_name(enumeration)}(Enum):", *_docstring(enumeration.doc)]
        cases = enumerate(write_wit.cases_of(enumeration))
        lines += [f"    {case.upper().replace('-', '_')} = {number}" for number, (case, _) in cases]
        lines.append("")
    for record, fields in _records(header):
        lines += ["@dataclass", f"class {_name(record)}:", *_docstring(record.doc)]
        lines += [f"    {name.replace('-', '_')}: {_python(kind)}" for name, kind, _ in fields]
        lines.append("")
    for resource, functions in _resources(header):
        lines.append(f"class {resource.capitalize()}:")
        for function in functions:
            lines += _python_method(header, resource, function)
        lines.append("")
    return "\n".join(lines)


def _python_method(header: Header, resource: str, function: Function) -> Iterator[str]:
    static = write_wit.is_static(function)
    given = [
        f"{name.replace('-', '_')}: {_python(kind)}"
        for name, kind in write_wit.arguments_of(header, function)
    ]
    result = _python(write_wit.result_of(header, function))
    if result == resource.capitalize():
        result = "Self"
    if static:
        yield "    @classmethod"
    arguments = ", ".join(["cls" if static else "self", *given])
    yield f"    def {_method(function).replace('-', '_')}({arguments}) -> {result}:"
    yield from _docstring(function.doc, "        ")
    yield "        ..."


def _name(declared: Enumeration | Record) -> str:
    return _shown(write_wit.type_name(declared.name), {}, "", "")


def _doc(text: str, indent: str) -> Iterator[str]:
    if text:
        yield from _wrapped(text, indent, "/** ", " * ", " */")


def _docstring(text: str, indent: str = "    ") -> Iterator[str]:
    if text:
        yield from _wrapped(text, indent, '"""', "", '"""')


def _wrapped(text: str, indent: str, opening: str, middle: str, closing: str) -> Iterator[str]:
    lines = write_wit.wrapped(text, 106 - len(indent))
    for number, line in enumerate(lines):
        start = opening if number == 0 else middle
        yield f"{indent}{start}{line}{closing if number == len(lines) - 1 else ''}".rstrip()
