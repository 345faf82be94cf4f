"""Schedules of generated kernels that a search has found: where they are kept, and how they are applied.

Those of the user's cache go before those of the package. A schedule is a trace of TVM's, which can change how a
kernel computes but not what. It must not know how schedules are found.
"""

from __future__ import annotations

import functools
import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir

from ..._errors import InvalidEncoding, RuntimeFailure
from ..._files import cache_dir, write_atomic

__all__ = ["SHIPPED", "Schedule", "alone", "apply", "find", "keep", "key_of", "scheduled"]

SHIPPED = Path(__file__).with_name("schedules.json")
_VERSION = 1  # of how generated kernels are called and compiled: schedules of another are not found


@dataclass(frozen=True)
class Schedule:
    """The best of so many `candidates` for a kernel; `trace` is None when none beat TVM's own schedule.

    `kernel` and `speedup` (over TVM's own) are for people.
    """

    kernel: str
    candidates: int
    speedup: float
    trace: list[Any] | None


def key_of(function: Any, target: Any) -> str:
    """What a kernel's schedule is kept under: a hash of what it computes, for what, and with which TVM."""
    blocks: list[str] = []

    def name(block: Any, visitor: Any) -> None:
        blocks.append(str(block.name_hint))
        visitor.default_visit(block)

    tvm_ffi.structural_visit(function.body, [(s_tir.SBlock, name)])
    structure = tvm_ffi.structural_hash(function.without_attr("global_symbol"))
    text = f"{_VERSION} {tvm.__version__} {structure} {' '.join(blocks)} {target}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def find(key: str) -> Schedule | None:
    """The schedule that is known for a kernel. An entry that is damaged is as good as none, and warned of."""
    path = _path(key)
    try:
        if path.is_file():
            return _read(json.loads(path.read_bytes()), f"{path}")
        entry = _shipped().get(key)
        return None if entry is None else _read(entry, f"{SHIPPED}: {key}")
    except (OSError, ValueError) as error:
        warnings.warn(f"{path}: this schedule cannot be read and is ignored: {error}", stacklevel=2)
        return None


def keep(key: str, schedule: Schedule) -> None:
    """Puts a schedule into the user's cache. Errors: `RuntimeFailure` with the system's reason."""
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RuntimeFailure(f"{path.parent}: cannot be made: {error.strerror or error}") from error
    write_atomic(path, json.dumps(asdict(schedule)).encode())


def alone(function: Any) -> Any:
    """A module of a copy of the kernel, to be scheduled: TVM changes statements in place, also shared ones."""
    return tvm.IRModule({"main": s_tir.renew_defs(function).with_attr("global_symbol", "main")})


def apply(function: Any, trace: list[Any]) -> Any:
    """The kernel with a schedule. Errors: `InvalidEncoding` when the trace is not of this kernel."""
    schedule = s_tir.Schedule(alone(function))
    try:
        s_tir.schedule.Trace.apply_json_to_schedule(trace, schedule)
    except Exception as error:  # TVM raises what it happens to stumble over
        raise InvalidEncoding(
            f"the trace cannot be applied: {(str(error).strip() or type(error).__name__).splitlines()[-1]}"
        ) from error
    return _named_like(schedule.mod["main"], function)


def scheduled(functions: Mapping[Any, Any], target: Any) -> dict[Any, Any]:
    """The kernels (global variable -> PrimFunc), each with its schedule where one is known."""
    return {
        variable: _scheduled(function, variable.name_hint, target) for variable, function in functions.items()
    }


def _scheduled(function: Any, kernel: str, target: Any) -> Any:
    key = key_of(function, target)
    known = find(key)
    if known is None or known.trace is None:
        return function
    try:
        return apply(function, known.trace)
    except InvalidEncoding as error:
        warnings.warn(f"the schedule {key} of {kernel} is ignored: {error.message}", stacklevel=3)
        return function


def _named_like(function: Any, other: Any) -> Any:
    name = (other.attrs or {}).get("global_symbol")
    return (
        function.without_attr("global_symbol") if name is None else function.with_attr("global_symbol", name)
    )


def _path(key: str) -> Path:
    return cache_dir() / "schedules" / f"{key}.json"


@functools.cache
def _shipped() -> dict[str, Any]:
    contents = json.loads(SHIPPED.read_bytes())
    return dict(contents)


def _read(entry: Any, where: str) -> Schedule:
    """Errors: `InvalidEncoding` naming where the entry is from."""
    if not isinstance(entry, dict) or entry.keys() != Schedule.__dataclass_fields__.keys():
        raise InvalidEncoding(f"{where}: expected the fields {', '.join(Schedule.__dataclass_fields__)}")
    schedule = Schedule(**entry)
    if not isinstance(schedule.candidates, int) or not isinstance(schedule.trace, list | None):
        raise InvalidEncoding(f"{where}: expected a number of candidates and a list or nothing as trace")
    return schedule
