"""The imports of guests that train and infer, for wasmtime: for users of its Python package, and for whole runs.

Each call passes the guest's memory to the native core as an address and a size; the core computes without Python's
lock. What a call means, it does not know.
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Unpack

from .. import _core
from .._errors import InvalidArgument, InvalidEncoding, NotFound, RuntimeFailure, TimeLimit
from .._options import Limits, TrainingOptions
from .._process import forwarding_interrupts
from .._result import Event
from .._run import StrPath, configure
from ._wasmtime_console import console_events

try:
    import wasmtime
except ImportError as error:
    raise NotFound("the engine wasmtime is not installed; install it with `pip install wasmtime`") from error

__all__ = ["add_to_linker", "run"]

_PAGE = 65536
_NEED_A_PROCESS = ("wall_seconds", "handles", "output_bytes", "process_bytes")
_TYPES = {
    "i32": wasmtime.ValType.i32,
    "i64": wasmtime.ValType.i64,
    "f32": wasmtime.ValType.f32,
    "f64": wasmtime.ValType.f64,
}


def add_to_linker(
    linker: wasmtime.Linker,
    store: wasmtime.Store,
    *,
    dirs: Sequence[str] = (),
    models: Mapping[str, StrPath] | None = None,
    default_model: StrPath | None = None,
    limits: Limits | None = None,
    on_event: Callable[[Event], None] | None = None,
    **options: Unpack[TrainingOptions],
) -> None:
    """Defines every import of wasmgrad in `linker`, for one guest in `store`.

    These are `wasmgrad:training@0.1`, `wasi_ephemeral_nn`, and the `train` functions of earlier hosts. The guest must
    export its memory as `memory`. What it opens through the imports belongs to this definition: give each guest a
    store, a linker and a call of this function of its own.

    dirs, models, default_model, options: as for `train`. `dirs` are what the earlier hosts' `train` may read models
    from; what the guest itself may open is up to the store's `WasiConfig`.
    limits: `tensor_bytes` and `memory_pages`, which is set on the store; other limits are up to you.
    on_event: called with each event, on the thread that runs the guest. It must not use the store.

    Errors: `InvalidArgument` for an argument that is refused. In a guest's call, what `on_event` raises, and an `Error`
    where an earlier host's `train` fails, come out of the function of wasmtime that ran the guest.
    """
    config = configure(
        "guest.wasm",
        dirs=dirs,
        models=models,
        default_model=default_model,
        limits=limits,
        options=options,
    )
    defaults = Limits().to_config()
    for key in _NEED_A_PROCESS:
        if config["limits"][key] != defaults[key]:
            raise InvalidArgument(f"limits.{key} is not kept in a store of yours; expected no such limit")
    if limits is not None:
        store.set_limits(memory_size=limits.memory_pages * _PAGE)
    _define(linker, store, _core.GuestHost(json.dumps(config), on_event))


def _define(linker: wasmtime.Linker, store: wasmtime.Store, host: _core.GuestHost) -> None:
    for index, (module, name, parameters, results) in enumerate(host.functions()):
        kind = wasmtime.FuncType(
            [_TYPES[parameter]() for parameter in parameters], [_TYPES[result]() for result in results]
        )
        function = wasmtime.Func(store, kind, _calling(host, index, f"{module}.{name}"), access_caller=True)
        linker.define(store, module, name, function)


def _calling(host: _core.GuestHost, index: int, name: str) -> Callable[..., Any]:
    def call(caller: wasmtime.Caller, *arguments: float) -> Any:
        memory = caller.get("memory")
        if not isinstance(memory, wasmtime.Memory):
            raise InvalidEncoding(f"{name}: the guest exports no memory called 'memory'")
        address = ctypes.addressof(memory.data_ptr(caller).contents)
        results = host.call(index, address, memory.data_len(caller), arguments)
        return results[0] if results else None

    return call


def run(config: Mapping[str, Any], on_event: Callable[[Event], None]) -> int:
    """Runs a configuration in this process and returns the guest's exit code; events as in an isolated run.

    Of the limits, `handles`, `output_bytes` and `process_bytes` are not kept. Errors: as a run on the other engine.
    """
    name = os.path.basename(config["guest"])
    limits = config["limits"]
    settings = wasmtime.Config()
    settings.epoch_interruption = True
    engine = wasmtime.Engine(settings)
    store = wasmtime.Store(engine)
    store.set_epoch_deadline(1)
    store.set_limits(memory_size=limits["memory_pages"] * _PAGE)
    wasi = _wasi(config, name)
    with console_events(wasi, on_event), closing(store):
        store.set_wasi(wasi)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        host = _core.GuestHost(json.dumps(config), on_event)
        _define(linker, store, host)
        try:
            start = linker.instantiate(store, _module(engine, config["guest"])).exports(store)["_start"]
        except wasmtime.WasmtimeError as error:
            raise InvalidEncoding(f"{name}: wasmtime refuses the guest: {_reason(error)}") from error
        except KeyError as error:
            raise InvalidEncoding(f"{name}: the guest exports no function '_start'") from error
        assert isinstance(start, wasmtime.Func)
        with forwarding_interrupts(host.request_stop), _deadline(engine, host, limits["wall_seconds"]):
            code = _exit_code(start, store, name, limits["wall_seconds"])
    host.finish()
    return code


def _exit_code(start: wasmtime.Func, store: wasmtime.Store, name: str, seconds: float) -> int:
    try:
        start(store)
    except wasmtime.ExitTrap as exit_trap:
        return exit_trap.code
    except wasmtime.Trap as trap:
        if trap.trap_code == wasmtime.TrapCode.INTERRUPT:
            raise TimeLimit(f"{name}: the time limit of {seconds:g} s was reached") from trap
        raise RuntimeFailure(f"{name}: {_reason(trap)}") from trap
    except wasmtime.WasmtimeError as error:
        raise RuntimeFailure(f"{name}: {_reason(error)}") from error
    return 0


@contextmanager
def _deadline(engine: wasmtime.Engine, host: _core.GuestHost, seconds: float) -> Iterator[None]:
    """Ends the guest's code, and a training of the host after its step, when `seconds` (0: never) are over."""

    def end() -> None:
        host.request_stop()
        engine.increment_epoch()

    timer = threading.Timer(seconds, end)
    if seconds > 0:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _module(engine: wasmtime.Engine, path: str) -> wasmtime.Module:
    try:
        return wasmtime.Module(engine, Path(path).read_bytes())
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    except OSError as error:
        raise RuntimeFailure(f"{path}: {error.strerror or error}") from error


def _wasi(config: Mapping[str, Any], name: str) -> wasmtime.WasiConfig:
    wasi = wasmtime.WasiConfig()
    wasi.argv = [name, *config["args"]]
    wasi.env = [tuple(entry.split("=", 1)) for entry in config["env"]]
    for directory in config["dirs"]:
        try:
            wasi.preopen_dir(directory["host"], directory["guest"], not directory["read_only"])
        except wasmtime.WasmtimeError as error:
            raise NotFound(f"directory '{directory['host']}' cannot be granted: {_reason(error)}") from error
    return wasi


def _reason(error: Exception) -> str:
    """The last line of a report that may hold a backtrace: the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("wasm trap: ") if lines else type(error).__name__
