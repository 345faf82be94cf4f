"""Pictures become tensors, and scores become classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from wasmgrad import InvalidArgument
from wasmgrad._graph.format.metadata import Preprocess, TensorInfo
from wasmgrad._graph.pictures import (
    Classified,
    classify,
    imagenet_labels,
    open_image,
    preprocessing,
    to_tensor,
)

PICTURE = TensorInfo("x", "float32", (1, 3, 224, 224))
PLAIN = Preprocess(None, (2, 2), "nearest", "NCHW", "RGB", 1.0, (0.0,) * 3, (1.0,) * 3)
SMALL = TensorInfo("x", "float32", (1, 3, 2, 2))


@pytest.fixture
def corners() -> Image.Image:
    """2 x 2 pixels: red, green, blue and white."""
    pixels = [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]
    return Image.fromarray(np.array(pixels, np.uint8))


def changed(how: Preprocess, **fields: object) -> Preprocess:
    import dataclasses

    return dataclasses.replace(how, **fields)  # type: ignore[arg-type]


def test_channels_come_first_in_nchw(corners: Image.Image) -> None:
    red = [[255, 0], [0, 255]]
    np.testing.assert_array_equal(to_tensor(corners, PLAIN, SMALL)[0, 0], red)


def test_channels_come_last_in_nhwc(corners: Image.Image) -> None:
    info = TensorInfo("x", "float32", (1, 2, 2, 3))
    tensor = to_tensor(corners, changed(PLAIN, layout="NHWC"), info)
    np.testing.assert_array_equal(tensor[0], np.asarray(corners))


def test_blue_comes_first_in_bgr(corners: Image.Image) -> None:
    blue = [[0, 0], [255, 255]]
    np.testing.assert_array_equal(to_tensor(corners, changed(PLAIN, color="BGR"), SMALL)[0, 0], blue)


def test_each_channel_is_normalized_by_its_own_numbers(corners: Image.Image) -> None:
    how = changed(PLAIN, scale=2.0, mean=(10.0, 0.0, 0.0), std=(4.0, 1.0, 1.0))
    assert to_tensor(corners, how, SMALL)[0, :, 0, 0].tolist() == [125.0, 0.0, 0.0]


def test_grey_pictures_have_one_channel(corners: Image.Image) -> None:
    how = Preprocess(None, (2, 2), "nearest", "NCHW", "L", 1.0, (0.0,), (1.0,))
    tensor = to_tensor(corners, how, TensorInfo("x", "float32", (1, 1, 2, 2)))
    np.testing.assert_array_equal(tensor[0, 0], np.asarray(corners.convert("L")))


def test_integer_inputs_are_rounded_and_kept_in_range(corners: Image.Image) -> None:
    how = changed(PLAIN, scale=2.0, mean=(-0.6,) * 3)
    tensor = to_tensor(corners, how, TensorInfo("x", "uint8", (1, 3, 2, 2)))
    assert (tensor.dtype, tensor[0, 0].tolist()) == (np.uint8, [[255, 1], [1, 255]])


def test_the_middle_of_a_wide_picture_is_kept() -> None:
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 255
    how = changed(PLAIN, resize=8, crop=(8, 8))
    tensor = to_tensor(Image.fromarray(pixels), how, TensorInfo("x", "float32", (1, 3, 8, 8)))
    assert tensor.min() == 255


def test_without_a_resize_the_whole_picture_is_scaled() -> None:
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 12:] = 255
    assert to_tensor(Image.fromarray(pixels), PLAIN, SMALL)[0, 0].tolist() == [[0, 255], [0, 255]]


def test_imagenet_scales_the_shorter_side_to_256_for_224() -> None:
    assert preprocessing("imagenet", PICTURE).resize == 256


def test_raw_takes_the_layout_from_the_input() -> None:
    how = preprocessing("raw", TensorInfo("x", "uint8", (1, 32, 48, 1)))
    assert (how.layout, how.crop, how.color) == ("NHWC", (32, 48), "L")


@pytest.mark.parametrize("shape", [(1, 10), (1, 2, 8, 8), ()])
def test_an_input_that_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="expected an input for pictures"):
        preprocessing("raw", TensorInfo("x", "float32", shape))


def test_a_picture_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (20, 40)


def test_probabilities_are_left_as_they_are() -> None:
    assert classify(np.array([[0.25, 0.75]]), None) == [Classified(1, None, 0.75), Classified(0, None, 0.25)]


def test_scores_go_through_softmax() -> None:
    best = classify(np.array([1000.0, 1001.0]), ("no", "yes"))[0]
    assert (best.number, best.label) == (1, "yes")
    assert best.probability == pytest.approx(1 / (1 + np.exp(-1)))


def test_there_are_a_thousand_class_names() -> None:
    labels = imagenet_labels()
    assert (len(labels), labels[285]) == (1000, "Egyptian cat")
