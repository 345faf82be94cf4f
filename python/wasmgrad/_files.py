"""Files: all-or-nothing writing, and where the package keeps and finds things.

It must not import heavy modules.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ._errors import NotFound, RuntimeFailure

__all__ = [
    "cache_dir",
    "find_part",
    "find_wasmtime",
    "find_zig",
    "keep_recent",
    "mark_used",
    "scratch_directory",
    "source_tree",
    "write_atomic",
]

_PACKAGE = Path(__file__).resolve().parent


def cache_dir() -> Path:
    """Where prepared data, models and compiled guests are kept.

    `WASMGRAD_CACHE`, else `XDG_CACHE_HOME/wasmgrad`, else `~/.cache/wasmgrad`. It may not exist yet.
    """
    if chosen := os.environ.get("WASMGRAD_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "wasmgrad"


def mark_used(file: Path) -> None:
    """Sets the last access of a file in a cache to now, for `keep_recent`. One that cannot be marked stays as it is."""
    with contextlib.suppress(OSError):
        os.utime(file, ns=(time.time_ns(), file.stat().st_mtime_ns))


def keep_recent(folder: Path, pattern: str, max_bytes: int) -> None:
    """Removes files of that name pattern, those that have not been used for longest, until `max_bytes` are left.

    Several processes may do this at once.
    """
    entries = []
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):  # another process may have removed it
            state = path.stat()
            entries.append((state.st_atime_ns, state.st_size, path))
    kept = 0
    for _, size, path in sorted(entries, reverse=True):
        kept += size
        if kept > max_bytes:
            with contextlib.suppress(OSError):
                path.unlink()


def source_tree() -> Path | None:
    """The root of the source tree when the package runs from inside one."""
    root = _PACKAGE.parent.parent
    return root if (root / "cpp" / "base").is_dir() and (root / "pyproject.toml").is_file() else None


def find_part(packaged: str, in_source: str | None = None) -> Path:
    """A part of the installation: `packaged` below the package, else `in_source` below the source tree.

    `WASMGRAD_HOME` names a directory laid out like the package and is looked at first.
    Errors: `NotFound` with the place that was expected to hold it.
    """
    homes = [Path(os.environ["WASMGRAD_HOME"])] if os.environ.get("WASMGRAD_HOME") else []
    # An editable installation has two: the sources, and what CMake built beside the dependencies.
    package = [Path(folder) for folder in sys.modules[__package__].__path__]
    candidates = [home / packaged for home in (*homes, *package)]
    root = source_tree()
    if root is not None and in_source is not None:
        candidates.append(root / in_source)
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise NotFound(
        f"{candidates[-1]}: this part of wasmgrad is missing; install the package with `pip install .`"
    )


def find_wasmtime() -> Path:
    """The shared library with wasmtime's C API: `WASMGRAD_WASMTIME`, else that of its Python package.

    Errors: `NotFound` without either. Nothing is loaded.
    """
    if chosen := os.environ.get("WASMGRAD_WASMTIME"):
        return Path(os.path.abspath(chosen))
    package = importlib.util.find_spec("wasmtime")
    for place in (package.submodule_search_locations or []) if package is not None else []:
        library = Path(place) / f"linux-{platform.machine()}" / "_libwasmtime.so"
        if library.is_file():
            return library
    raise NotFound("the engine wasmtime is not installed; install it with `pip install wasmtime`")


def find_zig() -> Path | None:
    """The program of the package `ziglang`, a C and C++ compiler with archiver and linkers; None without it."""
    package = importlib.util.find_spec("ziglang")
    return None if package is None or package.origin is None else Path(package.origin).with_name("zig")


_SCRATCH = ".wasmgrad-scratch-"  # as in cpp/base/scratch_directory.hpp, and with the same locks


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory for files that must not outlive this process, even when that is killed.

    It is locked while it is in use; who makes the next one removes those that nobody holds.
    """
    parent = Path(tempfile.gettempdir())
    for abandoned in parent.glob(f"{_SCRATCH}*"):
        with contextlib.suppress(OSError):
            _remove_abandoned(abandoned)
    handle = None
    while handle is None:  # one may be taken for abandoned before it is locked
        path = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            handle = _lock(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def _lock(folder: Path) -> int:
    """A descriptor that holds the folder. Errors: `BlockingIOError` when another one does."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.stat()
    except OSError:
        os.close(handle)
        raise
    return handle


def _remove_abandoned(folder: Path) -> None:
    if folder.stat(follow_symlinks=False).st_uid == os.geteuid():
        handle = _lock(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def write_atomic(path: Path, contents: bytes | memoryview) -> None:
    """Replaces `path` by `contents`, or leaves it as it was.

    Errors: `RuntimeFailure` with the system's reason.
    """
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            Path(temporary).chmod(0o666 & ~umask)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink()
            raise
    except OSError as error:
        raise RuntimeFailure(f"{path}: cannot be written: {error.strerror or error}") from error
