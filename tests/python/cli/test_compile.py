"""`wasmgrad compile` and `compile-op`: what they write and print, and that failures leave nothing behind."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import wasmgrad
from onnx import TensorProto, helper, numpy_helper

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(in_process: Command) -> Command:
    return in_process


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """y = relu(x @ w), with a batch that is left open."""
    weights = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_a_model_is_compiled_verified_and_reported(command: Command, model: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    done = command("compile", str(model), "--input", "x=2x5", "--verify", "--report", "--keep", str(kept))
    assert done.returncode == 0, done.stderr
    assert "y: largest difference from onnxruntime" in done.stdout
    assert "wg_matmul" in done.stdout
    assert {path.name for path in kept.iterdir()} == {
        "graph.o", "libgraph_wasm32.a", "plan.txt", "weights.bin",
    }  # fmt: skip
    module = wasmgrad.load(model.with_suffix(".wasm"))
    assert module.inputs[0].shape == (2, 5)


def test_a_model_is_compiled_for_several_shapes(command: Command, model: Path, tmp_path: Path) -> None:
    done = command("compile", str(model), "--input", "x=1..4x5,9x5", "--verify", "--report")
    assert done.returncode == 0, done.stderr
    assert "3 plans" in done.stdout
    assert "run: x: float32[2..4, 5]" in done.stdout
    module = model.with_suffix(".wasm")
    said = command("inspect", str(module)).stdout
    assert "x: float32[1, 5]" in said
    assert "x: float32[2..4, 5]" in said
    for rows, other in ((3, 4), (9, 9)):
        for name, count in (("x", rows), ("z", other)):
            np.save(tmp_path / f"{name}.npy", np.ones((count, 5), np.float32))
        paths = [str(tmp_path / f"{name}.npy") for name in "xz"]
        done = command(
            "run", str(module), "-i", paths[0], "-i", paths[1], "-o", str(tmp_path / "y.npy"), "--profile"
        )
        assert done.returncode == 0, done.stderr
        assert np.load(tmp_path / "y.npy").shape[0] == rows + other
    np.save(tmp_path / "x.npy", np.ones((5, 5), np.float32))
    done = command("run", str(module), "-i", str(tmp_path / "x.npy"))
    assert done.returncode == 3
    assert "no plan takes inputs of the shapes [5, 5]" in done.stderr


def test_a_model_is_compiled_for_threads_and_runs_on_some(
    command: Command, model: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 5), np.float32))
    done = command("compile", str(model), "--input", "x=2x5", "--verify", "--threads", "3")
    assert done.returncode == 0, done.stderr
    module = str(model.with_suffix(".wasm"))
    for threads in ((), ("--threads", "1"), ("--threads", "3")):
        assert command("run", module, "-i", "x.npy", *threads).returncode == 0
    done = command("run", module, "-i", "x.npy", "--threads", "4")
    assert done.returncode == 3
    assert "threads: tiny was compiled for 3 at most, not for 4; compile it with --threads 4" in done.stderr


@pytest.mark.parametrize(
    ("given", "factor"), [("factor=2", 2.0), ("factor=-0.5", -0.5), ("factor=f.npy", 3.0)]
)
def test_an_input_becomes_part_of_the_model(
    command: Command, tmp_path: Path, given: str, factor: float
) -> None:
    np.save(tmp_path / "f.npy", np.array([3], np.float32))
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "scaled",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [4]),
            helper.make_tensor_value_info("factor", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
    )
    path = tmp_path / "scaled.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    done = command("compile", str(path), "--constant", given, "--verify")
    assert done.returncode == 0, done.stderr
    module = wasmgrad.load(path.with_suffix(".wasm"))
    assert [tensor.name for tensor in module.inputs] == ["x"]
    np.testing.assert_array_equal(module(np.ones(4, np.float32)), np.full(4, factor, np.float32))


def _spoil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes onnxruntime one part in a hundred wrong."""
    true_run = onnxruntime.InferenceSession.run

    def run(self: object, *arguments: object) -> list[np.ndarray]:
        return [value * np.float32(1.01) for value in true_run(self, *arguments)]

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", run)


