"""The guest SDK: the same numbers and layouts as the host, and mistakes that do not get as far as the host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import wasmgrad

ROOT = Path(__file__).resolve().parents[3]
HEADER = (ROOT / "guests/sdk/include/wasmgrad/training.h").read_text()
LAYOUT = (ROOT / "cpp/abi/compat/layout.hpp").read_text()
OPTIONS = (ROOT / "cpp/training/options/options.hpp").read_text()


def guest_enum(name: str) -> list[int]:
    body = re.search(rf"enum wasmgrad_{name} {{(.*?)}}", HEADER, re.DOTALL)
    assert body is not None
    return [int(value) for value in re.findall(r"WASMGRAD_\w+ = (\d+)", body[1])]


def host_enum(source: str, name: str) -> list[int]:
    body = re.search(rf"enum class {name} : [\w:]+ {{(.*?)}}", source, re.DOTALL)
    assert body is not None
    return [int(value) for value in re.findall(r"k\w+ = (\d+)", body[1])]


@pytest.mark.parametrize(
    ("guest_name", "host_source", "host_name"),
    [
        ("dtype", LAYOUT, "DType"),
        ("device", LAYOUT, "Device"),
        ("optimizer", OPTIONS, "OptimizerKind"),
        ("loss", OPTIONS, "LossKind"),
    ],
)
def test_guest_and_host_number_alike(guest_name: str, host_source: str, host_name: str) -> None:
    assert guest_enum(guest_name) == host_enum(host_source, host_name)


def compile_main(folder: Path, suffix: str, source: str) -> Path:
    (folder / f"main{suffix}").write_text(source)
    return wasmgrad.build_guest(folder, folder / "guest.wasm")


def test_c_header_compiles_as_c11_and_its_layout_holds(tmp_path: Path) -> None:
    source = (
        '#include "wasmgrad/training.h"\n'
        "int main(void) {\n"
        '  wasmgrad_train(0, 0, 0, WASMGRAD_CPU, 0.1, 1, 1, WASMGRAD_ADAM, WASMGRAD_MSE, "m", 1);\n'
        "  wasmgrad_train_default_model(0, 0, 0, WASMGRAD_CPU, 0.1, 1, 1, WASMGRAD_ADAM, WASMGRAD_MSE);\n"
        "}\n"
    )
    assert compile_main(tmp_path, ".c", source).exists()


def cxx(body: str) -> str:
    return f'#include <vector>\n#include "wasmgrad/training.hpp"\nint main() {{\n{body}\n}}\n'


@pytest.mark.parametrize(
    "body",
    [
        "wasmgrad::Tensor tensor(std::vector<float>(4), {4});",
        "std::vector<double> data(4); wasmgrad::Tensor tensor(data, {4});",
        "std::vector<bool> data(4); wasmgrad::Tensor tensor(data, {4});",
        "std::vector<float> data(4); wasmgrad::Tensor tensor(data, {-4});",
    ],
    ids=["container about to be destroyed", "f64", "no contiguous elements", "negative dimension"],
)
def test_mistake_does_not_compile(tmp_path: Path, body: str) -> None:
    with pytest.raises(wasmgrad.RuntimeFailure, match="error: "):
        compile_main(tmp_path, ".cpp", cxx(body))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("{5}", "tensor 'x': its shape describes 5 elements, but 4 were given"),
        ("{2, 2, 2}", "tensor 'x': its shape describes 8 elements, but 4 were given"),
        (
            "{65536, 65536, 65536, 65536, 4}",
            "tensor 'x': the number of elements its shape describes overflows",
        ),
        ("{}", "tensor 'x': a shape has 1 to 16 dimensions, not 0"),
        (f"{{{', '.join(['1'] * 16)}, 4}}", "tensor 'x': a shape has 1 to 16 dimensions, not 17"),
    ],
    ids=["too long", "too high", "overflow", "scalar", "rank"],
)
def test_shape_that_contradicts_its_elements_ends_the_guest(
    tmp_path: Path, shape: str, expected: str
) -> None:
    body = f'std::vector<float> data(4);\nwasmgrad::Tensor tensor(data, {shape}, "x");'
    result = wasmgrad.Sandbox(compile_main(tmp_path, ".cpp", cxx(body))).run()
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {expected}")
