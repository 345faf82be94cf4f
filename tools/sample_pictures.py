"""Real pictures that packages of the registry ship, and seeded crops of them: what quantized classifiers are tried on.

Every fourth picture is for calibration, so that no model is judged on a picture that it was calibrated on.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance
from zoo.packages import Wheel, fetch

__all__ = ["write_crops"]

_PLATFORM = ("3.11", "manylinux_2_28_x86_64")
_FOOLBOX = Wheel("foolbox", "3.3.4", "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb")
_IMGAUG = Wheel("imgaug", "0.4.0", "ce61e65b4eb7405fc62c1b0a79d2fa92fd47f763aaecb65152d29243592111f9")
_SKIMAGE = Wheel(
    "scikit-image",
    "0.26.0",
    "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    _PLATFORM,
)
_SKLEARN = Wheel(
    "scikit-learn",
    "1.9.1",
    "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
    _PLATFORM,
)
_IMAGENET = (
    "00_243 01_559 02_438 03_990 04_949 05_853 06_609 07_609 08_915 09_455 "
    "10_541 11_630 12_741 13_471 14_129 15_99 16_251 17_22 18_317 19_305"
)
_PICTURES: dict[Wheel, tuple[str, ...]] = {
    _FOOLBOX: tuple(f"foolbox/data/imagenet_{name}.jpg" for name in _IMAGENET.split()),
    _IMGAUG: ("imgaug/quokka.jpg",),
    _SKIMAGE: tuple(
        f"skimage/data/{name}"
        for name in (
            "astronaut.png",
            "camera.png",
            "chelsea.png",
            "coffee.png",
            "coins.png",
            "motorcycle_left.png",
            "rocket.jpg",
        )
    ),
    _SKLEARN: ("sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg"),
}
_EVERY = 4  # pictures, of which one is for calibration
_LEAST = 0.35  # of a picture's area that a crop has


def write_crops(folder: Path, each: int, *, calibration: bool, seed: int = 0) -> list[Path]:
    """Writes `each` crops of every picture, of those for calibration or of all others, as PNG files.

    The first crop of a picture is the whole of it, others are random parts, at times mirrored, brighter or darker.

    Raises:
        FetchError: a package cannot be had.
    """
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, picture in enumerate(_pictures()):
        if (number % _EVERY == 0) != calibration:
            continue
        for index in range(each):
            path = folder / f"{number:02}_{index:02}.png"
            (picture if index == 0 else _changed(picture, generator)).save(path, compress_level=1)
            written.append(path)
    return written


def _pictures() -> Iterator[Image.Image]:
    for wheel, names in _PICTURES.items():
        with zipfile.ZipFile(fetch(wheel)) as archive:
            for name in names:
                with Image.open(io.BytesIO(archive.read(name))) as image:
                    yield image.convert("RGB")


def _changed(picture: Image.Image, generator: np.random.Generator) -> Image.Image:
    area = picture.width * picture.height * generator.uniform(_LEAST, 1)
    ratio = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
    width = min(picture.width, round(np.sqrt(area * ratio)))
    height = min(picture.height, round(np.sqrt(area / ratio)))
    left = int(generator.integers(0, picture.width - width + 1))
    top = int(generator.integers(0, picture.height - height + 1))
    crop = picture.crop((left, top, left + width, top + height))
    if generator.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    crop = ImageEnhance.Brightness(crop).enhance(generator.uniform(0.8, 1.2))
    return ImageEnhance.Contrast(crop).enhance(generator.uniform(0.8, 1.2))
