"""From an object file to one WebAssembly module: archive, link with the graph runtime, lay out memory, embed weights.

The archiver and linker are those of the PyPI package `ziglang`, else LLVM's of the system. Nothing here knows what
the object computes.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..._errors import NotFound, RuntimeFailure, TooLarge
from ..._files import find_part, find_zig
from ..._graph.format import wasm
from ..._graph.format.metadata import SECTION, GraphMetadata

__all__ = ["Linked", "finish", "link"]

_EXPORTS = ("_initialize", "graph_input", "graph_output", "graph_weights", "graph_run", "graph_call")
_OF_STATES = "graph_state"  # exported where a model has any
_OF_PLANS = "graph_select"  # exported where there is something to choose
_THREAD_EXPORTS = ("graph_thread", "graph_stop", "graph_spin")
_STACK_BYTES = 256 << 10
_MAX_PAGES = 1 << 16


@dataclass(frozen=True)
class Linked:
    """A module without weights, whose memory ends at `base`, and the archive that went into it."""

    module: bytes
    archive: bytes
    base: int

    def pages(self, laid_out_bytes: int) -> int:
        """Pages of the memory that also holds that many bytes from `base` on. Errors: `TooLarge`."""
        pages = -(-(self.base + laid_out_bytes) // wasm.PAGE)
        if pages > _MAX_PAGES:
            raise TooLarge(
                f"the model needs {pages * wasm.PAGE:,} bytes of memory; a 32-bit module has 4 GiB"
            )
        return pages


def link(
    graph_object: bytes, simd: str, *, has_states: bool = False, selects: bool = False, threads: bool = False
) -> Linked:
    """Archives the object as libgraph_wasm32.a and links it with the graph runtime built for `simd`.

    With `threads` the memory is still the module's own: `finish` shares it. So data is written by every instance, and
    no start function has to find out whether another one did it.

    Errors: `NotFound` without a linker or without the graph runtime; `RuntimeFailure` in the linker's own words.
    """
    archiver, linker = _tools()
    libraries = find_part("graph_runtime/wasm32")
    exports = (
        *_EXPORTS,
        *((_OF_STATES,) if has_states else ()),
        *((_OF_PLANS,) if selects else ()),
        *(_THREAD_EXPORTS if threads else ()),
    )
    with tempfile.TemporaryDirectory(prefix="wasmgrad-") as directory:
        work = Path(directory)
        (work / "graph.o").write_bytes(graph_object)
        _run([*archiver, "rcs", "libgraph_wasm32.a", "graph.o"], work)
        _run(
            [
                *linker,
                "--no-entry",
                "--gc-sections",
                "--strip-all",
                "--stack-first",
                "-z",
                f"stack-size={_STACK_BYTES}",
                *(f"--export={name}" for name in exports),
                *(f"--undefined={name}" for name in exports),
                str(libraries / (f"{simd}-threads" if threads else simd) / "libgraph_runtime.a"),
                "libgraph_wasm32.a",
                str(libraries / "libc.a"),
                str(libraries / "libbuiltins.a"),
                "-o",
                "graph.wasm",
            ],
            work,
        )
        module = (work / "graph.wasm").read_bytes()
        archive = (work / "libgraph_wasm32.a").read_bytes()
    pages = wasm.memory_pages(module)
    assert pages is not None, "the linker makes a memory"
    return Linked(module, archive, pages[0] * wasm.PAGE)


def finish(linked: Linked, pages: int, weights: bytes | None, metadata: GraphMetadata) -> bytes:
    """The final module: a memory of so many pages, weights (None: apart) at the base, metadata in its section."""
    share = metadata.options.threads > 1
    module = (wasm.with_shared_memory if share else wasm.with_memory)(linked.module, pages)
    module = wasm.with_custom(module, SECTION, metadata.to_json())
    return wasm.with_data(module, linked.base, weights) if weights else module


def _tools() -> tuple[list[str], list[str]]:
    """Command lines of the archiver and of the WebAssembly linker."""
    if zig := find_zig():
        return [str(zig), "ar"], [str(zig), "wasm-ld"]
    archiver, linker = shutil.which("llvm-ar"), shutil.which("wasm-ld")
    if archiver is None or linker is None:
        raise NotFound(
            "no linker for WebAssembly was found; install one with `pip install 'wasmgrad[compile]'` "
            "(or, on Debian and Ubuntu, `apt-get install lld llvm`)"
        )
    return [archiver], [linker]


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeFailure(f"{Path(command[0]).name} {command[1]} failed:\n{done.stderr.strip()}")