def test_models_are_verified_unless_told_otherwise(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = command("compile", str(model), "--input", "x=2x5")
    assert "y: largest difference from onnxruntime" in done.stdout
    model.with_suffix(".wasm").unlink()
    _spoil(monkeypatch)
    done = command("compile", str(model), "--input", "x=2x5")
    assert done.returncode == 3
    assert "outputs differ from onnxruntime's: y" in done.stderr
    assert not model.with_suffix(".wasm").exists()
    done = command("compile", str(model), "--input", "x=2x5", "--no-verify")
    assert done.returncode == 0
    assert "onnxruntime" not in done.stdout
    assert model.with_suffix(".wasm").exists()


def test_what_onnxruntime_cannot_run_is_written_with_a_note(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel for this")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    done = command("compile", str(model), "--input", "x=2x5")
    assert done.returncode == 0
    assert "not verified: onnxruntime cannot run the model: no kernel for this" in done.stderr
    done = command("compile", str(model), "--input", "x=2x5", "--verify")
    assert done.returncode == 3
    assert "cannot be verified" in done.stderr


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ((), "--input x="),
        (("--input", "x"), "--input x: expected NAME=SHAPE"),
        (("--input", "x=2xa"), "expected sizes such as 1x3x224x224"),
        (("--input", "x=-1x5"), "sizes are at least 0"),
        (("--input", "x=1..x5"), "expected sizes such as 1x3x224x224"),
        (("--input", "x=0..4x5"), "sizes are at least 1"),
        (("--input", "x=4..2x5"), "a batch goes from 1 or more up to a larger number"),
        (("--input", "x=2x5,2x5"), "the same ones are given twice"),
        (("--input", "z=2x5"), "z"),
        (("--constant", "x"), "--constant x: expected NAME=NUMBER or NAME=FILE.npy"),
        (("--constant", "x=absent.npy"), "absent.npy is neither a number nor an .npy array that can be read"),
        (("--constant", "x=1"), "input 'x': one number does not fit its shape batchx5"),
        (("--input", "x=2x5", "--simd", "512"), "simd: expected one of"),
        (("--input", "x=2x5", "--weights", "net"), "weights: expected one of"),
        (("--input", "x=2x5", "--threads", "65"), "threads: expected 1 to 64, not 65"),
        (("--input", "x=2x5", "--preprocess", "imagenet"), "x"),
        (("--input", "x=2x5", "--labels", "absent.txt"), "absent.txt"),
        (("--input", "x=2x5", "--verify-input", "absent.npz"), "absent.npz: not an .npz archive"),
        (("--input", "x=2x5", "-o", "absent/m.wasm"), "absent/m.wasm: cannot be written"),
    ],
)
def test_bad_options_are_one_sentence(
    command: Command, model: Path, args: tuple[str, ...], sentence: str
) -> None:
    done = command("compile", str(model), *args)
    assert done.returncode == 3
    assert done.stderr.startswith("wasmgrad: ")
    assert sentence in done.stderr
    assert not model.with_suffix(".wasm").exists()


