"""The cache of fetched dependencies: directories that appear complete or not at all.

It must not know what is in them, only that a finished one holds `source.json`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

MARKER = "source.json"


def root(name: str) -> Path:
    """`$XDG_CACHE_HOME/wasmgrad/<name>`, or below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "wasmgrad" / name


def key(inputs: Iterable[str]) -> str:
    """Twelve hex digits that change with these tools' own sources, the machine's release and `inputs`."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.iterdir()):
        if source.suffix in {".py", ".cpp"}:
            digest.update(source.read_bytes())
    release = platform.freedesktop_os_release()
    for text in (platform.machine(), release.get("ID", ""), release.get("VERSION_ID", ""), *inputs):
        digest.update(b"\0" + text.encode())
    return digest.hexdigest()[:12]


def find(name: str, entry_key: str) -> Path | None:
    """The finished entry `<version>-<key>` of whatever version, if there is one."""
    for entry in root(name).glob(f"*-{entry_key}"):
        if (entry / MARKER).is_file():
            return entry
    return None


def publish(name: str, entry_key: str, build: Callable[[Path], dict[str, str]]) -> Path:
    """Let `build` fill a temporary directory, then move it to `<version>-<key>` in one step.

    `build` returns what is written to `source.json`; "version" is one of its keys. If another process was
    faster, its result is taken.
    """
    base = root(name)
    base.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=base))
    try:
        source = build(temporary)
        temporary.chmod(0o755)
        (temporary / MARKER).write_text(json.dumps(source, indent=2) + "\n")
        target = base / f"{source['version']}-{entry_key}"
        with contextlib.suppress(OSError):
            temporary.rename(target)
        return target
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
