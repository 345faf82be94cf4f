"""WasmEdge with all it needs as a relocatable prefix {bin,lib,include}: which ways there are, in which order.

It must not know how packages, ELF files or the cache work.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from deps import apt, cache, closure, release
from deps.report import FetchError, run, say

TESTED_VERSION = "0.14.1"
OLDEST_VERSION = (0, 14)
_NEWER_SUITE = "trixie"
_PACKAGES = ["libwasmedge-dev", "libwasmedge0", "wasmedge"]

# A way puts a tree with WasmEdge below the directory it gets and says (directories to search, how it came).
Way = Callable[[Path], tuple[list[Path], str]]


def prefix() -> Path:
    """The prefix, made on the first call by the first way that works.

    Raises:
        FetchError: no way works; the message says why for each, and what to do.
    """
    entry_key = cache.key([_identity()])
    return cache.find("wasmedge", entry_key) or cache.publish("wasmedge", entry_key, _build)


def _identity() -> str:
    """What the result depends on besides these tools: the WasmEdge that the user or the system offers."""
    offered = _offered()
    if offered is None:
        return "fetched"
    library = _find(offered, "libwasmedge.so*")
    stat = library.stat() if library else None
    return f"{offered} {stat.st_mtime_ns} {stat.st_size}" if stat else str(offered)


def _offered() -> list[Path] | None:
    chosen = os.environ.get("WASMEDGE_ROOT")
    if chosen:
        return [Path(chosen)]
    roots = [
        root
        for root in (Path("/usr/local"), Path("/usr"))
        if (root / "include/wasmedge/wasmedge.h").is_file()
    ]
    return roots or None


def _build(target: Path) -> dict[str, str]:
    closure.patchelf()  # every way needs it: say so before anything is downloaded
    if os.environ.get("WASMEDGE_ROOT"):
        return _assemble(target, _offered_tree)
    refusals: list[str] = []
    for way in (_offered_tree, _own_packages, _official_release, _newer_packages):
        try:
            return _assemble(target, way)
        except FetchError as error:
            refusals.append(str(error))
            say(str(error))
    raise FetchError(
        f"WasmEdge {TESTED_VERSION} cannot be had: {'; '.join(refusals)}. "
        "Install it (library and headers) and set WASMEDGE_ROOT to where it is"
    )


def _assemble(target: Path, way: Way) -> dict[str, str]:
    """Let `way` provide a tree, copy what belongs in the prefix, and prove that it works."""
    work = target / ".work"
    closure.clear(target)
    work.mkdir()
    roots, source = way(work)
    header = _find(roots, "wasmedge/version.h")
    library = _find(roots, "libwasmedge.so.0") or _find(roots, "libwasmedge.so")
    if header is None or library is None:
        raise FetchError(f"{source}: no wasmedge/version.h and libwasmedge.so.0 there")
    version = header_version(header)
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
        raise FetchError(
            f"{source} has WasmEdge {version}, but {OLDEST_VERSION[0]}.{OLDEST_VERSION[1]} or newer is needed"
        )
    program = _find(roots, "bin/wasmedge")
    closure.copy(target, header.parent, library, program, roots)
    closure.verify(target)
    closure.remove(work)
    say(f"WasmEdge {version} from {source}")
    return {"name": "wasmedge", "version": version, "source": source}


def header_version(header: Path) -> str:
    """The version that `wasmedge/version.h` states."""
    found = re.search(r'#define WASMEDGE_VERSION "(\d+\.\d+\.\d+)', header.read_text())
    if found is None:
        raise FetchError(f"{header} states no version")
    return found.group(1)


def _find(roots: list[Path], pattern: str) -> Path | None:
    """The first file below the usual places of each root."""
    for root in roots:
        for place in ("", "bin", "include", "lib", "lib64", "lib/*-linux-gnu"):
            for path in sorted(root.glob(f"{place}/{pattern}" if place else pattern)):
                if path.is_file():
                    return path
    return None


def _offered_tree(_work: Path) -> tuple[list[Path], str]:
    offered = _offered()
    if offered is None:
        raise FetchError("no WasmEdge is installed")
    chosen = os.environ.get("WASMEDGE_ROOT")
    return offered, f"WASMEDGE_ROOT={chosen}" if chosen else f"the installation in {offered[0]}"


def _own_packages(work: Path) -> tuple[list[Path], str]:
    if not apt.available():
        raise FetchError("this machine has no apt")
    own = apt.machine_archive(work)
    version = own.version(_PACKAGES[0]) if own else None
    if own is None or version is None:
        raise FetchError("the distribution has no package libwasmedge-dev")
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
        raise FetchError(f"the distribution's WasmEdge is {version}, which is too old")
    say(f"fetching WasmEdge {version} from {own.name}")
    return [_unpack_closure([own], work)], f"the distribution's packages ({version})"


def _official_release(work: Path) -> tuple[list[Path], str]:
    return [release.fetch(TESTED_VERSION, work)], f"the official release archive ({TESTED_VERSION})"


def _newer_packages(work: Path) -> tuple[list[Path], str]:
    way = f"Debian {_NEWER_SUITE}'s packages adapted to this machine's C library"
    if not apt.available():
        raise FetchError(f"{way}: this machine has no apt")
    if not apt.DEBIAN_KEYRING.is_file():
        raise FetchError(
            f"{way}: skipped, because there is no {apt.DEBIAN_KEYRING} to check their signatures with"
        )
    mirrors = apt.debian_mirrors()
    if not mirrors:
        raise FetchError(f"{way}: skipped, because no Debian archive is configured on this machine")
    sources = f"deb [signed-by={apt.DEBIAN_KEYRING}] {mirrors[0]} {_NEWER_SUITE} main\n"
    newer = apt.Archive.private(f"Debian {_NEWER_SUITE}", work / "newer", sources)
    version = newer.version(_PACKAGES[0])
    if version is None:
        raise FetchError(f"{way}: it has no libwasmedge-dev")
    own = apt.machine_archive(work) or newer
    say(f"fetching WasmEdge {version} from Debian {_NEWER_SUITE}, its dependencies from {own.name}")
    return [_unpack_closure([own, newer], work)], f"{way} ({version})"


def _unpack_closure(archives: list[apt.Archive], work: Path) -> Path:
    """Unpack WasmEdge and what it depends on, each package from the first archive that has it."""
    chosen: dict[str, list[str]] = {archive.name: [] for archive in archives}
    wanted, seen = list(_PACKAGES), set(closure.BASE_PACKAGES)
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        for archive in archives if name not in _PACKAGES else archives[-1:]:
            provider = archive.provider(name)
            if provider is None:
                continue
            seen.add(provider)
            chosen[archive.name].append(provider)
            wanted += archive.dependencies(provider)
            break
        else:
            raise FetchError(f"no package archive has {name}, which WasmEdge depends on")
    tree = work / "root"
    for archive in archives:
        if chosen[archive.name]:
            archive.unpack(sorted(set(chosen[archive.name])), tree)
    run(["chmod", "-R", "u+w", tree])
    return tree / "usr"
