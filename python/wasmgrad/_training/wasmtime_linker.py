"""The imports of guests that train and infer, for users of wasmtime's Python package.

Each call passes the guest's memory to the native core as an address and a size; the core computes without Python's
lock. What a call means, it does not know.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from .. import _core
from .._errors import InvalidArgument, InvalidEncoding, NotFound
from .config import StrPath, configure
from .options import LIMITS_OF_A_PROCESS, Limits, TrainingOptions
from .result import Event

try:
    import wasmtime
except ImportError as error:
    raise NotFound("the engine wasmtime is not installed; install it with `pip install wasmtime`") from error

__all__ = ["add_to_linker"]

_PAGE = 65536
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
    limits: `tensor_bytes`, `abi_handles` and `memory_pages`, which is set on the store; others are up to you.
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
    for key in LIMITS_OF_A_PROCESS:
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
