"""What several test modules share: a cache of their own, small data, models, guests and the command line."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import wasmgrad
from wasmgrad import models
from wasmgrad._files import find_part
from wasmgrad._training.default import prepare_mnist

ROOT = Path(__file__).resolve().parents[2]

Command = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks each test with the folders that it lies in, so that `-m compiler` selects an area; long tests go first."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            for folder in item.path.relative_to(here).parts[:-1] or ("repository",):
                item.add_marker(folder)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Data, models and compiled guests in a fresh cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WASMGRAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def node_is_there(request: pytest.FixtureRequest) -> None:
    """Leaves out what runs in Node on a machine without it; in continuous integration there must be one."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    wanted = parameters.get("engine") == "node" or request.node.get_closest_marker("node") is not None
    if wanted and shutil.which("node") is None and not os.environ.get("CI"):
        pytest.skip("no Node.js: install version 20 or newer to test modules in it")


@pytest.fixture(scope="session")
def mnist(_own_cache: None) -> Path:
    """The directory of the four real MNIST files."""
    return prepare_mnist()


@pytest.fixture(scope="session")
def few_digits(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST's first 6,400 training images and 500 test images: enough where nothing is to be learnt."""
    folder = tmp_path_factory.mktemp("few_digits")
    for part, count in {"train": 6400, "t10k": 500}.items():
        for kind, header, item in (("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)):
            whole = (mnist / f"{part}-{kind}-ubyte").read_bytes()
            cut = whole[:4] + struct.pack(">I", count) + whole[8 : header + count * item]
            (folder / f"{part}-{kind}-ubyte").write_bytes(cut)
    return folder


@pytest.fixture(scope="session")
def mnist_guest() -> Path:
    return find_part("guests/mnist_train.wasm")


@pytest.fixture(scope="session")
def regression_guest() -> Path:
    return find_part("guests/regression.wasm")


@pytest.fixture(scope="session")
def linear_model(_own_cache: None) -> Path:
    return models.cached("linear-regression")


@pytest.fixture(scope="session")
def build_c_guest(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compiles one C source of tests/guests, once a session."""
    built: dict[str, Path] = {}

    def build(name: str) -> Path:
        if name not in built:
            folder = tmp_path_factory.mktemp(name)
            source = ROOT / "tests/guests" / f"{name}.c"
            shutil.copy(source, folder)
            for header in source.parent.glob("*.h"):
                shutil.copy(header, folder)
            built[name] = wasmgrad.build_guest(folder, folder / f"{name}.wasm")
        return built[name]

    return build


@pytest.fixture(scope="session")
def stock_wasmedge() -> Path:
    """The program `wasmedge`: the one on PATH, else the one that the build fetched."""
    found = shutil.which("wasmedge")
    if found:
        return Path(found)
    root = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    programs = sorted(
        Path(root, "wasmgrad/wasmedge").glob("*/bin/wasmedge"), key=lambda path: path.stat().st_mtime
    )
    assert programs, "no wasmedge program: neither on PATH nor in the build's cache"
    return programs[-1]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs the `wasmgrad` command in an empty directory and returns what it did."""

    def run(*args: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "wasmgrad", *args],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=timeout,
            check=False,
        )

    return run
