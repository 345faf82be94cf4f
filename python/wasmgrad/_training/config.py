"""From Python's arguments to the run configuration that the native tools read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._errors import InvalidArgument
from .._files import cache_dir, find_wasmtime
from .distributed import Distributed, distributed_config
from .options import Limits, TrainingOptions, scalar, set_options, text

__all__ = ["StrPath", "configure", "is_component"]

StrPath = str | os.PathLike[str]

GUEST_ENGINES = ("wasmedge", "wasmtime")


def configure(
    guest: StrPath,
    *,
    args: Sequence[str] = (),
    dirs: Sequence[str] = (),
    models: Mapping[str, StrPath] | None = None,
    default_model: StrPath | None = None,
    env: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    options: TrainingOptions | None = None,
    distributed: Distributed | bool | None = None,
    output: StrPath | None = None,
    adapters: StrPath | None = None,
    checkpoint: StrPath | None = None,
    resume: StrPath | None = None,
    weights: StrPath | None = None,
    weights_output: StrPath | None = None,
    guest_config: Mapping[str, Any] | None = None,
    interrupted_output: StrPath | None = None,
    interpret: bool = False,
    engine: str | None = None,
    view: str = "json",
) -> dict[str, Any]:
    """The run configuration that the native tools read, with host paths made absolute.

    engine: None is wasmedge for a module and wasmtime for a component. Errors: `InvalidArgument` for what is not UTF-8
    or no engine, `NotFound` for an engine that is not installed.
    """
    engine = engine or ("wasmtime" if is_component(guest) else "wasmedge")
    if engine not in GUEST_ENGINES:
        raise InvalidArgument(f"engine {engine!r}: expected one of {', '.join(GUEST_ENGINES)}")
    if interpret and engine != "wasmedge":
        raise InvalidArgument(f"interpret: the engine {engine} always compiles; expected the engine wasmedge")
    config: dict[str, Any] = {
        "guest": os.path.abspath(guest),
        "args": list(args),
        "env": [f"{key}={value}" for key, value in (env or {}).items()],
        "dirs": [_preopen(text) for text in dirs],
        "models": {name: os.path.abspath(file) for name, file in (models or {}).items()},
        "guest_config": _guest_config(guest_config or {}),
        "training": set_options(options or {}),
        "limits": (limits or Limits()).to_config(),
        "engine": engine,
        "interpret": interpret,
        "cache_dir": str(cache_dir() / "guests"),
        "view": view,
    }
    group = distributed_config(distributed)
    if group is not None:
        config["distributed"] = group
    optional = {
        "default_model": default_model,
        "output": output,
        "adapters": adapters,
        "checkpoint": checkpoint,
        "resume": resume,
        "weights": weights,
        "weights_output": weights_output,
        "interrupted_output": interrupted_output,
    }
    config.update({key: os.path.abspath(path) for key, path in optional.items() if path is not None})
    if engine == "wasmtime":
        config["wasmtime_library"] = str(find_wasmtime())
    for key, value in config.items():
        _check_text(key, value)
    return config


def is_component(guest: StrPath) -> bool:
    """Whether a file begins as a WebAssembly component does; one that cannot be read does not."""
    try:
        with Path(guest).open("rb") as file:
            start = file.read(8)
    except OSError:
        return False
    return start[:4] == b"\0asm" and start[6:] == b"\1\0"


def _check_text(where: str, value: object) -> None:
    """Errors: `InvalidArgument` for a text in `value`, named by its place, that UTF-8 cannot express."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgument(f"{where} is not UTF-8: {os.fsencode(value)!r}") from None
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(f"a name in {where}", key)
            _check_text(f"{where}.{key}", item)
    elif isinstance(value, list):
        for number, item in enumerate(value, 1):
            _check_text(
                f"argument {number} of the guest" if where == "args" else f"{where}[{number - 1}]", item
            )


def _guest_config(values: Mapping[str, Any]) -> dict[str, str]:
    """As a guest reads it: numbers in decimal, truth values as true and false."""
    texts = {}
    for key, value in values.items():
        plain = scalar(f"config: '{text('a name of the config', key)}'", value)
        texts[key] = str(plain).lower() if isinstance(plain, bool) else str(plain)
    return texts


def _preopen(text: str) -> dict[str, object]:
    """A directory's text, "HOST:GUEST[:ro]" or "DIR", as the configuration has it."""
    host, *rest = text.split(":")
    if len(rest) > 2 or rest[1:] not in ([], ["ro"]) or not all((host, *rest)):
        raise InvalidArgument(f"directory {text!r}: expected HOST:GUEST or HOST:GUEST:ro")
    guest = rest[0] if rest else host
    return {"host": os.path.abspath(host), "guest": guest, "read_only": len(rest) == 2}
