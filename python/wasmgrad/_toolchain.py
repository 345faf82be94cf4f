"""Compiles guests: finds a C/C++ compiler for wasm32-wasi and calls it. It knows nothing of hosts or models.

Two tool chains are known: clang with wasi-libc and wasm-ld from the system, and Zig from the Python package
`ziglang`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ._errors import InvalidArgument, NotFound, RuntimeFailure
from ._files import find_part

__all__ = ["ToolChain", "build_guest", "find_tool_chain", "new_guest", "sdk_include"]

_HINT = (
    "no C++ compiler for wasm32-wasi was found; install one with `pip install ziglang` "
    "(or, on Debian and Ubuntu, "
    "`apt-get install clang lld wasi-libc libc++-dev-wasm32 libclang-rt-dev-wasm32`)"
)
_FLAGS = ["-O3", "-msimd128", "-mbulk-memory", "-Wall", "-Wextra"]
_CXX_FLAGS = ["-std=c++20", "-fno-exceptions", "-fno-rtti"]
_LINK_FLAGS = ["-Wl,--strip-all", "-Wl,-z,stack-size=1048576"]


@dataclass(frozen=True)
class ToolChain:
    """How to compile for wasm32-wasi: the start of a C and of a C++ command line."""

    name: str
    c: tuple[str, ...]
    cxx: tuple[str, ...]


def _system() -> ToolChain | None:
    clang, clangxx, linker = shutil.which("clang"), shutil.which("clang++"), shutil.which("wasm-ld")
    library = any(
        Path(root, "wasm32-wasi", "libc.a").exists() for root in ("/usr/lib", "/usr/share/wasi-sysroot/lib")
    )
    headers = any(
        Path("/usr", part, "wasm32-wasi", "c++", "v1", "span").exists() for part in ("include", "lib")
    )
    if not (clang and clangxx and linker and library and headers):
        return None
    target = "--target=wasm32-wasi"
    return ToolChain("clang", (clang, target), (clangxx, target))


def _zig() -> ToolChain | None:
    if importlib.util.find_spec("ziglang") is None:
        return None
    # Zig compiles with the undefined-behaviour sanitizer unless told otherwise.
    start, target = (sys.executable, "-m", "ziglang"), ("-target", "wasm32-wasi", "-fno-sanitize=undefined")
    return ToolChain("ziglang", (*start, "cc", *target), (*start, "c++", *target))


def find_tool_chain() -> ToolChain:
    """The tool chain in use: the system's when it is whole, else Zig.

    Errors: `NotFound` with what to install.
    """
    found = _system() or _zig()
    if found is None:
        raise NotFound(_HINT)
    return found


def sdk_include() -> Path:
    """The directory of the guest SDK's headers."""
    return find_part("sdk/include", "guests/sdk/include")


def build_guest(folder: str | os.PathLike[str], output: str | os.PathLike[str] | None = None) -> Path:
    """Compiles the C or C++ sources directly in `folder` into one wasm file and returns its path.

    output: default `<folder>/<folder's name>.wasm`. Errors: `NotFound` without folder or tool chain,
    `InvalidArgument` without sources, `RuntimeFailure` with the compiler's own words.
    """
    source = Path(folder).resolve()
    if not source.is_dir():
        raise NotFound(f"{folder}: no such directory; a guest is a directory with C or C++ sources")
    c_files = sorted(source.glob("*.c"))
    cxx_files = sorted(path for suffix in ("*.cpp", "*.cc", "*.cxx") for path in source.glob(suffix))
    if not c_files and not cxx_files:
        raise InvalidArgument(f"{folder}: holds no C or C++ source (*.c, *.cpp, *.cc, *.cxx)")
    if c_files and cxx_files:
        raise InvalidArgument(f"{folder}: holds both C and C++ sources; a guest is built from one language")
    tools = find_tool_chain()
    target = Path(output) if output is not None else source / f"{source.name}.wasm"
    start = [*tools.cxx, *_CXX_FLAGS] if cxx_files else [*tools.c, "-std=c11"]
    command = [
        *start,
        *_FLAGS,
        f"-I{sdk_include()}",
        *map(str, c_files or cxx_files),
        *_LINK_FLAGS,
        "-o",
        str(target),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeFailure(f"{folder}: the compiler ({tools.name}) failed:\n{done.stderr.strip()}")
    return target


def new_guest(folder: str | os.PathLike[str]) -> list[Path]:
    """Copies the guest template into the new directory `folder` and returns its files.

    Errors: `InvalidArgument` when `folder` exists and is not an empty directory.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidArgument(f"{folder}: exists already; a new guest needs a new or empty directory")
    shutil.copytree(find_part("guests/template", "guests/template"), target, dirs_exist_ok=True)
    return sorted(path for path in target.rglob("*") if path.is_file())
