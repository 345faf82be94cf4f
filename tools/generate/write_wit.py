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


def _enumeration(enumeration: Enumeration) -> Iterator[str]:
    """Success is no case of `errno`, but the other case of each result."""
    kind = enumeration.name.rpartition("_")[2].upper()
    yield from _comment(_shown(enumeration.doc))
    yield f"enum {_type_name(enumeration.name)} {{"
    for name, _, doc in enumeration.values:
        if name != "WASMGRAD_SUCCESS":
            yield from _indented(_comment(_shown(doc)))
            short = name.removeprefix("WASMGRAD_").removeprefix(f"{kind}_")
            yield f"    {_identifier(short.lower())},"
    yield "}"


def _record(header: Header, record: Record) -> Iterator[str]:
    yield from _comment(_shown(record.doc))
    yield f"record {_type_name(record.name)} {{"
    for field in _without_lengths(record.fields):
        doc = field.doc.removeprefix("1: ")
        kind = "bool" if doc != field.doc else _type(header, field)
        if doc not in {e.name for e in header.enumerations}:
            yield from _indented(_comment(_shown(doc)))
        yield f"    {_identifier(field.name)}: {kind},"
    yield "}"


def _resource(header: Header, resource: str, functions: Sequence[Function]) -> Iterator[str]:
    yield f"resource {resource} {{"
    for number, function in enumerate(functions):
        if number:
            yield ""
        yield from _indented(_comment(_shown(function.doc)))
        name = _identifier(wit_name(function).partition(".")[2])
        yield f"    {name}: {_signature(header, resource, function)};"
    yield "}"


def _signature(header: Header, resource: str, function: Function) -> str:
    """Constant addresses are arguments; at the others the result is stored."""
    first = function.parameters[0]
    method = first.type == f"wasmgrad_{resource}" and not first.pointer
    given = [p for p in function.parameters[method:] if p.constant or not p.pointer]
    results = [p for p in function.parameters if p.pointer and not p.constant]
    if any(p.name == "written" for p in results):
        given = [p for p in given if p.name != "buffer_bytes"]
    arguments = ", ".join(
        f"{_identifier(p.name)}: {_argument(header, function, p)}" for p in _without_lengths(given)
    )
    return f"{'' if method else 'static '}func({arguments}) -> result<{_result(header, results)}, error>"


def _argument(header: Header, function: Function, parameter: Member) -> str:
    handle = _is_handle(header, parameter)
    shown = f"borrow<{_type(header, parameter)}>" if handle else _type(header, parameter)
    return f"option<{shown}>" if f"`{parameter.name}` (0: none)" in function.doc else shown


def _result(header: Header, results: Sequence[Member]) -> str:
    if not results:
        return "_"
    first = results[0]
    if first.type == "wasmgrad_output_info":
        return "tensor"
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
            return _type_name(enumeration.name)
    return _element(member)


def _element(member: Member) -> str:
    return _TYPES.get(member.type) or _type_name(member.type)


def _type_name(name: str) -> str:
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
    return re.sub(r"\bwasmgrad_(\w+)\b", lambda found: f"`{_type_name(found[1])}`", doc)


def _comment(text: str) -> Iterator[str]:
    wrapped = "\n\n".join(textwrap.fill(paragraph, 106) for paragraph in text.split("\n\n"))
    for line in wrapped.splitlines():
        yield f"/// {line}"


def _indented(lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield f"    {line}" if line else ""
