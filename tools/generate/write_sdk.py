"""The table in the guest SDKs: fields and members of JSON objects, group by group ("" is the outermost)."""

from __future__ import annotations

from read_options import TYPES, Option, Table

_CPP = {
    "number": "double",
    "numbers": "std::vector<double>",
    "texts": "std::vector<std::string>",
    "integer": "std::uint32_t",
    "signed": "std::int32_t",
    "count": "std::uint64_t",
    "boolean": "bool",
    "name": "std::string",
}
_RUST = {
    "number": "f64",
    "numbers": "Vec<f64>",
    "texts": "Vec<String>",
    "integer": "u32",
    "signed": "i32",
    "count": "u64",
    "boolean": "bool",
    "name": "String",
}
_ASSEMBLYSCRIPT = {**_RUST, "numbers": "f64[]", "texts": "string[]", "name": "string"}
_BORROWED = {"numbers": ".as_deref()", "name": ".as_deref()"}
_ASSEMBLYSCRIPT_TEXT = {
    "name": "quoted(value)",
    "numbers": '"[" + value.join(",") + "]"',
    "texts": '"[" + value.map<string>((text) => quoted(text)).join(",") + "]"',
}


def _type(option: Option, names: dict[str, str]) -> str:
    """In the language whose types are `names`."""
    return names[_kind(option)]


def _kind(option: Option) -> str:
    if option.type == "integer" and option.minimum < 0:
        return "signed"
    return option.type if option.type in TYPES else "name"


def _sdk_default(option: Option) -> str:
    if option.type == "boolean":
        return str(option.sdk).lower()
    return f"{option.sdk:.1f}" if option.type == "number" else f"{option.sdk:g}"


def cpp_fields(table: Table, group: str) -> list[str]:
    """Members of a struct."""
    lines = []
    for option in table.of_group(group):
        kind = _type(option, _CPP)
        lines += [f"  /// {line}" for line in _wrapped(option, 102)]
        if option.type == "texts":  # empty is as good as absent
            lines.append(f"  {kind} {option.key} = {{}};")
        elif option.sdk is None:
            lines.append(f"  std::optional<{kind}> {option.key} = {{}};")
        else:
            lines.append(f"  {kind} {option.key} = {_sdk_default(option)};")
    return lines


def cpp_adds(table: Table, group: str) -> list[str]:
    """What puts them into a JsonObject called `object`."""
    return [f'    object.add("{option.key}", {option.key});' for option in table.of_group(group)]


def rust_fields(table: Table, group: str) -> list[str]:
    """Members of a struct."""
    lines = []
    for option in table.of_group(group):
        kind = _type(option, _RUST)
        lines += [f"    /// {line}" for line in _wrapped(option, 102, stop=True)]
        plain = option.sdk is not None or option.type == "texts"  # empty is as good as absent
        lines.append(f"    pub {option.key}: {kind if plain else f'Option<{kind}>'},")
    return lines


def rust_defaults(table: Table, group: str) -> list[str]:
    """Values of members that have one."""
    return [f"            {option.key}: {_sdk_default(option)}," for option in table.of_group(group)]


def rust_adds(table: Table, group: str) -> list[str]:
    """What puts the members of `self` into an `object`."""
    lines = []
    for option in table.of_group(group):
        value = f"self.{option.key}{_BORROWED.get(_kind(option), '')}"
        given = f"Some({value})" if option.sdk is not None else value
        if option.type == "texts":
            given = f"Some({value}.as_slice()).filter(|texts| !texts.is_empty())"
        lines.append(f'        let object = object.add("{option.key}", {given});')
    return lines


def assemblyscript_methods(table: Table, group: str) -> list[str]:
    """A method for each."""
    lines = []
    for option in table.of_group(group):
        words = option.key.split("_")
        name = words[0] + "".join(word.capitalize() for word in words[1:])
        lines += [
            f"  /** {option.sentence}. */",
            f"  {name}(value: {_type(option, _ASSEMBLYSCRIPT)}): this {{",
            f'    this.put("{option.key}", {_ASSEMBLYSCRIPT_TEXT.get(_kind(option), "value.toString()")});',
            "    return this;",
            "  }",
        ]
    return lines


def _wrapped(option: Option, width: int, *, stop: bool = False) -> list[str]:
    lines = [""]
    for word in (option.sentence + ("." if stop else "")).split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
