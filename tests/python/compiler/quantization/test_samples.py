"""Samples of a model come from arrays, pictures and folders; what is no input of it is refused by the file's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from wasmgrad import Error, InvalidArgument, InvalidEncoding, NotFound
from wasmgrad._graph.format.metadata import TensorInfo
from wasmgrad._graph.pictures import open_image, preprocessing, to_tensor
from wasmgrad.compiler.quantization.samples import read_samples

PICTURE = TensorInfo("x", "float32", (1, 3, 8, 8))
VECTOR = TensorInfo("v", "float32", (2, 3))
IDS = TensorInfo("ids", "int64", (1, 4))


def _values(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_an_array_holds_one_sample_or_several(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", _values(2, 3))
    np.save(tmp_path / "three.npy", _values(6, 3))
    samples = read_samples([tmp_path / "one.npy", str(tmp_path / "three.npy")], [VECTOR], None)
    assert [list(sample) for sample in samples] == [["v"]] * 4
    np.testing.assert_array_equal(samples[3]["v"], _values(6, 3)[4:])


def test_an_archive_holds_all_inputs(tmp_path: Path) -> None:
    ids = np.arange(12).reshape(3, 4)
    np.savez(tmp_path / "a.npz", v=_values(6, 3), ids=ids)
    samples = read_samples([tmp_path / "a.npz"], [VECTOR, IDS], None)
    assert len(samples) == 3
    np.testing.assert_array_equal(samples[1]["ids"], ids[1:2])
    np.testing.assert_array_equal(samples[1]["v"], _values(6, 3)[2:4])


def test_pictures_of_a_folder_are_taken_by_name_as_preprocess_says(tmp_path: Path) -> None:
    for name, shade in (("b.png", 200), ("a.png", 20), (".hidden", 0)):
        Image.new("RGB", (30, 20), (shade, 0, 0)).save(tmp_path / name, "png")
    samples = read_samples([tmp_path], [PICTURE], "raw")
    assert [sample["x"][0, 0, 0, 0] for sample in samples] == [20, 200]
    (sample,) = read_samples([tmp_path / "b.png"], [PICTURE], "imagenet")
    expected = to_tensor(open_image(tmp_path / "b.png"), preprocessing("imagenet", PICTURE), PICTURE)
    np.testing.assert_array_equal(sample["x"], expected)


@pytest.mark.parametrize(
    ("name", "inputs", "kind", "sentence"),
    [
        ("absent.npy", [VECTOR], NotFound, "absent.npy: this file does not exist"),
        ("absent.png", [PICTURE], NotFound, "absent.png: this picture does not exist"),
        ("empty", [PICTURE], NotFound, "empty: this folder has no files"),
        ("damaged.npy", [VECTOR], InvalidEncoding, "damaged.npy: not an array file"),
        ("damaged.png", [PICTURE], InvalidEncoding, "damaged.png: not a picture"),
        ("picture.png", [PICTURE], InvalidArgument, "picture.png: say with preprocess how"),
        (
            "picture.png",
            [PICTURE, IDS],
            InvalidArgument,
            "picture.png: a picture needs a model with one input",
        ),
        (
            "doubles.npy",
            [VECTOR],
            InvalidArgument,
            "doubles.npy: expected numbers of v: float32[2, 3], not float64",
        ),
        (
            "odd.npy",
            [VECTOR],
            InvalidArgument,
            "odd.npy: an array of shape [3, 3] does not hold whole samples",
        ),
        ("vector.npy", [VECTOR], InvalidArgument, "vector.npy: an array of shape [6] does not hold whole"),
        ("vector.npy", [VECTOR, IDS], InvalidArgument, "vector.npy: one array for a model with the inputs"),
        (
            "named.npz",
            [VECTOR, IDS],
            InvalidArgument,
            "named.npz: holds the arrays v; the model's inputs are v, ids",
        ),
        ("uneven.npz", [VECTOR, IDS], InvalidArgument, "not 3 of v, 2 of ids"),
    ],
)
def test_what_is_no_input_is_refused(
    tmp_path: Path, name: str, inputs: list[TensorInfo], kind: type[Error], sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.npy").write_bytes(b"nothing")
    (tmp_path / "damaged.png").write_bytes(b"nothing")
    Image.new("RGB", (9, 9)).save(tmp_path / "picture.png")
    np.save(tmp_path / "doubles.npy", np.zeros((2, 3)))
    np.save(tmp_path / "odd.npy", _values(3, 3))
    np.save(tmp_path / "vector.npy", _values(6))
    np.savez(tmp_path / "named.npz", v=_values(2, 3))
    np.savez(tmp_path / "uneven.npz", v=_values(6, 3), ids=np.zeros((2, 4), np.int64))
    with pytest.raises(kind) as found:
        read_samples([tmp_path / name], inputs, None)
    assert sentence in str(found.value)
