"""Who may include whom: the layers of the tree, read from its `#include` lines and imports."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Folder of cpp/ -> folders it may include besides itself, and outside libraries by a pattern of their headers.
TORCH = r"(torch|ATen|c10|caffe2)/"
WASMEDGE = r"wasmedge/"
TRAINING = {"training", *(f"training/{room}" for room in ("options", "data", "model", "loop", "state"))}
LAYERS: dict[str, tuple[set[str], str]] = {
    "base": (set(), r"(?!)"),
    "training": ({"base", "training/model"}, r"(?!)"),
    "training/options": ({"base"}, r"(?!)"),
    "training/data": ({"base"}, r"(?!)"),
    "training/model": ({"base"}, r"(?!)"),
    "training/loop": ({"base", "training/options", "training/data", "training/model"}, r"(?!)"),
    "training/state": ({"base", "training/options", "training/loop"}, r"(?!)"),
    "training/torch": ({"base", *TRAINING}, TORCH),
    "sandbox": ({"base"}, WASMEDGE),
    "abi": ({"base", *TRAINING}, r"(?!)"),
    "runner": ({"base", *TRAINING, "training/torch", "sandbox", "abi", "graph"}, r"(?!)"),
    "graph": ({"base", "sandbox"}, WASMEDGE),
    "graph_runtime": (set(), r"(?!)"),
    "bindings": ({"base", *TRAINING, "training/torch", "sandbox", "abi", "runner", "graph"}, r"nanobind/"),
    "plugin": ({"base", *TRAINING, "training/torch", "sandbox", "abi", "runner"}, WASMEDGE),
    "tools": ({"base", *TRAINING, "training/torch", "sandbox", "abi", "runner", "graph"}, r"CLI/"),
}
OUTSIDE = re.compile(rf"({TORCH}|{WASMEDGE}|nanobind/|Python\.h|CLI/)")
SOURCES = sorted(path for path in (ROOT / "cpp").rglob("*") if path.suffix in {".hpp", ".cpp", ".h", ".c"})
GUEST_SOURCES = sorted(
    path for path in (ROOT / "guests").rglob("*") if path.suffix in {".hpp", ".cpp", ".h", ".c"}
)
MODULES = sorted((ROOT / "python/wasmgrad").glob("*.py"))


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def folder_of(path: Path) -> str:
    """The folder of cpp/ that has a row; below training/, the room."""
    first, *rest = path.parts[:-1]
    return "/".join((first, rest[0])) if first == "training" and rest else first


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_folder_of_the_core_has_its_row() -> None:
    core = ROOT / "cpp"
    folders = {path.name for path in core.iterdir() if path.is_dir()}
    rooms = {f"training/{path.name}" for path in (core / "training").iterdir() if path.is_dir()}
    assert folders | rooms == set(LAYERS)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_source_includes_only_layers_below(path: Path) -> None:
    folder = folder_of(path.relative_to(ROOT / "cpp"))
    below, outside = LAYERS[folder]
    for header in includes(path):
        if header.startswith("wasmgrad/"):
            assert folder_of(Path(header).relative_to("wasmgrad")) in below | {folder}, header
        elif OUTSIDE.match(header):
            assert re.match(outside, header), header


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_headers_are_included_by_their_full_name(path: Path) -> None:
    for header in includes(path):
        assert not header.startswith("."), header
        assert "/" in header or header.endswith(".h") or "." not in header, header


@pytest.mark.parametrize("path", GUEST_SOURCES, ids=relative)
def test_guest_includes_nothing_of_the_host(path: Path) -> None:
    sdk = {f"wasmgrad/{header.name}" for header in (ROOT / "guests/sdk/include/wasmgrad").iterdir()}
    for header in includes(path):
        assert not header.startswith("wasmgrad/") or header in sdk, header


# Modules that may import something heavy at their top; all others do it inside a function.
HEAVY = {"torch", "numpy", "rich", "typer", "_core", "_graph_core"}
MAY_IMPORT = {
    "_cli.py": {"typer"},
    "_cli_compile.py": {"typer"},
    "_cli_graph.py": {"typer"},
    "_cli_train.py": {"typer"},
    "_graph.py": {"numpy"},
    "_images.py": {"numpy"},
    "_run_graph.py": {"numpy"},
    "_view.py": {"rich"},
    "_trainer.py": {"_core"},
}


def top_imports(path: Path) -> set[str]:
    """Names imported when the module is, without those for type checkers."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or alias.name).split(".")[0] for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_module_imports_nothing_heavy_at_its_top(path: Path) -> None:
    assert top_imports(path) & HEAVY <= MAY_IMPORT.get(path.name, set())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
