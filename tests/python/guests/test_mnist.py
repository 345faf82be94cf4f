"""The MNIST guest: what it refuses, and what it hands to the host, on small generated IDX files."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
import wasmgrad

ROOT = Path(__file__).resolve().parents[3]
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def idx_images(count: int, rows: int = 28, columns: int = 28) -> bytes:
    pixels = random.Random(count).randbytes(count * rows * columns)
    return struct.pack(">IIII", 0x803, count, rows, columns) + pixels


def idx_labels(count: int) -> bytes:
    return struct.pack(">II", 0x801, count) + bytes(i % 10 for i in range(count))


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guest as its source stands, compiled."""
    output = tmp_path_factory.mktemp("guest") / "mnist_train.wasm"
    return wasmgrad.build_guest(ROOT / "guests/examples/mnist_train", output)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "mlp.pt"
    path.write_bytes(wasmgrad.models.build("mlp"))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with 60 training and 20 test digits."""
    for name, contents in {
        TRAIN_IMAGES: idx_images(60),
        TRAIN_LABELS: idx_labels(60),
        TEST_IMAGES: idx_images(20),
        TEST_LABELS: idx_labels(20),
    }.items():
        (tmp_path / name).write_bytes(contents)
    return tmp_path


def refusal(guest: Path, data: Path, *args: str) -> str:
    """The one sentence with which the guest ends, checked to be one, with exit code 1."""
    result = wasmgrad.Sandbox(guest, args=args, dirs=[f"{data}:/data:ro"]).run()
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


def test_missing_file_is_named(guest: Path, data: Path) -> None:
    (data / TEST_LABELS).unlink()
    assert f"/data/{TEST_LABELS}: cannot be opened" in refusal(guest, data)


def test_missing_data_directory_says_where_it_was_looked_for(guest: Path, tmp_path: Path) -> None:
    assert "expected in one of /data, . and data/mnist" in refusal(guest, tmp_path)


def test_named_data_directory_is_the_only_one_looked_at(guest: Path, data: Path) -> None:
    assert f"/elsewhere/{TRAIN_IMAGES}: cannot be opened" in refusal(guest, data, "--data", "/elsewhere")


def test_directory_in_place_of_a_file_is_refused(guest: Path, data: Path) -> None:
    (data / TRAIN_LABELS).unlink()
    (data / TRAIN_LABELS).mkdir()
    assert f"/data/{TRAIN_LABELS}: " in refusal(guest, data)


HUGE = struct.pack(">IIII", 0x803, 0xFFFFFFFF, 28, 28) + bytes(784)

WRONG_FILES = {
    "empty": (TRAIN_IMAGES, b"", "truncated: expected an IDX header of 16 bytes, found a file of 0 bytes"),
    "half a header": (
        TRAIN_IMAGES,
        idx_images(60)[:15],
        "truncated: expected an IDX header of 16 bytes, found a file of 15 bytes",
    ),
    "one pixel less": (
        TRAIN_IMAGES,
        idx_images(60)[:-1],
        "truncated: expected 47056 bytes for 60 images, found 47055 bytes",
    ),
    "one pixel more": (
        TRAIN_IMAGES,
        idx_images(60) + b"\0",
        "too long: expected 47056 bytes for 60 images, found 47057 bytes",
    ),
    "labels as images": (
        TRAIN_IMAGES,
        idx_labels(60),
        "bad magic number: expected 0x00000803, found 0x00000801",
    ),
    "gzip": (TRAIN_IMAGES, b"\x1f\x8b" + bytes(100), "is gzip-compressed: expected the raw IDX file"),
    "larger images": (
        TRAIN_IMAGES,
        idx_images(60, 32, 32),
        "wrong dimensions: expected images of 28x28, found 32x32",
    ),
    "as many pixels": (
        TRAIN_IMAGES,
        idx_images(60, 14, 56),
        "wrong dimensions: expected images of 28x28, found 14x56",
    ),
    "no images": (TRAIN_IMAGES, idx_images(0), "expected at least one of its images, found none"),
    "count beyond memory": (
        TRAIN_IMAGES,
        HUGE,
        "truncated: expected 3367254359296 bytes for 4294967295 images, found 800 bytes",
    ),
    "half a label header": (
        TRAIN_LABELS,
        idx_labels(60)[:7],
        "truncated: expected an IDX header of 8 bytes, found a file of 7 bytes",
    ),
    "one label less": (
        TRAIN_LABELS,
        idx_labels(60)[:-1],
        "truncated: expected 68 bytes for 60 labels, found 67 bytes",
    ),
    "images as labels": (
        TRAIN_LABELS,
        idx_images(60),
        "bad magic number: expected 0x00000801, found 0x00000803",
    ),
    "fewer labels than images": (
        TRAIN_LABELS,
        idx_labels(59),
        f"expected 60 labels, one for each image of /data/{TRAIN_IMAGES}, found 59",
    ),
    "label behind the end": (
        TRAIN_LABELS,
        idx_labels(59) + b"\0",
        "too long: expected 67 bytes for 59 labels, found 68 bytes",
    ),
    "one test image less": (
        TEST_IMAGES,
        idx_images(20)[:-784],
        "truncated: expected 15696 bytes for 20 images, found 14912 bytes",
    ),
    "more labels than images": (
        TEST_LABELS,
        idx_labels(21),
        f"expected 20 labels, one for each image of /data/{TEST_IMAGES}, found 21",
    ),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_file_is_refused_with_what_was_expected_and_found(guest: Path, data: Path, case: str) -> None:
    name, contents, expected = WRONG_FILES[case]
    (data / name).write_bytes(contents)
    assert f"/data/{name}: {expected}" in refusal(guest, data)


@pytest.mark.parametrize("label", [10, 255])
def test_label_that_is_no_digit_is_refused_with_its_index(guest: Path, data: Path, label: int) -> None:
    contents = bytearray(idx_labels(60))
    contents[8 + 41] = label
    (data / TRAIN_LABELS).write_bytes(contents)
    expected = f"/data/{TRAIN_LABELS}: label 41: expected a digit from 0 to 9, found {label}"
    assert expected in refusal(guest, data)


def test_validation_of_all_images_is_refused(guest: Path, data: Path) -> None:
    sentence = refusal(guest, data, "--validation", "60")
    assert "expected fewer than the 60 training images, found 60" in sentence


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("--optimizer", "newton"), "--optimizer is one of adam, rmsprop, sgd, adamw, not 'newton'"),
        (("--epochs", "ten"), "--epochs takes a whole number"),
        (("--learning-rate", "fast"), "--learning-rate takes a number, not 'fast'"),
        (("--limit", "0"), "--limit takes a whole number from 1"),
        (("--batch-size",), "--batch-size needs a value"),
        (("--speed", "9"), "unknown option '--speed'"),
        (("a.pt", "b.pt"), "at most 1 positional arguments are taken, not 2"),
    ],
)
def test_wrong_command_line_is_refused_with_exit_code_2(
    guest: Path, data: Path, args: tuple[str, ...], expected: str
) -> None:
    result = wasmgrad.Sandbox(guest, args=args, dirs=[f"{data}:/data:ro"]).run()
    assert result.exit_code == 2
    assert expected in result.stderr


def run(guest: Path, data: Path, model: Path, *args: str) -> wasmgrad.TrainingResult:
    return wasmgrad.train(
        guest,
        args=[*args, "--epochs", "2"],
        dirs=[f"{data}:/data:ro"],
        models={"model.pt": model},
        threads=1,
        seed=3,
    )


def test_progress_lines_are_the_classic_ones(guest: Path, data: Path, model: Path) -> None:
    sets = ("training images", "training labels", "testing images", "testing labels")
    expected = "".join(f"[Wasm] Preparing {name} ... [Done]\n" for name in sets)
    assert run(guest, data, model).stdout == expected


def test_all_samples_reach_the_host(guest: Path, data: Path, model: Path) -> None:
    (first, second) = run(guest, data, model).epochs
    assert first.train.samples == second.train.samples == 60
    assert first.test is not None
    assert first.test.samples == 20
    assert first.validation is None


def test_limit_shortens_both_sets(guest: Path, data: Path, model: Path) -> None:
    epoch = run(guest, data, model, "--limit", "15").epochs[0]
    assert epoch.train.samples == 15
    assert epoch.test is not None
    assert epoch.test.samples == 15


def test_validation_samples_are_taken_from_the_training_set(guest: Path, data: Path, model: Path) -> None:
    epoch = run(guest, data, model, "--validation", "12").epochs[0]
    assert epoch.train.samples == 48
    assert epoch.validation is not None
    assert epoch.validation.samples == 12


def test_validation_split_depends_on_the_seed_alone(guest: Path, data: Path, model: Path) -> None:
    def loss(seed: str) -> float:
        validation = run(guest, data, model, "--validation", "12", "--seed", seed).epochs[0].validation
        assert validation is not None
        return validation.loss

    assert loss("1") == loss("1")
    assert loss("1") != loss("2")


def test_pixels_as_bytes_and_as_floats_train_alike(guest: Path, data: Path, model: Path) -> None:
    as_bytes = run(guest, data, model).epochs[-1]
    as_floats = run(guest, data, model, "--f32").epochs[-1]
    assert as_bytes.train.loss == pytest.approx(as_floats.train.loss, rel=1e-4)


def test_positional_argument_names_the_model(guest: Path, data: Path, model: Path) -> None:
    result = wasmgrad.train(
        guest, args=["digits.pt"], dirs=[f"{data}:/data:ro"], models={"digits.pt": model}, epochs=1, threads=1
    )
    assert result.model
