"""`wasmgrad run` and `wasmgrad inspect` on real files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from wasmgrad._cli.app import main

from ..graph.conftest import COLORS, WEIGHTS, MakeModule

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The `wasmgrad` command in an empty directory, inside this process: starting one takes longer than most tests."""

    def run(*args: str) -> CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["wasmgrad", *args])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return CompletedProcess(args, int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def classifier(colors: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "colors.wasm"
    path.write_bytes(colors)
    return path


@pytest.fixture
def sums(module: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "sums.wasm"
    path.write_bytes(module)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Green, 45 wide and 30 high."""
    path = tmp_path / "green.png"
    Image.new("RGB", (45, 30), (10, 200, 40)).save(path)
    return path


@pytest.fixture
def archive(arrays: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "in.npz"
    np.savez(path, **arrays)
    return path


def refused(done: CompletedProcess[str]) -> str:
    """The one sentence of a command that was refused."""
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_a_picture_is_classified(command: Command, classifier: Path, picture: Path) -> None:
    done = command("run", str(classifier), "-i", str(picture))
    assert done.stdout.splitlines()[:3] == [
        "original image dimensions: (45, 30)",
        "resized image dimensions: (8, 8)",
        "input image belongs to the class: 1 green",
    ]


def test_the_installed_command_classifies(classifier: Path, picture: Path) -> None:
    command = [sys.executable, "-m", "wasmgrad", "run", str(classifier), "-i", str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "belongs to the class: 1 green\n" in done.stdout


def test_probabilities_come_from_softmax(command: Command, classifier: Path, picture: Path) -> None:
    done = command("run", str(classifier), "-i", str(picture), "--json")
    (result,) = json.loads(done.stdout)["results"]
    exponents = np.exp(np.array([200, 40, 10]) / 255)
    expected = exponents / exponents.sum()
    assert [found["label"] for found in result["classes"]] == ["green", "blue", "red"]
    np.testing.assert_allclose([found["probability"] for found in result["classes"]], expected, rtol=1e-5)


@pytest.mark.parametrize("engine", ["wasmtime", "wasmedge", "node"])
def test_every_engine_classifies(command: Command, classifier: Path, picture: Path, engine: str) -> None:
    done = command("run", str(classifier), "-i", str(picture), "--engine", engine)
    assert "belongs to the class: 1 green\n" in done.stdout


def test_many_pictures_are_classified_in_order(
    command: Command, classifier: Path, picture: Path, tmp_path: Path
) -> None:
    Image.new("L", (9, 9), 255).save(tmp_path / "white.png")
    Image.new("RGBA", (9, 9), (0, 0, 255, 255)).save(tmp_path / "blue.png")
    done = command("run", str(classifier), "-i", str(picture), "-i", "white.png", "-i", "blue.png", "--json")
    results = json.loads(done.stdout)["results"]
    assert [result["classes"][0]["label"] for result in results] == ["green", "red", "blue"]


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_folder_is_classified_and_one_bad_file_does_not_end_it(
    command: Command, classifier: Path, tmp_path: Path, workers: str
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, color in (("a", (0, 0, 255)), ("c", (255, 0, 0))):
        Image.new("RGB", (9, 9), color).save(folder / f"{name}.png")
    (folder / "b.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no input")
    done = command("run", str(classifier), "-i", str(folder), "--workers", workers, "--json", "-o", "all.npy")
    assert done.returncode == 3
    results = json.loads(done.stdout)["results"]
    assert [Path(result["input"]).name for result in results] == ["a.png", "b.png", "c.png"]
    assert [result["classes"][0]["label"] for result in results if "classes" in result] == ["blue", "red"]
    assert "not a picture" in results[1]["error"]
    assert "1 of 3 inputs failed" in done.stderr
    assert len(np.load(tmp_path / "all.npy")) == 2


def test_workers_are_not_measured(command: Command, classifier: Path, picture: Path) -> None:
    done = command("run", str(classifier), "-i", str(picture), "--workers", "2", "--repeat", "3")
    assert done.returncode == 3 and "--workers: measuring needs a single instance" in done.stderr


def test_labels_of_a_file_replace_the_modules(
    command: Command, classifier: Path, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("rot\ngrün\nblau\n")
    done = command("run", str(classifier), "-i", str(picture), "--labels", "names.txt")
    assert "belongs to the class: 1 grün\n" in done.stdout


def test_preprocessing_of_a_file_replaces_the_modules(
    command: Command, classifier: Path, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "how.json").write_text(json.dumps(COLORS["preprocess"] | {"std": [1, -1, 1]}))
    done = command("run", str(classifier), "-i", str(picture), "--preprocess", "how.json")
    assert "belongs to the class: 2 blue\n" in done.stdout


def test_raw_pixels_go_from_0_to_255(
    command: Command, classifier: Path, picture: Path, tmp_path: Path
) -> None:
    command("run", str(classifier), "-i", str(picture), "--preprocess", "raw", "-o", "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), [[10, 200, 40]])


def test_imagenet_preprocessing_centres_and_scales(
    command: Command, classifier: Path, picture: Path, tmp_path: Path
) -> None:
    command("run", str(classifier), "-i", str(picture), "--preprocess", "imagenet", "-o", "out.npy")
    pixel = np.array([[10, 200, 40]]) / 255
    expected = (pixel - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-5)


def test_arrays_go_in_and_out(command: Command, sums: Path, archive: Path, tmp_path: Path) -> None:
    done = command("run", str(sums), "-i", str(archive), "-o", "out.npz")
    assert done.returncode == 0, done.stderr
    with np.load(archive) as given, np.load(tmp_path / "out.npz") as made:
        np.testing.assert_array_equal(made["sum"], given["a"] + given["b"] + WEIGHTS.reshape(2, 3))
        assert made["count"] == 42


def test_outputs_of_several_inputs_are_joined(
    command: Command, classifier: Path, picture: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 8, 8), np.float32))
    command("run", str(classifier), "-i", str(picture), "-i", "x.npy", "-o", "out.npy")
    assert np.load(tmp_path / "out.npy").shape == (2, 3)


def test_repeated_runs_are_timed(command: Command, classifier: Path, picture: Path) -> None:
    done = command("run", str(classifier), "-i", str(picture), "--repeat", "20")
    assert "20 runs: median " in done.stdout and " ms, p90 " in done.stdout


def test_a_profile_has_a_row_for_each_call(command: Command, sums: Path, archive: Path) -> None:
    done = command("run", str(sums), "-i", str(archive), "--profile", "--json")
    rows = json.loads(done.stdout)["profile"]
    assert [(row["name"], row["kernel"]) for row in rows] == [("add", "add_add"), ("double", "multiply")]
    assert sum(row["share"] for row in rows) == pytest.approx(1)


def test_a_profile_is_shown_as_a_table(command: Command, sums: Path, archive: Path) -> None:
    done = command("run", str(sums), "-i", str(archive), "--profile")
    assert all(word in done.stdout for word in ("GFLOP/s", "share", "add_add", "multiply", "total"))


class TestRefusals:
    """Bad input: one clear sentence, a non-zero exit, nothing half-written."""

    def test_a_file_that_is_no_picture(self, command: Command, classifier: Path, tmp_path: Path) -> None:
        (tmp_path / "cat.png").write_text("not a picture")
        done = command("run", str(classifier), "-i", "cat.png", "-o", "out.npy")
        assert refused(done) == "wasmgrad: cat.png: not a picture of a known format"
        assert not (tmp_path / "out.npy").exists()

    def test_a_truncated_picture(self, command: Command, classifier: Path, tmp_path: Path) -> None:
        noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "whole.png")
        (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:4000])
        assert "cut.png: a damaged picture" in refused(command("run", str(classifier), "-i", "cut.png"))

    def test_a_decompression_bomb(self, command: Command, classifier: Path, tmp_path: Path) -> None:
        Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
        assert "bomb.png: a picture this large" in refused(command("run", str(classifier), "-i", "bomb.png"))

    def test_a_missing_picture(self, command: Command, classifier: Path) -> None:
        assert "none.png: this picture does not exist" in refused(
            command("run", str(classifier), "-i", "none.png")
        )

    def test_a_picture_for_a_model_without_pictures(
        self, command: Command, sums: Path, picture: Path
    ) -> None:
        assert "a picture needs a model with one input" in refused(
            command("run", str(sums), "-i", str(picture))
        )

    def test_a_module_that_is_none(self, command: Command, picture: Path) -> None:
        assert "green.png: not a WebAssembly module" in refused(
            command("run", str(picture), "-i", str(picture))
        )

    def test_a_module_of_a_newer_abi(
        self, command: Command, make_module: MakeModule, picture: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "new.wasm").write_bytes(make_module(name="colors", metadata=COLORS | {"abi": 9}))
        assert "new.wasm: the module has graph ABI 9" in refused(
            command("run", "new.wasm", "-i", str(picture))
        )

    def test_more_memory_than_allowed(
        self, command: Command, make_module: MakeModule, picture: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "large.wasm").write_bytes(make_module(name="colors", metadata=COLORS, pages=32))
        done = command("run", "large.wasm", "-i", str(picture), "--memory", "1MiB")
        assert "needs 2,097,152 bytes of memory; 1,048,576 are allowed" in refused(done)
        old = command("run", "large.wasm", "-i", str(picture), "--max-memory", "1")
        assert "--max-memory is now --memory SIZE" in old.stderr
        assert "needs 2,097,152 bytes of memory; 1,048,576 are allowed" in old.stderr

    def test_a_missing_weights_file(
        self,
        command: Command,
        make_module: MakeModule,
        metadata: dict[str, Any],
        archive: Path,
        tmp_path: Path,
    ) -> None:
        metadata["weights"]["mode"] = "file"
        (tmp_path / "apart.wasm").write_bytes(make_module(metadata=metadata))
        assert "apart.weights: this weights file does not exist" in refused(
            command("run", "apart.wasm", "-i", str(archive))
        )

    def test_an_archive_with_a_wrong_name(self, command: Command, sums: Path, tmp_path: Path) -> None:
        np.savez(tmp_path / "in.npz", c=np.zeros(1))
        assert "there is no input 'c'" in refused(command("run", str(sums), "-i", "in.npz"))

    def test_an_array_of_a_wrong_shape(self, command: Command, classifier: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "in.npy", np.zeros((1, 3, 9, 9), np.float32))
        assert "expected shape [1, 3, 8, 8], got [1, 3, 9, 9]" in refused(
            command("run", str(classifier), "-i", "in.npy")
        )

    @pytest.mark.parametrize("name", ["in.npy", "in.npz"])
    def test_a_file_that_is_no_array(
        self, command: Command, classifier: Path, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / name).write_text("text")
        assert "not an array file of NumPy" in refused(command("run", str(classifier), "-i", name))

    def test_an_array_with_pickled_objects(self, command: Command, classifier: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "in.npy", np.array([{"a": 1}], object), allow_pickle=True)
        assert "not an array file of NumPy" in refused(command("run", str(classifier), "-i", "in.npy"))

    def test_too_few_labels(self, command: Command, classifier: Path, picture: Path, tmp_path: Path) -> None:
        (tmp_path / "names.txt").write_text("one\n")
        done = command("run", str(classifier), "-i", str(picture), "--labels", "names.txt")
        assert "1 labels for 3 classes" in refused(done)

    def test_preprocessing_for_another_shape(
        self, command: Command, classifier: Path, picture: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "how.json").write_text(json.dumps(COLORS["preprocess"] | {"crop": 9}))
        done = command("run", str(classifier), "-i", str(picture), "--preprocess", "how.json")
        assert "makes pictures of shape [3, 9, 9]; the input is picture: float32[1, 3, 8, 8]" in refused(done)

    def test_an_output_of_another_kind(self, command: Command, classifier: Path, picture: Path) -> None:
        done = command("run", str(classifier), "-i", str(picture), "-o", "out.csv")
        assert "expected a name that ends in .npy or .npz" in refused(done)

    def test_several_outputs_for_one_array(self, command: Command, sums: Path, archive: Path) -> None:
        done = command("run", str(sums), "-i", str(archive), "-o", "out.npy")
        assert "the model has 2 outputs; expected an .npz" in refused(done)


class TestInspect:
    """What is said about a file."""

    def test_a_graph_module(self, command: Command, sums: Path) -> None:
        done = command("inspect", str(sums))
        for fact in (
            "a: float32[2, 3]",
            "count: int64[]",
            "2 Add, 1 Mul",
            "262,144 bytes",
            "--simd 128 --opt-level 3",
            "24 bytes in the module",
        ):
            assert fact in done.stdout

    def test_a_graph_module_as_json(self, command: Command, sums: Path) -> None:
        document = json.loads(command("inspect", str(sums), "--json").stdout)
        assert (document["parameters"], document["flops"], document["memory_bytes"]) == (6, 13, 262144)

    def test_an_onnx_model(self, command: Command, tmp_path: Path) -> None:
        import onnx
        from onnx import TensorProto, helper

        node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
        graph = helper.make_graph(
            [node],
            "one convolution",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 8, 8])],
            [helper.make_tensor("w", TensorProto.FLOAT, [4, 2, 3, 3], np.zeros(72))],
        )
        onnx.save(helper.make_model(graph), tmp_path / "conv.onnx")
        document = json.loads(command("inspect", "conv.onnx", "--json").stdout)
        assert document["inputs"] == ["x: float32[n, 2, 8, 8]"]
        assert document["operators"] == {"Conv": 1}
        assert (document["parameters"], document["flops"]) == (72, 2 * 4 * 64 * 2 * 9)

    def test_a_torchscript_model(self, command: Command, tmp_path: Path) -> None:
        layers = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU())
        torch.jit.script(layers).save(str(tmp_path / "layers.pt"))
        document = json.loads(command("inspect", "layers.pt", "--json").stdout)
        assert document["parameters"] == 20
        assert document["operators"] == {"linear": 1, "relu": 1}

    def test_a_torch_export_program(self, command: Command, tmp_path: Path) -> None:
        layers = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU())
        torch.export.save(torch.export.export(layers, (torch.zeros(2, 3),)), tmp_path / "layers.pt2")
        document = json.loads(command("inspect", "layers.pt2", "--json").stdout)
        assert document["inputs"] == ["input: float32[2, 3]"]
        assert document["parameters"] == 20
        assert document["operators"] == {"linear": 1, "relu": 1}

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("model.wasm", "model.wasm: not a WebAssembly module"),
            ("model.onnx", "model.onnx: not an ONNX model"),
            ("model.pt", "model.pt: "),
            ("model.pt2", "model.pt2: not a torch.export program"),
            ("model.txt", "model.txt: cannot be inspected"),
        ],
    )
    def test_a_file_that_is_not_what_it_is_called(
        self, command: Command, tmp_path: Path, name: str, sentence: str
    ) -> None:
        (tmp_path / name).write_text("something else entirely")
        assert sentence in refused(command("inspect", name))

    def test_a_missing_file(self, command: Command) -> None:
        assert "none.wasm: this file does not exist" in refused(command("inspect", "none.wasm"))
