#!/usr/bin/env python3
"""Makes `.venv` beside pyproject.toml and installs requirement lists into it: `make_venv.py build|runtime|<extra>...`.

`build` is [build-system].requires, `runtime` is [project].dependencies, other names are extras. Prints the Python of
the environment. Standard library only; nothing is done when the lists are installed already. It must not know what
they hold. TORCH_INDEX in the environment is one more package index, for a build of torch other than the default.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

from deps import apt
from deps.report import FetchError, say

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def main() -> int:
    """Make or complete the environment; progress and errors go to standard error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lists", nargs="+", metavar="list")
    try:
        install(requirements(parser.parse_args().lists))
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(PYTHON)
    return 0


def requirements(lists: list[str]) -> list[str]:
    """The requirement strings of the named lists of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    known = {
        "build": project["build-system"]["requires"],
        "runtime": project["project"]["dependencies"],
        **project["project"]["optional-dependencies"],
    }
    wanted: list[str] = []
    for name in lists:
        if name not in known:
            raise FetchError(f"pyproject.toml has no requirement list {name!r}; there are {', '.join(known)}")
        wanted += known[name]
    return sorted(set(wanted))


def install(wanted: list[str]) -> None:
    """Install what is wanted, unless the environment's stamp says that it is there."""
    stamp = VENV / f".installed-{hashlib.sha256(repr((wanted, sys.version)).encode()).hexdigest()[:12]}"
    if stamp.exists():
        return
    if not PYTHON.exists():
        _create()
    say(f"installing {len(wanted)} requirements into .venv")
    command = [str(PYTHON), "-m", "pip", "install"]
    index = os.environ.get("TORCH_INDEX")
    if index:
        command += ["--extra-index-url", index]
    if subprocess.run([*command, *wanted], stdout=sys.stderr, check=False).returncode != 0:
        raise FetchError("pip could not install the requirements, for the reason above")
    stamp.touch()


def _create() -> None:
    """A virtual environment with pip, also where the distribution split ensurepip off."""
    try:
        import ensurepip  # noqa: F401  (absent on Debian without python3-venv)
    except ImportError:
        _create_without_ensurepip()
    else:
        say("making .venv")
        venv.create(VENV, with_pip=True, symlinks=True)


def _create_without_ensurepip() -> None:
    """Install pip from the wheel in the distribution's package python3-pip-whl, without root."""
    say("making .venv (this Python has no ensurepip: pip comes from the package python3-pip-whl)")
    venv.create(VENV, with_pip=False, symlinks=True)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        archive = apt.machine_archive(work)
        if archive is None:
            raise FetchError("python3 has no ensurepip: install the package python3-venv")
        archive.unpack(["python3-pip-whl"], work / "root")
        wheel = next((work / "root").rglob("pip-*.whl"))
        command = [str(PYTHON), str(wheel / "pip"), "install", "--no-index", str(wheel)]
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
            raise FetchError("pip could not install itself: install the package python3-venv")


if __name__ == "__main__":
    sys.exit(main())
