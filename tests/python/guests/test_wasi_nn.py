"""Guests written against the definition of wasi-nn infer here: in our sandbox and in the stock `wasmedge` program."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import wasmgrad
import wasmtime
from torch import Tensor, nn
from wasmgrad._files import find_part

ROOT = Path(__file__).resolve().parents[3]
IMAGENET_CATS = {281, 282, 283, 284, 285}


class Lookup(nn.Module):
    """Features [N, 2] and indices [N] to sums [N] plus a table's entry, and the indices times 3."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 1)
        self.table.weight = nn.Parameter(torch.tensor([[0.0], [10.0], [20.0], [30.0]]))

    def forward(self, features: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        return features.sum(1) + self.table(indices).squeeze(1), indices * 3


class Evil(nn.Module):
    """Reads a file of the host."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_file("/etc/passwd", False, 10)


def archive(module: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def two_inputs(build_c_guest: Callable[[str], Path]) -> Path:
    return build_c_guest("nn_c_header")


@pytest.fixture(scope="session")
def classify() -> Path:
    return find_part("guests/wasi_nn_classify.wasm")


@pytest.fixture(scope="session")
def lookup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lookup") / "lookup.pt"
    path.write_bytes(archive(Lookup()))
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a cat, the names of the classes, and the same network in both formats."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    Image.open(ROOT / "data/pictures/chelsea.png").convert("RGB").save(folder / "cat.ppm")
    shutil.copy(ROOT / "data/imagenet/labels.txt", folder)
    make = [sys.executable, str(ROOT / "tools/make_models.py"), "efficientnet-lite0.pt", "efficientnet-lite0"]
    done = subprocess.run(make, check=True, stdout=subprocess.PIPE, text=True)
    torchscript, onnx = done.stdout.split()
    shutil.copy(torchscript, folder / "net.pt")
    wasmgrad.compile(onnx).save(folder / "net.wasm")
    return folder


def classes_of(output: str) -> list[int]:
    return [int(line.split()[0]) for line in output.splitlines()]


def test_picture_has_the_same_classes_by_libtorch_and_by_a_graph_module(
    classify: Path, pictures: Path
) -> None:
    outputs = {}
    for model in ("net.pt", "net.wasm"):
        run = wasmgrad.Sandbox(classify, args=[model, "cat.ppm", "labels.txt"], dirs=[f"{pictures}:."]).run()
        assert run.exit_code == 0
        outputs[model] = run.stdout
    classes = classes_of(outputs["net.pt"])
    assert len(classes) == 5
    assert classes[0] in IMAGENET_CATS
    assert classes_of(outputs["net.wasm"]) == classes
    assert "tabby" in outputs["net.pt"]


def test_two_inputs_and_two_outputs_by_name(two_inputs: Path, lookup: Path) -> None:
    run = wasmgrad.Sandbox(two_inputs, args=["m"], models={"m": lookup}).run()
    assert run.stdout == "33 17 9 3\n"


def test_both_engine_modes_serve_the_same(two_inputs: Path, lookup: Path) -> None:
    run = wasmgrad.Sandbox(two_inputs, args=["m"], models={"m": lookup}, interpret=True).run()
    assert run.stdout == "33 17 9 3\n"


def test_command_runs_a_guest_with_a_named_model(
    command: Callable[..., subprocess.CompletedProcess[str]], two_inputs: Path, lookup: Path
) -> None:
    done = command("guest", "run", "--model", f"lookup={lookup}", str(two_inputs))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "33 17 9 3\n"


def test_owner_reads_the_sentence_on_the_console(
    command: Callable[..., subprocess.CompletedProcess[str]], two_inputs: Path
) -> None:
    done = command("guest", "run", str(two_inputs), "other")
    assert done.returncode == 1
    assert "load_by_name: error 8\n" in done.stdout
    sentence = "wasi_ephemeral_nn.load_by_name: the owner granted no model under the name 'other'"
    assert sentence in done.stderr


def test_model_that_would_do_more_than_compute_is_refused(two_inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(archive(Evil()))
    run = wasmgrad.Sandbox(two_inputs, args=["evil"], models={"evil": tmp_path / "evil.pt"}).run()
    assert run.exit_code == 1
    assert run.stdout == "load_by_name: error 6\n"
    assert "aten::from_file" in run.stderr


def test_guest_without_memory_is_told_so(tmp_path: Path) -> None:
    guest = tmp_path / "guest.wasm"
    text = """(module
      (import "wasi_ephemeral_nn" "unload" (func $unload (param i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (func (export "_start") (call $exit (call $unload (i32.const 1)))))"""
    guest.write_bytes(wasmtime.wat2wasm(text))
    run = wasmgrad.Sandbox(guest).run()
    assert run.exit_code == 3
    assert "wasi_ephemeral_nn.unload: the guest has no memory" in run.stderr


def rust_compiler() -> str | None:
    """A rustc that has the target of guests."""
    for candidate in (shutil.which("rustc"), "/usr/bin/rustc"):
        if candidate is None or not Path(candidate).exists():
            continue
        ask = [candidate, "--target", "wasm32-wasi", "--print", "target-libdir"]
        libraries = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
        if libraries and Path(libraries).is_dir():
            return candidate
    return None


def test_bindings_of_the_rust_crate_infer(tmp_path: Path) -> None:
    compiler = rust_compiler()
    if compiler is None and not os.environ.get("CI"):
        pytest.skip("no rustc with the target wasm32-wasi (on Debian: rustc libstd-rust-dev-wasm32)")
    assert compiler is not None
    guest = tmp_path / "nn_crate.wasm"
    build = [
        compiler,
        "--target",
        "wasm32-wasi",
        "-O",
        str(ROOT / "tests/guests/nn_crate.rs"),
        "-o",
        str(guest),
    ]
    subprocess.run(build, check=True)
    module = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.diag(torch.tensor([2.0, 3.0, 4.0])))
    (tmp_path / "model.pt").write_bytes(archive(module))
    run = wasmgrad.Sandbox(guest, args=["model.pt"], dirs=[f"{tmp_path}:."]).run()
    assert run.stdout == "[2.0, -6.0, 12.0]\n"


Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def in_stock_program(stock_wasmedge: Path) -> Program:
    """Runs `wasmedge` with the packaged plugins and returns what it did."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "WASMEDGE_PLUGIN_PATH": str(find_part("lib/wasmedge"))}
        command = [str(stock_wasmedge), *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_stock_program_infers_with_the_plugin(
    in_stock_program: Program, two_inputs: Path, lookup: Path
) -> None:
    done = in_stock_program("--nn-preload", f"m:PyTorch:CPU:{lookup}", two_inputs, "m")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "33 17 9 3\n"


def test_stock_program_runs_a_graph_module_of_a_guest(
    in_stock_program: Program, classify: Path, pictures: Path
) -> None:
    done = in_stock_program("--dir", f".:{pictures}", classify, "net.wasm", "cat.ppm")
    assert done.returncode == 0, done.stderr
    assert classes_of(done.stdout)[0] in IMAGENET_CATS


def test_stock_program_tells_why_a_call_failed(in_stock_program: Program, two_inputs: Path) -> None:
    done = in_stock_program(two_inputs, "other")
    assert done.returncode == 1
    assert "[wasmgrad] wasi_ephemeral_nn.load_by_name: the owner granted no model" in done.stderr
