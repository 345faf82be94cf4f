"""From a file to what runs it: a module that computes, or one that trains."""

from __future__ import annotations

from .format.file import Source
from .module import GraphModule, opened
from .training import TrainingModule

__all__ = ["load"]


def load(
    source: Source,
    engine: str = "wasmtime",
    weights: Source | None = None,
    max_memory: int | None = None,
    threads: int | None = None,
) -> GraphModule:
    """Loads a graph module from a path or from bytes and instantiates it: a `TrainingModule` when it trains.

    `weights` names the file of the weights, or gives its bytes, when the module does not hold them and they are not
    in `<stem>.weights` beside it. `max_memory` limits the module's linear memory, in bytes. A
    module that was compiled for several threads runs on `threads` of them, by default on as many as the process has
    CPUs, with the same results. The engine "native" runs
    libraries that were compiled with `--target native`, which no sandbox holds. Errors: `NotFound`,
    `InvalidEncoding` for a file that is not a graph module or lies about itself, `Unsupported` for one of a newer
    ABI, `TooLarge`, `InvalidArgument`, `RuntimeFailure`.
    """
    graph = opened(source, engine, weights, max_memory)
    kind = GraphModule if graph.metadata.training is None else TrainingModule
    try:
        return kind(graph, engine, threads)
    except BaseException:
        graph.close()
        raise
