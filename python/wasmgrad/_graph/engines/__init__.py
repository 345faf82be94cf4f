"""The engines that run graph modules, behind one protocol. Each is a module of its own, imported when it is chosen.

An engine knows nothing of arrays' meaning or of pictures; the module it is given has been checked as a file, but
every address that its code returns is checked by the engine.
"""

from __future__ import annotations

from ..._errors import InvalidArgument
from ..format.file import GraphFile
from .engine import Engine
from .native import NativeEngine, NativeFile

__all__ = ["ENGINES", "Engine", "NativeFile", "create"]

ENGINES = ("wasmtime", "wasmedge", "node", "native")


def create(engine: str, graph: GraphFile | NativeFile) -> Engine:
    """Instantiates a module in an engine, with its weights in place.

    Errors: `InvalidArgument` for an unknown engine, `NotFound` for one that is not installed, `InvalidEncoding` for a
    module that the engine refuses or whose addresses are outside its memory.
    """
    if isinstance(graph, NativeFile):
        return NativeEngine(graph)
    if engine == "wasmtime":
        from .wasmtime import WasmtimeEngine

        return WasmtimeEngine(graph)
    if engine == "node":
        from .node import NodeEngine

        return NodeEngine(graph)
    if engine == "wasmedge":
        from .wasmedge import WasmEdgeEngine

        return WasmEdgeEngine(graph)
    raise InvalidArgument(f"engine {engine!r}: expected one of {', '.join(ENGINES)}")