@pytest.mark.parametrize("damage", ["not a model", "truncated"])
def test_a_damaged_model_is_refused(command: Command, model: Path, damage: str) -> None:
    contents = model.read_bytes()
    model.write_bytes(b"not a model" if damage == "not a model" else contents[: len(contents) // 2])
    done = command("compile", str(model), "--input", "x=2x5")
    assert done.returncode == 3
    assert str(model) in done.stderr
    assert done.stderr.count("\n") == 1
    assert not model.with_suffix(".wasm").exists()


def test_a_disk_that_is_full_leaves_nothing(command: Command, model: Path) -> None:
    done = command("compile", str(model), "--input", "x=2x5", "-o", "/dev/full/m.wasm")
    assert done.returncode == 3
    assert "/dev/full/m.wasm: cannot be written" in done.stderr


@pytest.mark.parametrize("suffix", [".pt", ".pt2"])
def test_torch_files_compile(command: Command, tmp_path: Path, suffix: str) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3)).eval()
    path = tmp_path / f"network{suffix}"
    x = torch.randn(2, 5)
    if suffix == ".pt":
        torch.jit.script(network).save(str(path))
        done = command("compile", str(path), "--input", "input=2x5", "--verify")
    else:
        torch.export.save(torch.export.export(network, (x,)), path)
        done = command("compile", str(path), "--verify")
    assert done.returncode == 0, done.stderr
    result = wasmgrad.load(path.with_suffix(".wasm"))(x)
    np.testing.assert_allclose(result, network(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_torchscript_without_shapes_names_its_inputs(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    torch.jit.script(torch.nn.Linear(5, 3)).save(str(path))
    done = command("compile", str(path))
    assert done.returncode == 3
    assert "the inputs are input" in done.stderr


def test_hostile_torchscript_is_not_loaded(command: Command, tmp_path: Path) -> None:
    class Reader(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.from_file("/etc/hostname", size=1, dtype=torch.float32)

    path = tmp_path / "reader.pt"
    torch.jit.script(Reader()).save(str(path))
    done = command("compile", str(path), "--input", "x=1")
    assert done.returncode == 3
    assert "aten::from_file" in done.stderr


@pytest.mark.parametrize("dtype", ["float32", "int32", "int8"])
@pytest.mark.parametrize("operator", ["add", "sub", "mul", "argmax", "equal-count", "matmul"])
def test_operators_compute_what_numpy_does(
    command: Command, tmp_path: Path, operator: str, dtype: str
) -> None:
    shape = "8x16x5" if operator == "matmul" else "1024"
    output = tmp_path / "op.wasm"
    done = command("compile-op", operator, "--shape", shape, "--dtype", dtype, "-o", str(output))
    assert done.returncode == 0, done.stderr
    module = wasmgrad.load(output)
    generator = np.random.default_rng(0)
    a, *rest = (generator.integers(-9, 9, info.shape).astype(dtype) for info in module.inputs)
    expected = {
        "add": lambda: a + rest[0],
        "sub": lambda: a - rest[0],
        "mul": lambda: a * rest[0],
        "argmax": lambda: np.argmax(a),
        "equal-count": lambda: np.sum(a == rest[0]),
        "matmul": lambda: a.astype(np.float64) @ rest[0],
    }[operator]()
    np.testing.assert_array_equal(module(a, *rest), expected)


def test_a_convolution_of_int8_is_summed_in_int32(command: Command, tmp_path: Path) -> None:
    output = tmp_path / "conv.wasm"
    done = command("compile-op", "conv2d", "--shape", "1x3x7x9x4x3", "--dtype", "int8", "-o", str(output))
    assert done.returncode == 0, done.stderr
    module = wasmgrad.load(output)
    generator = np.random.default_rng(0)
    x, w = (generator.integers(-100, 100, info.shape).astype(np.int8) for info in module.inputs)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x).double(), torch.from_numpy(w).double(), padding="same"
    )
    np.testing.assert_array_equal(module(x, w), expected.numpy())


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("fft", "--shape", "8"), "no operator 'fft'"),
        (("add", "--shape", "8", "--dtype", "complex64"), "not 'complex64'"),
        (("matmul", "--shape", "8"), "matmul: expected a shape MxKxN"),
        (("softmax", "--shape", "8", "--dtype", "int8"), "softmax is defined for float32 only"),
    ],
)
def test_bad_operators_are_one_sentence(command: Command, args: tuple[str, ...], sentence: str) -> None:
    done = command("compile-op", *args)
    assert done.returncode == 3
    assert sentence in done.stderr


def _running_sum(folder: Path) -> Path:
    """A model whose output `total` is the sum of its inputs `x` and `before`."""
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "before", "total", "y")
    ]
    nodes = [helper.make_node("Add", ["x", "before"], ["total"]), helper.make_node("Neg", ["total"], ["y"])]
    graph = helper.make_graph(nodes, "sum", tensors[:2], tensors[2:])
    path = folder / "sum.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize("target", ["wasm32", "native"])
def test_a_state_goes_on_from_one_input_to_the_next(command: Command, tmp_path: Path, target: str) -> None:
    built = tmp_path / "sum.out"
    model, x, results = str(_running_sum(tmp_path)), tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(x, np.array([1, -2], np.float32))
    done = command(
        "compile", model, "--state", "before=total", "--target", target, "-o", str(built), "--verify"
    )
    assert done.returncode == 0, done.stderr
    assert "total: largest difference from onnxruntime 0" in done.stdout
    inputs = [part for _ in range(3) for part in ("-i", str(x))]
    engine = "native" if target == "native" else "wasmtime"
    done = command("run", str(built), *inputs, "-o", str(results), "--engine", engine)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(results), [-1, 2, -2, 4, -3, 6])


def test_a_state_is_inspected(command: Command, tmp_path: Path) -> None:
    command("compile", str(_running_sum(tmp_path)), "--state", "before=total")
    done = command("inspect", str(tmp_path / "sum.wasm"))
    assert re.search(r"state +before: float32\[2\], next from total", done.stdout)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("before", "--state before: expected INPUT=OUTPUT"),
        ("before=x", "there is no output 'x'; the outputs are total: float32[2], y: float32[2]"),
    ],
)
def test_a_state_that_cannot_be_is_refused(
    command: Command, tmp_path: Path, given: str, sentence: str
) -> None:
    done = command("compile", str(_running_sum(tmp_path)), "--state", given)
    assert done.returncode == 3
    assert sentence in done.stderr
