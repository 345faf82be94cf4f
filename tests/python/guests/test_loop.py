"""Guests that own their training loop: one program in every language of the SDK, with one result."""

from __future__ import annotations

import io
import os
import random
import re
import shutil
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import wasmgrad
from wasmgrad._files import find_part

ROOT = Path(__file__).resolve().parents[3]
LANGUAGES = ("cpp", "c", "rust", "assemblyscript")
EPOCH = re.compile(
    r"epoch (\d+): training loss [\d.]+, validation loss [\d.]+, validation accuracy [\d.]+, learning rate ([\d.]+)"
)

Build = Callable[[str], Path]


def build(folder: Path, output: Path) -> Path:
    """The guest in `folder`, compiled. Left out without its tool chain, but not in continuous integration."""
    try:
        return wasmgrad.build_guest(folder, output)
    except wasmgrad.NotFound as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(missing.message)


@pytest.fixture(scope="session")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The MNIST example in a language, compiled once a session."""
    built: dict[str, Path] = {}

    def get(language: str) -> Path:
        if language not in built:
            folder = tmp_path_factory.mktemp(language)
            sources = ROOT / "guests/examples/mnist_loop" / language
            if language == "cpp":  # the reader of IDX files is another guest's
                shutil.copytree(ROOT / "guests/examples/mnist_train", folder / "mnist_train")
                sources = Path(shutil.copytree(sources, folder / "loop/cpp"))
                (sources / "idx.cpp").write_text('#include "../../mnist_train/idx.cpp"\n')
            built[language] = build(sources, folder / "loop.wasm")
        return built[language]

    return get


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "mlp.pt"
    path.write_bytes(wasmgrad.models.build("mlp"))
    return path


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and labels that have nothing to do with each other: the validation loss soon rises."""
    folder = tmp_path_factory.mktemp("noise")
    source = random.Random(1)
    for name, count in {"train": 600, "t10k": 50}.items():
        pixels = struct.pack(">IIII", 0x803, count, 28, 28) + source.randbytes(count * 784)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(pixels)
        labels = struct.pack(">II", 0x801, count) + bytes(source.choices(range(10), k=count))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(labels)
    return folder


def run(guest: Path, data: Path, model: Path, out: Path, *args: str) -> wasmgrad.GuestResult:
    out.mkdir(exist_ok=True)
    return wasmgrad.Sandbox(
        guest, args=args, dirs=[f"{data}:/data:ro", f"{out}:/out"], models={"model.pt": model}
    ).run()


def printed(guest: Path, data: Path, model: Path, out: Path, *args: str) -> list[str]:
    result = run(guest, data, model, out, *args)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


