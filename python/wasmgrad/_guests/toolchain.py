"""Makes and compiles guests in any language of the SDK. It knows nothing of hosts or models."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .._errors import InvalidArgument, NotFound
from .._files import find_part
from .languages import LANGUAGES, Language, ToolChain, find_tool_chain

_SHORT_NAMES = {"js": "javascript", "py": "python"}
_WITH_DATA = ("javascript", "python")  # their templates read a file

__all__ = ["ToolChain", "build_guest", "find_tool_chain", "new_guest", "sdk_include"]


def sdk_include() -> Path:
    """The directory of the guest SDK's C and C++ headers."""
    return find_part("sdk/include", "guests/sdk/include")


def build_guest(folder: str | os.PathLike[str], output: str | os.PathLike[str] | None = None) -> Path:
    """Compiles the guest in `folder` into one wasm file and returns its path.

    Its files tell the language: C or C++ sources, a `Cargo.toml`, `main.ts`, `main.js` or `main.py`. The last two
    become components, which run on wasmtime.

    output: default `<folder>/<folder's name>.wasm`. Errors: `NotFound` without folder or tool chain,
    `InvalidArgument` without sources, `RuntimeFailure` with the compiler's own words.
    """
    source = Path(folder).resolve()
    if not source.is_dir():
        raise NotFound(f"{folder}: no such directory; a guest is a directory with sources")
    target = Path(output).resolve() if output is not None else source / f"{source.name}.wasm"
    _language_of(source, folder).build(source, target)
    return target


def _language_of(source: Path, shown: str | os.PathLike[str]) -> Language:
    found = [language for language in LANGUAGES if language.claims(source)]
    if not found:
        known = ", ".join(language.sources for language in LANGUAGES)
        raise InvalidArgument(f"{shown}: holds no source of a guest; expected one of {known}")
    if len(found) > 1:
        names = " and ".join(language.sources for language in found)
        raise InvalidArgument(f"{shown}: holds {names}; a guest is built from one language")
    return found[0]


def new_guest(folder: str | os.PathLike[str], language: str = "cpp") -> list[Path]:
    """Copies the template of a language into the new directory `folder` and returns its files.

    language: `c`, `cpp`, `rust`, `assemblyscript`, `javascript` (or `js`) or `python`. Errors:
    `InvalidArgument` for any other, and when `folder` exists and is not an empty directory.
    """
    names = [known.name for known in LANGUAGES]
    language = _SHORT_NAMES.get(language, language)
    if language not in names:
        raise InvalidArgument(f"language {language!r}: expected one of {', '.join(names)}")
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidArgument(f"{folder}: exists already; a new guest needs a new or empty directory")
    shutil.copytree(
        find_part(f"guests/templates/{language}", f"guests/templates/{language}"), target, dirs_exist_ok=True
    )
    if language in _WITH_DATA:
        shutil.copytree(find_part("guests/templates/data", "guests/templates/data"), target / "data")
    for name in ("Cargo.toml", "jsconfig.json", "pyrightconfig.json"):
        _name_sdk(target / name)
    return sorted(path for path in target.rglob("*") if path.is_file())


def _name_sdk(file: Path) -> None:
    """Puts the place of the SDK into a file of a template, if it is there."""
    if file.exists():
        sdk = find_part("sdk/rust", "guests/sdk/rust").parent
        file.write_text(file.read_text().replace("@SDK@", str(sdk)))
