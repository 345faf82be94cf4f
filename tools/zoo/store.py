"""Where built models are kept: `~/.cache/wasmgrad/zoo/<key>/`, whole files only.

The key changes with this package's sources and with the versions of torch and onnx; what an older key made, more
than a gigabyte, is removed when a new one begins. It must not know what is in a file.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from deps import cache


@functools.cache
def folder() -> Path:
    """The folder of this version's models; it may not exist yet."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    for package in ("torch", "onnx"):
        digest.update(f"{package} {version(package)}\0".encode())
    return cache.root("zoo") / digest.hexdigest()[:12]


def find(file: str) -> Path | None:
    """The path of `file` if it has been published."""
    path = folder() / file
    return path if path.is_file() else None


def publish(file: str, contents: bytes) -> Path:
    """Store `contents` as `file` in one step and return its path."""
    path = folder() / file
    if not folder().is_dir():
        shutil.rmtree(folder().parent, ignore_errors=True)
        folder().mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{file}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(contents)
        Path(temporary).chmod(0o644)
        return Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