@pytest.fixture(scope="session")
def reference(loop: Build, mnist: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the C++ guest prints after two epochs of 100 batches."""
    out = tmp_path_factory.mktemp("reference")
    return printed(loop("cpp"), mnist, model, out, "--epochs", "2", "--batches", "100")


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_language_reaches_the_same_numbers(
    loop: Build, mnist: Path, model: Path, tmp_path: Path, reference: list[str], language: str
) -> None:
    assert printed(loop(language), mnist, model, tmp_path, "--epochs", "2", "--batches", "100") == reference


def test_digits_are_learned(reference: list[str]) -> None:
    assert reference[0] == "training on 54000 images, validating on 6000, testing on 10000"
    accuracy = re.search(r"test accuracy ([\d.]+)", reference[-2])
    assert accuracy is not None
    assert 0.88 < float(accuracy[1]) < 0.97


@pytest.mark.parametrize("language", LANGUAGES)
def test_resumed_run_ends_as_one_that_never_stopped(
    loop: Build, mnist: Path, model: Path, tmp_path: Path, reference: list[str], language: str
) -> None:
    batches = ("--batches", "100")
    first = printed(loop(language), mnist, model, tmp_path, "--epochs", "1", *batches)
    second = printed(loop(language), mnist, model, tmp_path, "--epochs", "2", "--resume", *batches)
    assert first[1] == reference[1]
    assert second[1] == "resuming after epoch 1"
    assert second[2:] == reference[2:]


def test_checkpoint_of_one_language_is_resumed_in_another(
    loop: Build, mnist: Path, model: Path, tmp_path: Path, reference: list[str]
) -> None:
    batches = ("--batches", "100")
    printed(loop("c"), mnist, model, tmp_path, "--epochs", "1", *batches)
    assert (
        printed(loop("rust"), mnist, model, tmp_path, "--epochs", "2", "--resume", *batches)[2:]
        == reference[2:]
    )


def test_guest_may_draw_its_own_batches(
    loop: Build, mnist: Path, model: Path, tmp_path: Path, reference: list[str]
) -> None:
    lines = printed(loop("cpp"), mnist, model, tmp_path, "--epochs", "2", "--batches", "100", "--own-batches")
    assert lines[0] == reference[0]
    accuracy = re.search(r"test accuracy ([\d.]+)", lines[-2])
    assert accuracy is not None
    assert float(accuracy[1]) > 0.88


@pytest.mark.parametrize("language", LANGUAGES)
def test_guest_lowers_the_learning_rate_and_stops_early(
    loop: Build, noise: Path, model: Path, tmp_path: Path, language: str
) -> None:
    lines = printed(loop(language), noise, model, tmp_path, "--epochs", "40")
    epochs = [found for line in lines if (found := EPOCH.fullmatch(line))]
    assert 3 < len(epochs) < 40
    assert float(epochs[-1][2]) < 0.001
    assert "stopping: no better validation loss in 3 epochs" in lines


@pytest.fixture(scope="session")
def model_with_buffers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "normed.pt"
    torch.manual_seed(0)
    layers = (torch.nn.Flatten(), torch.nn.Linear(784, 32), torch.nn.BatchNorm1d(32), torch.nn.Linear(32, 10))
    torch.jit.script(torch.nn.Sequential(*layers)).save(str(path))
    return path


def saved_values(folder: Path) -> dict[str, torch.Tensor]:
    """What is of floating point in the trained model."""
    state = torch.jit.load(str(folder / "trained.pt")).state_dict()
    return {name: value for name, value in state.items() if value.is_floating_point()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_saved_model_is_that_of_the_best_epoch(
    loop: Build, noise: Path, model_with_buffers: Path, tmp_path: Path, language: str
) -> None:
    def trained(folder: str, *args: str) -> list[str]:
        return printed(loop(language), noise, model_with_buffers, tmp_path / folder, *args)

    lines = trained("whole", "--epochs", "40")
    losses = [float(found[2]) for line in lines if (found := re.search("(validation loss) ([0-9.]+)", line))]
    best = losses.index(min(losses)) + 1
    assert best < len(losses)
    expected = trained("until_the_best", "--epochs", str(best))
    assert lines[-2] == expected[-2]  # loss and accuracy on the test images
    trained("in_two_runs", "--epochs", str(best + 1))
    trained("in_two_runs", "--epochs", "40", "--resume")
    until_the_best = saved_values(tmp_path / "until_the_best")
    for folder in ("whole", "in_two_runs"):
        torch.testing.assert_close(saved_values(tmp_path / folder), until_the_best, rtol=0, atol=0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_trained_model_and_checkpoint_are_whole_files(
    loop: Build, noise: Path, model: Path, tmp_path: Path, language: str
) -> None:
    lines = printed(loop(language), noise, model, tmp_path, "--epochs", "1")
    assert lines[-1] == "wrote /out/trained.pt"
    assert {path.name for path in tmp_path.iterdir()} >= {"trained.pt", "loop.checkpoint"}
    assert not list(tmp_path.glob("*.part"))
    assert torch.jit.load(str(tmp_path / "trained.pt"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_failing_call_ends_the_guest_with_the_host_s_sentence(
    loop: Build, noise: Path, model: Path, tmp_path: Path, language: str
) -> None:
    result = run(loop(language), noise, model, tmp_path, "--model", "absent.pt")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "absent.pt" in result.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_wrong_data_is_refused_by_name(
    loop: Build, noise: Path, model: Path, tmp_path: Path, language: str
) -> None:
    data = Path(shutil.copytree(noise, tmp_path / "data"))
    labels = data / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-8])
    result = run(loop(language), data, model, tmp_path / "out")
    assert result.exit_code == 1
    assert "/data/train-labels-idx1-ubyte: truncated" in result.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_wrong_command_line_is_refused_with_exit_code_2(
    loop: Build, noise: Path, model: Path, tmp_path: Path, language: str
) -> None:
    result = run(loop(language), noise, model, tmp_path, "--epochs", "ten")
    assert result.exit_code == 2
    assert "--epochs takes a whole number" in result.stderr


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds the template of a language, once."""
    built: dict[str, Path] = {}

    def built_template(language: str) -> Path:
        if language not in built:
            folder = tmp_path_factory.mktemp(language)
            wasmgrad.new_guest(folder / "hello", language)
            built[language] = build(folder / "hello", folder / "hello.wasm")
        return built[language]

    return built_template


@pytest.mark.parametrize("language", LANGUAGES)
def test_template_builds_and_trains(linear_model: Path, template: Build, language: str) -> None:
    result = wasmgrad.train(template(language), models={"model.pt": linear_model}, threads=1)
    losses = [float(text) for text in re.findall(r"test loss ([\d.]+)", result.stdout)]
    assert len(losses) == 10
    assert losses[-1] < losses[0] / 2
    assert "not saved here: no directory to write trained_model.pt to was granted" in (
        result.stdout + result.stderr
    )


def check_saved(folder: Path, output: str, linear_model: Path) -> None:
    """The guest left a trained model, and nothing else."""
    saved = folder / "trained_model.pt"
    assert f"saved trained_model.pt ({saved.stat().st_size} bytes)" in output
    assert [file.name for file in folder.iterdir() if file.name != "model.pt"] == ["trained_model.pt"]
    x = torch.rand(64, 8) * 2 - 1
    untrained, trained = (torch.jit.load(path)(x) - x.mean(1, keepdim=True) for path in (linear_model, saved))
    assert trained.abs().mean() < untrained.abs().mean() / 2


@pytest.mark.parametrize("engine", ["wasmedge", "wasmtime"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_template_saves_its_model_in_the_directory_that_it_was_granted(
    linear_model: Path, template: Build, tmp_path: Path, language: str, engine: str
) -> None:
    run = wasmgrad.Sandbox(
        template(language), models={"model.pt": linear_model}, dirs=[f"{tmp_path}:."], engine=engine
    ).run()
    assert run.exit_code == 0, run.stderr
    check_saved(tmp_path, run.stdout, linear_model)


def test_template_saves_its_model_in_the_stock_program(
    linear_model: Path, template: Build, tmp_path: Path, stock_wasmedge: Path
) -> None:
    environment = {**os.environ, "WASMEDGE_PLUGIN_PATH": str(find_part("lib/wasmedge"))}
    preload = f"model.pt:PyTorch:CPU:{linear_model}"
    command = [stock_wasmedge, "--dir", f".:{tmp_path}", "--nn-preload", preload, template("cpp")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check_saved(tmp_path, done.stdout, linear_model)


@pytest.mark.parametrize("language", LANGUAGES)
def test_interrupted_template_goes_on_to_the_epochs_that_its_owner_wants(
    template: Build, linear_model: Path, tmp_path: Path, language: str
) -> None:
    options: dict[str, Any] = {"models": {"model.pt": linear_model}, "threads": 1}
    sent: list[None] = []

    def interrupt(event: wasmgrad.Event) -> None:
        if event["event"] == "epoch" and not sent:
            sent.append(None)
            os.kill(os.getpid(), signal.SIGINT)

    guest, kept = template(language), tmp_path / "kept"
    first = wasmgrad.train(guest, epochs=1_000_000, checkpoint=kept, on_event=interrupt, **options)
    assert first.interrupted
    assert "the owner asked to stop" in first.stderr
    assert "error:" not in first.stderr
    wanted = first.epochs[-1].epoch + 2
    second = wasmgrad.train(guest, epochs=wanted, resume=kept, **options)
    assert second.epochs[-1].epoch == wanted
    assert len(second.epochs) == 2  # the epoch under way is counted where it ends
    whole = wasmgrad.train(guest, epochs=wanted, **options)
    trained, expected = (torch.jit.load(io.BytesIO(run.model)).state_dict() for run in (second, whole))
    assert all(torch.equal(trained[name], expected[name]) for name in expected)


@pytest.mark.parametrize("language", LANGUAGES)
def test_interrupted_loop_keeps_what_its_own_checkpoint_needs(
    loop: Build, mnist: Path, model: Path, tmp_path: Path, reference: list[str], language: str
) -> None:
    batches = ("--batches", "100")
    sent: list[None] = []

    def interrupt(event: wasmgrad.Event) -> None:
        if event["event"] == "progress" and not sent:
            sent.append(None)
            os.kill(os.getpid(), signal.SIGINT)

    granted: dict[str, Any] = {
        "dirs": [f"{mnist}:/data:ro", f"{tmp_path}:/out"],
        "models": {"model.pt": model},
    }
    first = wasmgrad.Sandbox(loop(language), args=("--epochs", "2", *batches), **granted)
    with pytest.raises(wasmgrad.Interrupted, match=r"after step \d+ \(\d whole epochs"):
        first.run(on_event=interrupt)
    assert sent
    if not (tmp_path / "loop.checkpoint").exists():  # it was judging its first epoch
        assert printed(loop(language), mnist, model, tmp_path, "--epochs", "2", *batches) == reference
        return
    lines = printed(loop(language), mnist, model, tmp_path, "--epochs", "2", "--resume", *batches)
    resumed = next(index for index, line in enumerate(lines) if line.startswith("resuming after epoch "))
    done = int(lines[resumed].rsplit(" ", 1)[1])
    assert lines[resumed + 1 :] == reference[1 + done :]


def test_template_of_an_unknown_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="expected one of cpp, c, rust, assemblyscript"):
        wasmgrad.new_guest(tmp_path / "hello", "go")


@pytest.mark.parametrize(
    ("file", "advice"),
    [("Cargo.toml", "libstd-rust-dev-wasm32"), ("main.ts", "npm install assemblyscript")],
)
def test_missing_tool_chain_is_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, advice: str
) -> None:
    (tmp_path / file).touch()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(wasmgrad.NotFound, match=advice):
        wasmgrad.build_guest(tmp_path)
