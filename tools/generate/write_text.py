"""The table in the docs and in the conformance suite."""

from __future__ import annotations

import math

from read_options import Option, Table
from write_cpp import default_text


def rows(table: Table) -> list[str]:
    """The rows of the guest's options in docs/training-abi.md."""
    lines = []
    for option in table.options:
        if not option.path:
            continue
        if option.type in table.choices and not table.is_read_by_hand(option):
            names = ", ".join(f"`{name}`" for name in table.choices[option.type].names)
            lines.append(f'| `{option.path}` | name | `"{option.default}"` | | {option.help}: {names} |')
        elif option.type in table.choices:
            names = ", ".join(f"`{name}`" for name in table.choices[option.type].names)
            key = option.group or option.name
            value = "name, or object with `name`" if option.group else "name, or object of outputs"
            lines.append(f'| `{key}` | {value} | `"{option.default}"` | | {option.help}: {names} |')
        else:
            changes = "yes" if option.settable else ""
            lines.append(
                f"| `{option.path}` | {_value(option)} | {default_text(option)} | {changes} | {option.sentence} |"
            )
    return lines


def _value(option: Option) -> str:
    if option.type == "boolean":
        return "boolean"
    if option.type == "count":
        return "integer, 0 to 2^64 - 1"
    kind = {"numbers": "list of numbers", "texts": "list of texts"}.get(option.type, option.type)
    if option.type == "integer" and option.minimum == -math.inf:
        return kind
    if option.above is not None and option.below is not None:
        return f"{kind} above {option.above:g} and below {option.below:g}"
    if option.above is not None:
        return f"{kind} above {option.above:g}"
    if option.below is not None:
        return f"{kind} in {option.minimum:g} ≤ x < {option.below:g}"
    if option.maximum != math.inf:
        return f"{kind}, {option.minimum:g} to {option.maximum:.0f}"
    return kind if option.minimum == -math.inf else f"{kind}, at least {option.minimum:g}"


def conformance(table: Table) -> str:
    """The whole of tests/conformance/option_cases.h: values at the edges of every range, and just outside."""
    taken, refused = [], []
    for option in table.options:
        if option.path:
            good, bad = _cases(table, option)
            taken += [_json(option, value) for value in good]
            refused += [_json(option, value) for value in bad]
    names = [option.name for option in table.options if option.settable]
    return "\n".join(
        [
            "/* Options at the edges of their ranges and outside, written by `python tools/generate`. */",
            "#pragma once",
            "",
            "/* clang-format off */",
            "static const char* const kOptionsInRange[] = {",
            *(f'    "{text}",' for text in taken),
            "};",
            "static const char* const kOptionsOutOfRange[] = {",
            *(f'    "{text}",' for text in refused),
            "};",
            "static const char* const kSettings[] = {",
            *(f'    "{name}",' for name in names),
            "};",
            "/* clang-format on */",
            "",
        ]
    )


def _cases(table: Table, option: Option) -> tuple[list[str], list[str]]:
    if option.type in table.choices:
        return [f"'{name}'" for name in table.choices[option.type].names], ["'none of them'", "7", "true"]
    if option.type == "boolean":
        return ["false"], ["1", "'true'"]
    if option.type == "numbers":
        return ["null", f"[{option.minimum + 1:g},{option.minimum:g}]"], [
            "1",
            f"[{option.minimum - 1:g}]",
            "['1']",
        ]
    if option.type == "texts":
        return ["null", "[]"], ["1", "'a'", "[1]"]
    good, bad = ["null"], ["'1'", "true"]
    if not option.optional:
        good.append(f"{option.default:g}")
    if option.type in ("integer", "count"):
        bad += ["1.5", "-1"] if option.minimum >= 0 or option.type == "count" else ["1.5"]
    if option.above is not None:
        good.append(f"{option.above + 0.5:g}")
        bad.append(f"{option.above:g}")
    elif option.minimum != -math.inf:
        good.append(f"{option.minimum:g}")
        bad.append(f"{option.minimum - 1:g}")
    if option.below is not None:
        bad.append(f"{option.below:g}")
    if option.maximum != math.inf:
        bad.append(f"{option.maximum + 1:.0f}")
    return list(dict.fromkeys(good)), list(dict.fromkeys(bad))


def _json(option: Option, value: str) -> str:
    inner = f"{{'{option.key}':{value}}}"
    return f"{{'{option.group}':{inner}}}" if option.group else inner
