"""The engines that run graph modules, behind one protocol. Each is a module of its own, imported when it is chosen.

An engine knows nothing of arrays' meaning or of pictures; the module it is given has been checked as a file, but
every address that its code returns is checked by the engine.
"""

from __future__ import annotations

from ..._cpus import usable_cpus
from ..._errors import InvalidArgument
from ..format.file import GraphFile
from ..format.metadata import GraphMetadata
from .engine import Engine
from .native import NativeEngine, NativeFile

__all__ = ["ENGINES", "Engine", "NativeFile", "create"]

ENGINES = ("wasmtime", "wasmedge", "node", "native")


def create(engine: str, graph: GraphFile | NativeFile, threads: int | None = None) -> Engine:
    """Instantiates a module in an engine, with its weights in place. threads: how many run it; None: of use here.

    Errors: `InvalidArgument` for an unknown engine, `NotFound` for one that is not installed, `InvalidEncoding` for a
    module that the engine refuses or whose addresses are outside its memory.
    """
    if isinstance(graph, NativeFile):
        return NativeEngine(graph, _threads(graph.metadata, threads))
    if engine == "wasmtime":
        from .wasmtime import WasmtimeEngine

        return WasmtimeEngine(graph, _threads(graph.metadata, threads))
    if engine == "node":
        from .node import NodeEngine

        return NodeEngine(graph, _threads(graph.metadata, threads))
    if engine == "wasmedge":
        from .wasmedge import WasmEdgeEngine

        _threads(graph.metadata, threads)
        return WasmEdgeEngine(graph)
    raise InvalidArgument(f"engine {engine!r}: expected one of {', '.join(ENGINES)}")


def _threads(metadata: GraphMetadata, wanted: int | None) -> int:
    most = metadata.options.threads
    if wanted is None:
        return min(most, usable_cpus())
    if wanted not in range(1, most + 1):
        raise InvalidArgument(
            f"threads: {metadata.model.name} was compiled for {most} at most, not for {wanted}; "
            f"compile it with --threads {wanted}"
            if wanted > most
            else f"threads: expected 1 or more, not {wanted}"
        )
    return wanted
