"""The conformance suite of `wasmgrad:training@0.1` on the engines that run guests; the C++ tests run it without one."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import wasmgrad
import wasmtime
from wasmgrad._files import find_part

ROOT = Path(__file__).resolve().parents[3]
SUITE = ROOT / "tests/conformance"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite as a guest."""
    return wasmgrad.build_guest(SUITE, tmp_path_factory.mktemp("conformance") / "conformance.wasm")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, SUITE / "make_models.py", folder], check=True)
    return folder


def granted(models: Path) -> dict[str, Path]:
    return {file.stem: file for file in models.glob("*.pt")}


OWNER = SUITE / "owner.c"
ALLOWED_EPOCHS = 2


def check(exit_code: int, output: str, stderr: str, *, owner: bool = False) -> None:
    """Every case passed, and all of them ran."""
    lines = output.splitlines()
    failures = [line for line in lines if line.startswith("FAIL")]
    assert not failures, "\n".join(failures)
    assert exit_code == 0, stderr
    files = [OWNER] if owner else set(SUITE.glob("*.c")) - {OWNER}
    cases = re.findall(r"^  RUN\((\w+)\);", "".join(file.read_text() for file in files), re.MULTILINE)
    assert sorted(line.removeprefix("pass ") for line in lines if line.startswith("pass")) == sorted(cases)


@pytest.mark.parametrize("engine", ["wasmedge", "wasmtime"])
def test_host_conforms(engine: str, suite: Path, models: Path) -> None:
    sandbox = wasmgrad.Sandbox(
        suite,
        args=["models"],
        dirs=[f"{models}:models:ro"],
        models=granted(models),
        limits=wasmgrad.Limits(tensor_bytes=64 << 20),  # within the suite's reach
        engine=engine,
    )
    result = sandbox.run()
    check(result.exit_code, result.stdout, result.stderr)


def test_owner_is_obeyed_on_wasmedge(suite: Path, models: Path) -> None:
    result = wasmgrad.train(suite, args=["models", "owner"], models=granted(models), epochs=ALLOWED_EPOCHS)
    check(0, result.stdout, result.stderr, owner=True)


def test_owner_is_obeyed_on_wasmtime(suite: Path, models: Path, tmp_path: Path) -> None:
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    wasi = wasmtime.WasiConfig()
    wasi.argv = ["conformance.wasm", "models", "owner"]
    wasi.stdout_file = str(tmp_path / "output")
    store.set_wasi(wasi)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    wasmgrad.add_to_linker(linker, store, models=granted(models), epochs=ALLOWED_EPOCHS)
    start = linker.instantiate(store, wasmtime.Module.from_file(engine, str(suite))).exports(store)["_start"]
    assert isinstance(start, wasmtime.Func)
    with contextlib.suppress(wasmtime.ExitTrap):  # the lines tell why
        start(store)
    check(0, (tmp_path / "output").read_text(), "", owner=True)


@pytest.mark.parametrize("owner", [False, True], ids=["", "owner"])
def test_plugin_in_the_stock_program_conforms(
    owner: bool, stock_wasmedge: Path, suite: Path, models: Path
) -> None:
    environment = {**os.environ, "WASMEDGE_PLUGIN_PATH": str(find_part("lib/wasmedge"))}
    if owner:
        environment["WASMGRAD_EPOCHS"] = str(ALLOWED_EPOCHS)
    preloads = [
        part
        for name, file in granted(models).items()
        for part in ("--nn-preload", f"{name}:PyTorch:CPU:{file}")
    ]
    arguments = ["models", "owner"] if owner else ["models"]
    command = [stock_wasmedge, "--dir", f"models:{models}:readonly", *preloads, suite, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    check(done.returncode, done.stdout, done.stderr, owner=owner)


def test_suite_calls_every_function_of_the_header() -> None:
    header = (ROOT / "guests/sdk/include/wasmgrad/training_v1.h").read_text()
    declared = re.findall(r'WASMGRAD_IMPORT\("(\w+)"\)', header)
    listed = re.findall(r"^FUNCTION\((\w+)", (SUITE / "functions.h").read_text(), re.MULTILINE)
    assert listed == declared
    sources = "".join(file.read_text() for file in SUITE.glob("*.c"))
    assert [name for name in declared if not re.search(rf"\b{name}\b", sources)] == []


def test_suite_names_every_enumerator_of_the_header() -> None:
    header = (ROOT / "guests/sdk/include/wasmgrad/training_v1.h").read_text()
    enumerators = set(re.findall(r"^  (WASMGRAD_\w+) = \d+", header, re.MULTILINE))
    # What no case can bring about on every host: a limit that few have, and a fault of the host.
    enumerators -= {"WASMGRAD_TIMEOUT", "WASMGRAD_UNKNOWN"}
    sources = "".join(file.read_text() for file in SUITE.glob("*.[ch]"))
    assert [name for name in enumerators if name not in sources] == []
