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
TRAINING = {
    "training",
    *(f"training/{room}" for room in ("options", "data", "model", "loop", "state", "collective")),
}
LAYERS: dict[str, tuple[set[str], str]] = {
    "base": (set(), r"(?!)"),
    "training": ({"base", "training/model"}, r"(?!)"),
    "training/options": ({"base"}, r"(?!)"),
    "training/data": ({"base"}, r"(?!)"),
    "training/model": ({"base"}, r"(?!)"),
    "training/loop": ({"base", "training/options", "training/data", "training/model"}, r"(?!)"),
    "training/collective": ({"base", "training/loop"}, r"(?!)"),
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


# Folder of python/wasmgrad/ -> what it may import besides itself. Each may import only what stands above it here.
# `shared` are the modules beside the folders that several of them use; `native` is the C++ core.
ROOMS: dict[str, set[str]] = {
    "native": set(),
    "shared": set(),
    "models": {"shared"},
    "_training": {"native", "shared", "models"},
    "_guests": {"shared"},
    "_graph/format": {"native", "shared"},
    "_graph/engines": {"native", "shared", "_graph/format"},
    "_graph": {"native", "shared", "_graph/format", "_graph/engines"},
    "compiler/shared": {"shared", "_graph/format"},
    "compiler/frontend/onnx_ops": {"shared", "compiler/shared"},
    "compiler/frontend": {
        "native", "shared", "_graph/format", "compiler/shared", "compiler/frontend/onnx_ops",
    },
    "compiler/passes/kernels": {"shared"},
    "compiler/passes": {"compiler/shared", "compiler/passes/kernels"},
    "compiler/backend": {"shared", "_graph/format", "_graph/engines", "compiler/shared"},
    "compiler/training": {
        "native", "shared", "_training", "_graph/format", "compiler/shared", "compiler/frontend",
    },
    "compiler/quantization": {"shared", "_graph/format", "_graph", "compiler/shared", "compiler/frontend"},
    "compiler": {
        "shared", "_graph/format", "_graph", "compiler/shared", "compiler/frontend", "compiler/passes",
        "compiler/passes/kernels", "compiler/backend", "compiler/quantization", "compiler/training",
    },
    "_cli": {"native", "shared", "models", "_training", "_guests", "_graph", "compiler"},
    "": {"shared", "models", "_training", "_guests", "_graph", "compiler", "_cli"},
}  # fmt: skip
ROOM_OF = {
    "_core": "native",
    "_graph_core": "native",
    "_graph_format": "native",
    "_cpus": "shared",
    "_errors": "shared",
    "_files": "shared",
    "_metrics": "shared",
    "_version": "shared",
    "_training/option_table": "shared",
    "_training/step_options": "shared",
    "models": "models",
    "compiler/_difference": "compiler/shared",
    "compiler/_options": "compiler/shared",
    "compiler/_relax": "compiler/shared",
    "compiler/_casts": "compiler/shared",
    "compiler/_foreign": "compiler/shared",
    "compiler/_shapes": "compiler/shared",
}
PACKAGE = ROOT / "python/wasmgrad"
MODULES = {
    str(path.relative_to(PACKAGE).with_suffix("")).removesuffix("__init__").rstrip("/"): path
    for path in sorted(PACKAGE.rglob("*.py*"))
    if path.suffix in {".py", ".pyi"}
}


def room(module: str) -> str:
    """The row of a module, which is named by its path in the package; a folder's own module is the folder."""
    if module in ROOM_OF:
        return ROOM_OF[module]
    return module if MODULES[module].stem == "__init__" else str(Path(module).parent).removeprefix(".")


def imported(module: str) -> set[str]:
    """The package's modules that a module imports, also late and for type checkers only."""
    found = set()
    path = MODULES[module]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            folder = path.parents[node.level - 1].relative_to(PACKAGE)
            base = str(folder.joinpath(*(node.module or "").split("."))).removeprefix(".")
            names = {str(Path(base, alias.name)) for alias in node.names}
            found |= {name for name in names if name in MODULES}
            found |= {base} if any(name not in MODULES for name in names) else set()
    return found


def test_every_folder_of_the_package_has_its_row() -> None:
    assert {room(module) for module in MODULES} == set(ROOMS)


def test_no_row_of_the_package_uses_one_below_it() -> None:
    above: set[str] = set()
    for row, uses in ROOMS.items():
        assert uses <= above, row
        above.add(row)


def test_the_rows_of_the_package_say_what_its_modules_import() -> None:
    used: dict[str, set[str]] = {row: set() for row in ROOMS}
    for module in MODULES:
        used[room(module)] |= {room(other) for other in imported(module)} - {room(module)}
    assert used == ROOMS


def test_no_module_of_the_package_is_part_of_a_circle() -> None:
    left = {module: imported(module) - {module} for module in MODULES}
    while free := {module for module, others in left.items() if not others & set(left)}:
        left = {module: others for module, others in left.items() if module not in free}
    assert not left, {module: others & set(left) for module, others in left.items()}


# Modules that may import something heavy at their top; all others do it inside a function. The compiler may: it is
# imported late itself.
HEAVY = {"torch", "numpy", "rich", "typer", "_core", "_graph_core"}
MAY_IMPORT = {
    "_cli/app": {"typer"},
    "_cli/bench": {"typer"},
    "_cli/compile": {"typer"},
    "_cli/graph": {"typer"},
    "_cli/options": {"typer"},
    "_cli/train": {"typer"},
    "_cli/view": {"rich"},
    "_graph/engines/engine": {"numpy"},
    "_graph/engines/native": {"numpy"},
    "_graph/engines/node": {"numpy"},
    "_graph/engines/wasmedge": {"numpy"},
    "_graph/engines/wasmtime": {"numpy"},
    "_graph/inputs": {"numpy"},
    "_graph/module": {"numpy"},
    "_graph/pictures": {"numpy"},
    "_graph/training": {"numpy"},
    "_training/trainer": {"_core"},
    "_training/wasmtime_linker": {"_core"},
}
LIGHT = sorted(
    name for name, path in MODULES.items() if path.suffix == ".py" and not name.startswith("compiler")
)


def top_imports(path: Path) -> set[str]:
    """Names imported when the module is, without those for type checkers."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or alias.name).split(".")[0] for alias in node.names}
    return found


@pytest.mark.parametrize("module", LIGHT)
def test_module_imports_nothing_heavy_at_its_top(module: str) -> None:
    assert top_imports(MODULES[module]) & HEAVY == MAY_IMPORT.get(module, set())


@pytest.mark.parametrize("module", [name for name, path in MODULES.items() if path.suffix == ".py"])
def test_module_says_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[module].read_text()))
