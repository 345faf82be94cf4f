"""Development packages of the distribution: header-only C++ libraries, picture decoders, Python's own headers."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from deps import apt, cache
from deps.report import FetchError, say

_CXX_PACKAGES = ["nlohmann-json3-dev", "libcli11-dev", "doctest-dev"]
_DECODER_PACKAGES = ["libpng-dev", "zlib1g-dev", "libturbojpeg0-dev"]


def cxx_prefix() -> Path:
    """A prefix with nlohmann-json, CLI11 and doctest and their CMake packages, made on the first call.

    Raises:
        FetchError: this machine has no apt, or its archive lacks them; the message says what to install.
    """
    return _prefix(_CXX_PACKAGES, "install nlohmann-json, CLI11 and doctest")


def decoder_prefix() -> Path:
    """A prefix with the headers and static libraries of libpng, zlib and TurboJPEG, made on the first call.

    Raises:
        FetchError: this machine has no apt, or its archive lacks them; the message says what to install.
    """
    return _prefix(
        _DECODER_PACKAGES, "install the development packages of libpng and libjpeg-turbo (TurboJPEG)"
    )


def python_prefix() -> Path:
    """A prefix with the headers of the distribution's Python, made on the first call.

    Raises:
        FetchError: this Python is not the distribution's, or its package cannot be had.
    """
    advice = "install the development headers of this Python"
    if sys.base_prefix != "/usr":
        raise FetchError(f"{sys.base_prefix} holds no Python headers: {advice}")
    return _prefix([f"libpython3.{sys.version_info.minor}-dev"], advice)


def _prefix(packages: list[str], advice: str) -> Path:
    entry_key = cache.key(packages)

    def build(target: Path) -> dict[str, str]:
        work = target / ".work"
        work.mkdir()
        archive = apt.machine_archive(work)
        if archive is None:
            raise FetchError(
                f"{', '.join(packages)} cannot be fetched, because there is no apt here: {advice}"
            )
        missing = [name for name in packages if archive.version(name) is None]
        if missing:
            raise FetchError(f"the distribution has no {', '.join(missing)}: {advice}")
        say(f"fetching {', '.join(packages)}")
        archive.unpack(packages, work / "root")
        (work / "root" / "usr").rename(target / "usr")
        _relocate(target / "usr")
        shutil.rmtree(work)
        return {"version": "1", "source": archive.name}

    return cache.find("headers", entry_key) or cache.publish("headers", entry_key, build)


def _relocate(usr: Path) -> None:
    """Make the CMake packages that were written for /usr alone look for their prefix from where they lie."""
    for file in usr.rglob("*Targets.cmake"):
        up = "/.." * len(file.parent.relative_to(usr).parts)
        text = file.read_text()
        file.write_text(
            text.replace(
                'set(_IMPORT_PREFIX "/usr")',
                f'get_filename_component(_IMPORT_PREFIX "${{CMAKE_CURRENT_LIST_DIR}}{up}" ABSOLUTE)',
            )
        )
