"""Reads cpp/training/options/options.toml into records. It must not know what is written from them."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "cpp/training/options/options.toml"

TYPES = ("number", "numbers", "texts", "integer", "count", "boolean")


@dataclass(frozen=True)
class Choice:
    """A type whose values are names."""

    key: str
    type: str
    python: str
    what: str
    values: tuple[tuple[str, str, str], ...]
    """Name, C++ enumerator, what it means; their order is that of the guest ABI's numbers."""
    also: tuple[tuple[str, str], ...]
    """What others call them, and the name here."""

    @property
    def names(self) -> list[str]:
        """As users write them."""
        return [name for name, _, _ in self.values]


@dataclass(frozen=True)
class Option:
    """One row; see the head of the table."""

    name: str
    type: str
    help: str
    json: str | None = None
    flag: str = ""
    default: Any = None
    unset: str = ""
    minimum: float = -math.inf
    maximum: float = math.inf
    above: float | None = None
    below: float | None = None
    settable: bool = False
    sdk: Any = None
    of: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """As a guest writes it; empty where a guest has another way to say it."""
        return self.name if self.json is None else self.json

    @property
    def group(self) -> str:
        """The object of a guest's options that holds it."""
        return self.path.rpartition(".")[0]

    @property
    def key(self) -> str:
        """Its key in that object."""
        return self.path.rpartition(".")[2]

    @property
    def optional(self) -> bool:
        """Whether it may be without a value."""
        return self.default is None

    @property
    def sentence(self) -> str:
        """The help and what it counts for."""
        return self.help + (f" ({', '.join(self.of)})" if self.of else "")

    @property
    def range(self) -> str:
        """What values are allowed, to complete "it must be"; empty for all of its type."""
        if self.type not in ("number", "numbers", "integer"):
            return ""
        if self.above is not None and self.below is not None:
            return f"above {self.above:g} and below {self.below:g}"
        if self.above is not None:
            return f"a finite number above {self.above:g}"
        if self.below is not None:
            return f"at least {self.minimum:g} and below {self.below:g}"
        if self.maximum != math.inf:
            return f"at least {self.minimum:g} and at most {self.maximum:.0f}"
        if self.minimum == -math.inf:
            return "a finite number" if self.type == "number" else ""
        return f"{'' if self.type == 'integer' else 'a finite number of '}at least {self.minimum:g}"


@dataclass(frozen=True)
class Table:
    """All of it."""

    choices: dict[str, Choice]
    options: tuple[Option, ...]

    @cached_property
    def groups(self) -> list[str]:
        """Objects of a guest's options, in order."""
        return list(dict.fromkeys(option.group for option in self.options if option.group))

    def of_group(self, group: str) -> list[Option]:
        """What stands in one object of a guest's options, its name and the loss apart; "" is the outermost."""
        return [o for o in self.options if o.path and o.group == group and not self.is_read_by_hand(o)]

    def is_read_by_hand(self, option: Option) -> bool:
        """Whether a guest may write an object in its place: a name with options of its own, and the loss."""
        return option.type in self.choices and (option.key == "name" or option.type == "loss")


def load() -> Table:
    """The table. Errors: `ValueError` naming the row that breaks its rules."""
    data = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    choices = {
        key: Choice(
            key,
            row["type"],
            row["python"],
            row["what"],
            tuple((value[0], value[1], value[2] if len(value) > 2 else "") for value in row["values"]),
            tuple((other, name) for other, name in row.get("also", ())),
        )
        for key, row in data["choices"].items()
    }
    options = tuple(Option(**{**row, "of": tuple(row.get("of", ()))}) for row in data["option"])
    for option in options:
        _check(option, choices)
    for choice in choices.values():
        for other, name in choice.also:
            if name not in choice.names or other in choice.names:
                raise ValueError(f"{TABLE.name}: {choice.key}: {other} is not another name of {name}")
    return Table(choices, options)


def _check(option: Option, choices: dict[str, Choice]) -> None:
    def require(holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"{TABLE.name}: {option.name}: {rule}")

    require(option.type in TYPES or option.type in choices, f"unknown type {option.type}")
    require(option.optional == bool(option.unset), "needs a default, or `unset` that says what holds without")
    require(not option.help.endswith("."), "help is a sentence without its full stop")
    require(option.type not in ("numbers", "texts") or option.optional, "a list has no default")
    require(not option.settable or option.type == "number", "only numbers are settable")
    if option.type in choices:
        require(option.default in choices[option.type].names, "the default is none of its names")
