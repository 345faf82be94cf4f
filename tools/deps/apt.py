"""Debian packages without root: look up, download, unpack. It must not know which packages are wanted.

The machine's own package lists are used when it has any; else, when they are stale, and for other suites, lists are
fetched into a private directory. Apt checks signatures with the machine's own archive keyring either way.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from deps.report import FetchError, run, say

_APT = Path("/etc/apt")
_SYSTEM_LISTS = Path("/var/lib/apt/lists")
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def available() -> bool:
    """Whether this machine has apt at all."""
    return all(shutil.which(tool) for tool in ("apt-get", "apt-cache", "dpkg-deb"))


def debian_mirrors() -> list[str]:
    """The Debian archives in this machine's own configuration, so that a local mirror is honoured."""
    mirrors: list[str] = []
    files = [_APT / "sources.list", *sorted(_APT.glob("sources.list.d/*")), *sorted(_APT.glob("mirrors/*"))]
    for file in files:
        if file.suffix not in {".list", ".sources"} or not file.is_file():
            continue
        for line in file.read_text(errors="replace").splitlines():
            if line.lstrip().startswith("#"):
                continue
            for address in re.findall(r"\bhttps?://\S+/debian/?(?=\s|$)", line):
                if address not in mirrors:
                    mirrors.append(address)
    return mirrors


@dataclass
class Archive:
    """One view of the package archive: apt options that choose the sources and the place of the lists."""

    name: str
    options: list[str]
    fresh: Path | None = None  # where to put fresh lists when a download fails because these are stale

    @classmethod
    def system(cls, name: str, directory: Path) -> Archive:
        """The machine's own lists; their parsed form, and fresh ones should they be stale, go to `directory`."""
        return cls(name, _cache_options(directory / "system"), directory / "fresh")

    @classmethod
    def private(cls, name: str, directory: Path, sources: str | None = None) -> Archive:
        """Fresh lists in `directory`, from `sources` (a sources.list) or the machine's own sources."""
        (directory / "lists" / "partial").mkdir(parents=True)
        options = [*_cache_options(directory), f"-oDir::State::Lists={directory / 'lists'}"]
        if sources is not None:
            (directory / "sources.list").write_text(sources)
            options += [
                f"-oDir::Etc::SourceList={directory / 'sources.list'}",
                "-oDir::Etc::SourceParts=/dev/null",
            ]
        archive = cls(name, options)
        say(f"reading the package lists of {name}")
        run(["apt-get", *options, "-q", "update", "-oAPT::Update::Error-Mode=any"])
        return archive

    def _field(self, package: str, wanted: str) -> str | None:
        try:
            text = run(["apt-cache", *self.options, "show", "--no-all-versions", package])
        except FetchError:
            return None
        found = re.search(rf"^{wanted}: (.*)$", text, re.MULTILINE)
        return found.group(1) if found else ""

    def version(self, package: str) -> str | None:
        """The candidate's version, or None when the archive has no such package."""
        return self._field(package, "Version") or None

    def dependencies(self, package: str) -> list[str]:
        """Names in `Depends`, the first of alternatives, without versions."""
        text = self._field(package, "Depends") or ""
        names = (re.split(r"[\s(:|]", item.strip(), maxsplit=1)[0] for item in text.split(","))
        return [name for name in names if name]

    def provider(self, package: str) -> str | None:
        """`package` itself when it is real, else a package that provides it."""
        if self.version(package):
            return package
        try:
            text = run(["apt-cache", *self.options, "showpkg", package])
        except FetchError:
            return None
        _, _, providers = text.partition("Reverse Provides:")
        names = [line.split()[0] for line in providers.splitlines() if line.strip()]
        return names[0] if names else None

    def unpack(self, packages: list[str], target: Path) -> None:
        """Download packages (checked by apt) and unpack them into `target`."""
        downloads = target.with_name(target.name + ".debs")
        downloads.mkdir()
        try:
            run(["apt-get", *self.options, "-q", "download", *packages], cwd=downloads)
        except FetchError:
            if self.fresh is None:
                raise
            shutil.rmtree(downloads)
            Archive.private(self.name, self.fresh).unpack(packages, target)
            return
        for deb in sorted(downloads.glob("*.deb")):
            run(["dpkg-deb", "-x", deb, target])
        shutil.rmtree(downloads)


def _cache_options(directory: Path) -> list[str]:
    """Keep apt's working files in `directory`; images that tell apt to keep none make each look-up slow."""
    cache = directory / "cache"
    (cache / "archives" / "partial").mkdir(parents=True)
    return [
        f"-oDir::Cache={cache}",
        f"-oDir::Cache::pkgcache={cache / 'pkgcache.bin'}",
        f"-oDir::Cache::srcpkgcache={cache / 'srcpkgcache.bin'}",
        "-oAPT::Sandbox::User=root",
    ]


def machine_archive(work: Path) -> Archive | None:
    """The machine's own archive, with private lists when it has none yet; None without apt or network."""
    if not available():
        return None
    name = "this machine's distribution"
    if any(_SYSTEM_LISTS.glob("*_Packages*")):
        return Archive.system(name, work / "own")
    try:
        return Archive.private(name, work / "own")
    except FetchError as error:
        say(f"the distribution's package lists cannot be read: {error}")
        return None
