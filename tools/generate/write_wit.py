"""guests/sdk/wit/training.wit: what the C header declares, by the rules of docs/training-abi.md#lowering-from-wit."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from read_header import Enumeration, Function, Header, Member, Record

_OPENING = """\
Models, datasets and trainers that live on the host, and the calls that let a guest own its training loop.

Written by `python tools/generate` from guests/sdk/include/wasmgrad/training_v1.h, with its comments. Its functions
are what these lower to in core WebAssembly: docs/training-abi.md has the rules."""
_TYPES = {
    "void": "u8",
    "uint8_t": "u8",
    "uint32_t": "u32",
    "uint64_t": "u64",
    "float": "f32",
    "double": "f64",
}
_KEYWORDS = {"export", "f32", "f64", "type", "u8"}  # of WIT, among our names


def wit_name(function: Function) -> str:
    """What it is called: `trainer.set-parameters`, or "" for what closes a handle or reads the error."""
    resource, _, rest = function.name.partition("_")
    return "" if function.name == "last_error" or rest == "close" else f"{resource}.{_kebab(rest)}"


def package(header: Header) -> str:
    """The text of the file."""
    return "".join(line.rstrip() + "\n" for line in _package(header))


def _package(header: Header) -> Iterator[str]:
    yield from _comment(_OPENING)
    yield f"package {header.module}.0;"
    yield ""
    yield "interface training {"
    for enumeration in header.enumerations:
        yield from _indented(_enumeration(enumeration))
        yield ""
    error = ["code: errno,", "/// One sentence for a person.", "message: string,"]
    yield from _indented(["record error {", *_indented(error), "}"])
    for record in header.records:
        if record.name != "wasmgrad_output_info":  # with the bytes behind it, a tensor
            yield ""
            yield from _indented(_record(header, record))
    named = [function for function in header.all_functions if wit_name(function)]
    for resource, functions in groupby(named, lambda function: function.name.partition("_")[0]):
        yield ""
        yield from _indented(_resource(header, resource, list(functions)))
    yield "}"
    yield ""
    yield from _comment("What a guest that trains imports.")
    yield "world guest {"
    yield "    import training;"
    yield "}"


def cases_of(enumeration: Enumeration) -> Iterator[tuple[str, str]]:
    """Name and comment of each case. Success is no case of `errno`, but the other case of each result."""
    kind = enumeration.name.rpartition("_")[2].upper()
    for name, _, doc in enumeration.values:
        if name != "WASMGRAD_SUCCESS":
            yield _kebab(name.removeprefix("WASMGRAD_").removeprefix(f"{kind}_").lower()), doc


def fields_of(header: Header, record: Record) -> Iterator[tuple[str, str, str]]:
    """Name, type and comment of each field."""
    for field in _without_lengths(record.fields):
        doc = field.doc.removeprefix("1: ")
        kind = "bool" if doc != field.doc else _type(header, field)
        yield field.name, kind, "" if doc in {e.name for e in header.enumerations} else doc


def _enumeration(enumeration: Enumeration) -> Iterator[str]:
    yield from _comment(_shown(enumeration.doc))
    yield f"enum {type_name(enumeration.name)} {{"
    for case, doc in cases_of(enumeration):
        yield from _indented(_comment(_shown(doc)))
        yield f"    {_identifier(case)},"
    yield "}"


def _record(header: Header, record: Record) -> Iterator[str]:
    yield from _comment(_shown(record.doc))
    yield f"record {type_name(record.name)} {{"
    for name, kind, doc in fields_of(header, record):
        yield from _indented(_comment(_shown(doc)))
        yield f"    {_identifier(name)}: {kind},"
    yield "}"


def _resource(header: Header, resource: str, functions: Sequence[Function]) -> Iterator[str]:
    yield f"resource {resource} {{"
    for number, function in enumerate(functions):
        if number:
            yield ""
        yield from _indented(_comment(_shown(function.doc)))
        name = _identifier(wit_name(function).partition(".")[2])
        yield f"    {name}: {_signature(header, function)};"
    yield "}"


def _signature(header: Header, function: Function) -> str:
    arguments = ", ".join(f"{_identifier(name)}: {kind}" for name, kind in arguments_of(header, function))
    start = "static func" if is_static(function) else "func"
    return f"{start}({arguments}) -> result<{result_of(header, function)}, error>"


def arguments_of(header: Header, function: Function) -> Iterator[tuple[str, str]]:
    """Name and type of each, without the handle of a method."""
    for parameter in _without_lengths(given_of(function)[not is_static(function) :]):
        yield parameter.name, _argument(header, function, parameter)


def is_static(function: Function) -> bool:
    """Whether it is no method of a handle."""
    first = function.parameters[0]
    return first.pointer or first.type != f"wasmgrad_{function.name.partition('_')[0]}"


def given_of(function: Function) -> list[Member]:
    """What the guest passes, a handle first. Constant addresses are arguments; at the others the result is stored."""
    given = [p for p in function.parameters if p.constant or not p.pointer]
    sized = any(p.name == "written" for p in function.parameters)
    return [p for p in given if not (sized and p.name == "buffer_bytes")]


def result_of(header: Header, function: Function) -> str:
    """The type of what it gives when it succeeds."""
    return _result(header, [p for p in function.parameters if p.pointer and not p.constant])


def is_option(function: Function, parameter: Member) -> bool:
    """Whether a handle may be left out."""
    return f"`{parameter.name}` (0: none)" in function.doc


def _argument(header: Header, function: Function, parameter: Member) -> str:
    handle = _is_handle(header, parameter)
    shown = f"borrow<{_type(header, parameter)}>" if handle else _type(header, parameter)
    return f"option<{shown}>" if is_option(function, parameter) else shown


def _result(header: Header, results: Sequence[Member]) -> str:
    if not results:
        return "_"
    first = results[0]
    if first.type == "wasmgrad_output_info":
        return "tensor"
    if len(results) > 1 and results[-1].name != "written":
        return f"tuple<{', '.join(_element(result) for result in results)}>"
    # A handle is called by its type; several are called what they are.
    many = _is_handle(header, first) and first.name != first.type.removeprefix("wasmgrad_")
    is_list = many or results[-1].name == "written"
    return f"list<{_element(first)}>" if is_list else _element(first)


def _without_lengths(members: Sequence[Member]) -> Iterator[Member]:
    """A list or a string is an address and the length behind it."""
    length = False
    for member in members:
        if not length:
            yield member
        length = member.pointer and not length


def _is_handle(header: Header, member: Member) -> bool:
    return member.type.startswith("wasmgrad_") and member.type not in {r.name for r in header.records}


def _type(header: Header, member: Member) -> str:
    if member.pointer:
        return "string" if member.type == "char" else f"list<{_element(member)}>"
    for enumeration in header.enumerations:
        if member.doc == enumeration.name or enumeration.name.endswith(f"_{member.name}"):
            return type_name(enumeration.name)
    return _element(member)


def _element(member: Member) -> str:
    return _TYPES.get(member.type) or type_name(member.type)


def type_name(name: str) -> str:
    """What a type of the header is called."""
    return _kebab(name.removeprefix("wasmgrad_").removesuffix("_record"))


def _kebab(name: str) -> str:
    return name.replace("_", "-")


def _identifier(name: str) -> str:
    return f"%{name}" if name in _KEYWORDS else _kebab(name)


def _shown(doc: str) -> str:
    """A comment of the header, with the names that things have here."""
    resources = "model|dataset|trainer"
    doc = re.sub(r"\bWASMGRAD_([A-Z_]+)\b", lambda found: f"`{_kebab(found[1].lower())}`", doc)
    doc = re.sub(rf"\b(?:wasmgrad_)?({resources})_(\w+)", lambda f: f"`{f[1]}.{_kebab(f[2])}`", doc)
    return re.sub(r"\bwasmgrad_(\w+)\b", lambda found: f"`{type_name(found[1])}`", doc)


def wrapped(text: str, width: int) -> list[str]:
    """A comment of the header in lines, with the names that things have here."""
    return _lines(_shown(text), width)


def _lines(text: str, width: int) -> list[str]:
    return "\n\n".join(textwrap.fill(paragraph, width) for paragraph in text.split("\n\n")).splitlines()


def _comment(text: str) -> Iterator[str]:
    for line in _lines(text, 106):
        yield f"/// {line}"


def _indented(lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield f"    {line}" if line else ""
