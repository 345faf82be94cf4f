"""The languages of guests: what their sources look like, which tool chain compiles them, and what to install for it.

One class each; `_toolchain` chooses among them. It must not know what a guest does.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .._errors import InvalidArgument, NotFound
from .._files import cache_dir, find_part, find_zig
from .compiler import run_compiler
from .scripts import JavaScript, Python, find_npm_program

__all__ = ["LANGUAGES", "Language", "ToolChain", "find_tool_chain"]

_CXX_SUFFIXES = ("cpp", "cc", "cxx")


class Language(Protocol):
    """How guests of one language are told apart, made and compiled."""

    name: str
    sources: str  # what a directory must hold, for people

    def claims(self, folder: Path) -> bool:
        """Whether `folder` holds such a guest."""
        ...

    def build(self, folder: Path, output: Path) -> None:
        """Compile it. Errors: `NotFound` without tool chain, `RuntimeFailure` with the compiler's words."""
        ...


@dataclass(frozen=True)
class ToolChain:
    """How to compile C and C++ for wasm32-wasi: the start of a command line each."""

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
    program = find_zig()
    if program is None:
        return None
    # Zig compiles with the undefined-behaviour sanitizer unless told otherwise.
    target = ("-target", "wasm32-wasi", "-fno-sanitize=undefined")
    return ToolChain("ziglang", (str(program), "cc", *target), (str(program), "c++", *target))


def find_tool_chain() -> ToolChain:
    """The C and C++ tool chain in use: the system's when it is whole, else Zig.

    Errors: `NotFound` with what to install.
    """
    found = _system() or _zig()
    if found is None:
        raise NotFound(
            "no C++ compiler for wasm32-wasi was found; install one with `pip install ziglang` "
            "(or, on Debian and Ubuntu, "
            "`apt-get install clang lld wasi-libc libc++-dev-wasm32 libclang-rt-dev-wasm32`)"
        )
    return found


def _files(folder: Path, *suffixes: str) -> list[Path]:
    return sorted(path for suffix in suffixes for path in folder.glob(f"*.{suffix}"))


_FLAGS = ("-O3", "-msimd128", "-mbulk-memory", "-Wall", "-Wextra")
_LINK_FLAGS = ("-Wl,--strip-all", "-Wl,-z,stack-size=1048576")


class _CFamily:
    """C or C++: all sources directly in the directory become one module."""

    def __init__(self, name: str, suffixes: tuple[str, ...], flags: tuple[str, ...]) -> None:
        self.name = name
        self.sources = f"{name.upper().replace('CPP', 'C++')} ({', '.join(f'*.{end}' for end in suffixes)})"
        self._suffixes = suffixes
        self._flags = flags

    def claims(self, folder: Path) -> bool:
        return bool(_files(folder, *self._suffixes))

    def build(self, folder: Path, output: Path) -> None:
        tools = find_tool_chain()
        start = tools.c if self.name == "c" else tools.cxx
        include = find_part("sdk/include", "guests/sdk/include")
        sources = map(str, _files(folder, *self._suffixes))
        command = [*start, *self._flags, *_FLAGS, f"-I{include}", *sources, *_LINK_FLAGS, "-o", str(output)]
        run_compiler(tools.name, command, folder)


class _Rust:
    """Rust: a Cargo package with a program."""

    name = "rust"
    sources = "Rust (Cargo.toml)"

    def claims(self, folder: Path) -> bool:
        return (folder / "Cargo.toml").is_file()

    def build(self, folder: Path, output: Path) -> None:
        rustc, target = self._compiler()
        variable = f"CARGO_TARGET_{target.upper().replace('-', '_')}_LINKER"
        environment = {**os.environ, "RUSTC": str(rustc), variable: self._linker()}
        # Cargo keeps its objects from one build to the next.
        objects = cache_dir() / "cargo" / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        command = [str(rustc.with_name("cargo")), "build", "--quiet", "--release", "--target", target]
        run_compiler("cargo", [*command, "--target-dir", str(objects)], folder, environment)
        built = sorted((objects / target / "release").glob("*.wasm"))
        if len(built) != 1:
            names = ", ".join(path.name for path in built) or "none"
            raise InvalidArgument(f"{folder}: expected a package with one program, found {names}")
        shutil.copyfile(built[0], output)

    @staticmethod
    def _compiler() -> tuple[Path, str]:
        """The first rustc with a cargo beside it that has the standard library for WASI, under its name there."""
        for directory in os.get_exec_path():
            rustc = shutil.which("rustc", path=directory)
            if rustc is None or shutil.which("cargo", path=directory) is None:
                continue
            for target in ("wasm32-wasip1", "wasm32-wasi"):  # since 1.78, and before
                command = [rustc, "--print", "target-libdir", "--target", target]
                library = subprocess.run(command, capture_output=True, text=True)
                if library.returncode == 0 and Path(library.stdout.strip()).is_dir():
                    return Path(rustc), target
        raise NotFound(
            "no Rust compiler for wasm32-wasi was found; install one with `rustup target add wasm32-wasip1` "
            "(or, on Debian and Ubuntu, `apt-get install cargo rustc libstd-rust-dev-wasm32 lld`)"
        )

    @staticmethod
    def _linker() -> str:
        # Distributions package it apart; an installation by rustup brings its own, which rustc finds by name.
        return shutil.which("rust-lld") or shutil.which("wasm-ld") or "rust-lld"


class _AssemblyScript:
    """AssemblyScript: main.ts and what it imports."""

    name = "assemblyscript"
    sources = "AssemblyScript (main.ts)"

    def claims(self, folder: Path) -> bool:
        return (folder / "main.ts").is_file()

    def build(self, folder: Path, output: Path) -> None:
        sdk = find_part("sdk/assemblyscript", "guests/sdk/assemblyscript")
        command = [self._compiler(folder), "main.ts", "-O3", "--path", str(sdk), "--outFile", str(output)]
        command += ["--exportStart", "_start", "--use", "abort=~lib/wasmgrad/wasi/abort"]
        run_compiler("asc", command, folder)

    @staticmethod
    def _compiler(folder: Path) -> str:
        found = find_npm_program("asc", folder)
        if found is None:
            raise NotFound(
                "no AssemblyScript compiler was found; install Node.js 20 or newer, then `npm install assemblyscript` "
                "in the guest's directory"
            )
        return found


LANGUAGES: tuple[Language, ...] = (
    _CFamily("cpp", _CXX_SUFFIXES, ("-std=c++20", "-fno-exceptions", "-fno-rtti")),
    _CFamily("c", ("c",), ("-std=c11",)),
    _Rust(),
    _AssemblyScript(),
    JavaScript(),
    Python(),
)
