"""Guests in JavaScript and Python: an interpreter and the program become one WebAssembly component.

The program is a function `main`; the entry point around it, the SDK's module and the interfaces are put beside a copy
of it. It must not know what a guest does.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

from .._errors import NotFound
from .._files import find_part
from .compiler import run_compiler

__all__ = ["JavaScript", "Python", "find_npm_program"]

_NO_SOURCES = ("*.wasm", "__pycache__", "typings", ".*")
_JAVASCRIPT_ENTRY = """\
import { main } from './main.js';
import { end } from 'wasmgrad';
export const run = {
  run() {
    try {
      main();
    } catch (error) {
      end(error);
    }
  },
};
"""
_PYTHON_ENTRY = """\
import main
import wasmgrad
from wit_world import exports


class Run(exports.Run):
    def run(self) -> None:
        wasmgrad.run_program(main.main)
"""


def find_npm_program(name: str, folder: Path) -> str | None:
    """The guest's own program of a package, where npm installed one, else the one on the path."""
    for parent in (folder, *folder.parents):
        own = parent / "node_modules" / ".bin" / name
        if own.is_file():
            return str(own)
    return shutil.which(name)


def _put_interfaces(target: Path) -> Path:
    """The WIT package of the world `program`, with those it is made of, in the new folder `target`."""
    sources = find_part("sdk/wit", "guests/sdk/wit")
    packages = target / "deps"
    packages.mkdir(parents=True)
    shutil.copy(sources / "training.wit", packages)
    for file in (sources / "program").glob("*.wit"):
        shutil.copy(file, target if file.name == "program.wit" else packages)
    return target


class JavaScript:
    """JavaScript: main.js, which exports a function main, on QuickJS."""

    name = "javascript"
    sources = "JavaScript (main.js)"

    def claims(self, folder: Path) -> bool:
        return (folder / "main.js").is_file()

    def build(self, folder: Path, output: Path) -> None:
        compiler = find_npm_program("componentize-qjs", folder)
        if compiler is None:
            raise NotFound(
                "no compiler of JavaScript guests was found; install Node.js 20 or newer, then "
                "`npm install componentize-qjs@0.4.5` in the guest's directory"
            )
        with tempfile.TemporaryDirectory(prefix="wasmgrad-guest-") as scratch:
            sources = Path(scratch, "sources")
            shutil.copytree(folder, sources, ignore=shutil.ignore_patterns(*_NO_SOURCES))
            sdk = find_part("sdk/javascript", "guests/sdk/javascript") / "wasmgrad"
            shutil.copytree(sdk, sources / "node_modules" / "wasmgrad", dirs_exist_ok=True)
            entry = sources / "wasmgrad-entry.js"
            entry.write_text(_JAVASCRIPT_ENTRY)
            wit = _put_interfaces(Path(scratch, "wit"))
            command = [compiler, "--sync", "--wit", str(wit), "--world", "program", "--js", str(entry)]
            built = Path(scratch, "guest.wasm")
            run_compiler(
                "componentize-qjs", [*command, "--module-root", str(sources), "--output", str(built)], folder
            )
            shutil.copyfile(built, output)


class Python:
    """Python: main.py, which has a function main, on CPython."""

    name = "python"
    sources = "Python (main.py)"

    def claims(self, folder: Path) -> bool:
        return (folder / "main.py").is_file()

    def build(self, folder: Path, output: Path) -> None:
        package = importlib.util.find_spec("componentize_py")
        if package is None:
            raise NotFound(
                "no compiler of Python guests was found; install one with `pip install 'wasmgrad[guest]'`"
            )
        with tempfile.TemporaryDirectory(prefix="wasmgrad-guest-") as scratch:
            sources = Path(scratch, "sources")
            shutil.copytree(folder, sources, ignore=shutil.ignore_patterns(*_NO_SOURCES))
            (sources / "wasmgrad_entry.py").write_text(_PYTHON_ENTRY)
            sdk = find_part("sdk/python", "guests/sdk/python")
            wit = _put_interfaces(Path(scratch, "wit"))
            command = [
                sys.executable,
                "-c",
                "from componentize_py import script; script()",
                "--wit-path",
                str(wit),
                "--world",
                "program",
                "componentize",
            ]
            paths = ["--python-path", str(sources), "--python-path", str(sdk)]
            built = Path(scratch, "guest.wasm")
            run_compiler(
                "componentize-py", [*command, *paths, "--output", str(built), "wasmgrad_entry"], folder
            )
            shutil.copyfile(built, output)
