"""cpp/abi/component/training_table.hpp: how each function of the WIT package becomes one of the core interface."""

from __future__ import annotations

from collections.abc import Iterator

import write_wit
from read_header import Function, Header, Member

_OPENING = """\
// Written by `python tools/generate` from guests/sdk/include/wasmgrad/training_v1.h: each function of the
// component's interface, the core function behind it, its flat parameters, and the form of its result.
#pragma once

#include "wasmgrad/abi/component/training_row.hpp"

namespace wasmgrad::abi::component {

// clang-format off
inline constexpr TrainingRow kTrainingRows[] = {"""
_CLOSING = """\
};
// clang-format on

}  // namespace wasmgrad::abi::component"""
_LETTERS = {"i32": "i", "i64": "I", "f64": "d"}
_RESULTS = {
    "_": "kNone",
    "u32": "kNumber",
    "u64": "kWideNumber",
    "metrics": "kMetrics",
    "fit-report": "kFitReport",
    "progress": "kProgress",
    "list<u8>": "kBytes",
    "list<f32>": "kFloats",
    "list<dataset>": "kHandles",
    "tensor": "kTensor",
    "tuple<u32, u32>": "kPair",
}


def header(interface: Header) -> str:
    """The text of the file."""
    return "\n".join([_OPENING, *_rows(interface), _CLOSING]) + "\n"


def _rows(interface: Header) -> Iterator[str]:
    for function in interface.all_functions:
        if name := write_wit.wit_name(function):
            result = write_wit.result_of(interface, function)
            kind = _RESULTS.get(result, "kNumber")  # a handle
            static = "static" if write_wit.is_static(function) else "method"
            letters = "".join(_letters(function))
            yield f'    {{"[{static}]{name}", "{function.name}", "{letters}", TrainingResult::{kind}}},'


def _letters(function: Function) -> Iterator[str]:
    """One for each argument of the core function: F is the address and count of floats, o an option of a handle."""
    given = write_wit.given_of(function)
    for parameter in given:
        if parameter.type == "float" and parameter.pointer:
            yield "F"
        elif write_wit.is_option(function, parameter):
            yield "o"
        elif not _is_length_of_floats(given, parameter):
            yield _LETTERS[parameter.wasm_type]


def _is_length_of_floats(given: list[Member], parameter: Member) -> bool:
    before = given[given.index(parameter) - 1] if given.index(parameter) else None
    return before is not None and before.type == "float" and before.pointer
