"""The imports of the training interface as the Rust and AssemblyScript SDKs declare them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from read_header import Header, Member, Record

_RUST = {
    "void": "u8",
    "char": "u8",
    "uint8_t": "u8",
    "uint32_t": "u32",
    "uint64_t": "u64",
    "float": "f32",
    "double": "f64",
    "wasmgrad_model": "u32",
    "wasmgrad_dataset": "u32",
    "wasmgrad_trainer": "u32",
}
_RUST_RECORDS = ("wasmgrad_metrics", "wasmgrad_fit_report", "wasmgrad_progress")


def rust_records(header: Header) -> list[str]:
    """What the SDK's users see of the records: those that hold results."""
    return [
        line for record in header.records if record.name in _RUST_RECORDS for line in _rust_record(record)
    ]


def _rust_record(record: Record) -> Iterator[str]:
    yield ""
    yield f"/// {_rust_doc(record.doc)}"
    yield "#[repr(C)]"
    yield "#[derive(Clone, Copy, Debug, Default, PartialEq)]"
    yield f"pub struct {_rust_type(Member(record.name, ''))} {{"
    for field in record.fields:
        yield f"    /// {_rust_doc(field.doc)}"
        yield f"    pub {field.name}: {_rust_type(field)},"
    yield "}"


def _rust_doc(doc: str) -> str:
    """A sentence, with links to what it names."""
    sentence = doc[0].upper() + doc[1:].rstrip(".") + "."
    sentence = re.sub(r"WASMGRAD_(\w+)", lambda found: f"[`crate::Errno::{found[1].capitalize()}`]", sentence)
    return re.sub(
        r"wasmgrad_(trainer_)?(\w+)",
        lambda found: f"[`crate::Trainer::{found[2]}`]" if found[1] else f"[`{found[2].capitalize()}`]",
        sentence,
    )


def rust(header: Header) -> list[str]:
    """The functions of an extern block."""
    return list(_rust(header))


def _rust(header: Header) -> Iterator[str]:
    for function in header.all_functions:
        arguments = ", ".join(f"{p.name}: {_rust_type(p)}" for p in function.parameters)
        yield f"        pub fn {function.name}({arguments}) -> u32;"


def _rust_type(parameter: Member) -> str:
    record = "".join(word.capitalize() for word in parameter.type.removeprefix("wasmgrad_").split("_"))
    name = _RUST.get(parameter.type, record)
    if not parameter.pointer:
        return name
    return f"*const {name}" if parameter.constant else f"*mut {name}"


def assemblyscript(header: Header) -> list[str]:
    """The declarations of the module's functions."""
    return list(_assemblyscript(header))


def _assemblyscript(header: Header) -> Iterator[str]:
    for function in header.all_functions:
        arguments = ", ".join(f"{_camel(p.name)}: {_assemblyscript_type(p)}" for p in function.parameters)
        yield f'@external("{header.module}", "{function.name}")'
        yield f"export declare function {function.name}({arguments}): u32;"


def _assemblyscript_type(parameter: Member) -> str:
    return "usize" if parameter.pointer else _RUST[parameter.type]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
