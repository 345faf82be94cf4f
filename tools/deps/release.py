"""WasmEdge's official release archives: download, check against their published checksums, unpack."""

from __future__ import annotations

import hashlib
import os
import platform
import urllib.error
import urllib.request
from pathlib import Path

from deps.report import FetchError, run, say

_BASE = "https://github.com/WasmEdge/WasmEdge/releases/download"
_TIMEOUT_SECONDS = 30


def fetch(version: str, work: Path) -> Path:
    """Unpack the archive for this machine below `work` and return its root.

    The environment variable WASMEDGE_RELEASES replaces the address, for a mirror.

    Raises:
        FetchError: it cannot be reached, or is not what its checksum says.
    """
    base = f"{os.environ.get('WASMEDGE_RELEASES', _BASE)}/{version}"
    name = f"WasmEdge-{version}-manylinux_2_28_{platform.machine()}.tar.gz"
    checksums: dict[str, str] = {}
    for line in _get(f"{base}/SHA256SUM").decode().splitlines():
        digest, _, file_name = line.partition(" ")
        checksums[file_name.strip()] = digest
    expected = checksums.get(name)
    if expected is None:
        raise FetchError(f"the official release {version} has no archive {name}")
    say(f"fetching {name}")
    archive = _get(f"{base}/{name}")
    if hashlib.sha256(archive).hexdigest() != expected:
        raise FetchError(
            f"{name} does not have the SHA-256 that its release publishes; nothing of it was used"
        )
    file = work / name
    file.write_bytes(archive)
    (work / "release").mkdir()
    run(["tar", "-xzf", file, "-C", work / "release"])
    roots = [path for path in (work / "release").iterdir() if path.is_dir()]
    if len(roots) != 1:
        raise FetchError(f"{name} should hold one directory, but holds {len(roots)}")
    return roots[0]


def _get(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as response:
            content: bytes = response.read()
            return content
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise FetchError(f"the official release archive cannot be fetched: {reason}") from error
