"""Files: all-or-nothing writing, and where the package keeps and finds things.

It must not import heavy modules.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from ._errors import NotFound, RuntimeFailure

__all__ = ["cache_dir", "find_part", "keep_recent", "mark_used", "source_tree", "write_atomic"]

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
