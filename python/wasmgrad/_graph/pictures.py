"""Pictures to input tensors and scores to named classes. It knows no engine and no module, only shapes and numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._errors import InvalidArgument, InvalidEncoding, NotFound, RuntimeFailure, TooLarge
from .._files import find_part
from .format.metadata import Preprocess, TensorInfo

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "Classified",
    "classify",
    "imagenet_labels",
    "is_picture",
    "open_image",
    "preprocessing",
    "read_labels",
    "to_tensor",
]

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_IMAGENET_MARGIN = 256 / 224  # the shorter side before the crop, per pixel of the crop


class Classified(NamedTuple):
    """One class of a result: its number, its name (None when it has none), and its probability."""

    number: int
    label: str | None
    probability: float

    def __str__(self) -> str:
        return f"{self.number} {self.label}" if self.label else str(self.number)


def is_picture(path: Path) -> bool:
    """Whether a file's name ends as those of pictures do that can be read."""
    from PIL import Image

    return Image.registered_extensions().get(path.suffix.lower()) in Image.OPEN


def open_image(path: Path) -> Image.Image:
    """The picture in a file, decoded and turned upright.

    Errors: `NotFound`, `InvalidEncoding` when it is no picture or a damaged one, `TooLarge` above Pillow's limit of
    about 179 million pixels, `RuntimeFailure` when it cannot be read.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise NotFound("pictures need the package Pillow; install it with `pip install pillow`") from error
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: this picture does not exist") from error
    except UnidentifiedImageError as error:
        raise InvalidEncoding(f"{path}: not a picture of a known format") from error
    except Image.DecompressionBombError as error:
        raise TooLarge(f"{path}: a picture this large is refused: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise RuntimeFailure(f"{path}: cannot be read: {error.strerror}") from error
        raise InvalidEncoding(f"{path}: a damaged picture: {error}") from error
    except (ValueError, SyntaxError, EOFError) as error:  # what decoders raise on damaged files
        raise InvalidEncoding(f"{path}: a damaged picture: {error}") from error


def preprocessing(choice: str, info: TensorInfo) -> Preprocess:
    """How pictures become the tensor `info`: "imagenet", "raw" (0 to 255, scaled to fit), or the path of a JSON file.

    Errors: `InvalidArgument` when `info` has no shape of pictures, `NotFound`, `InvalidEncoding`.
    """
    if choice not in ("imagenet", "raw"):
        return Preprocess.parse(_read(Path(choice), "preprocessing"))
    layout, height, width, channels = _picture_shape(info)
    color = "L" if channels == 1 else "RGB"
    if choice == "raw":
        zeros, ones = (0.0,) * channels, (1.0,) * channels
        return Preprocess(None, (height, width), "bilinear", layout, color, 1.0, zeros, ones)
    if channels != 3:
        raise InvalidArgument(
            f"preprocessing imagenet: expected an input of 3 channels, not {info}; raw and JSON files fit others"
        )
    resize = round(max(height, width) * _IMAGENET_MARGIN)
    return Preprocess(
        resize, (height, width), "bicubic", layout, color, 1 / 255, _IMAGENET_MEAN, _IMAGENET_STD
    )


def to_tensor(image: Image.Image, how: Preprocess, info: TensorInfo) -> NDArray[Any]:
    """One picture as an array of shape (1, ...) and the dtype of `info`.

    Errors: `InvalidArgument` when `how` makes another shape than `info` has.
    """
    from PIL import Image

    height, width = how.crop
    shape = (how.channels, height, width) if how.layout == "NCHW" else (height, width, how.channels)
    if info.shape[1:] != shape:
        raise InvalidArgument(f"the preprocessing makes pictures of shape {list(shape)}; the input is {info}")
    image = image.convert("L" if how.color == "L" else "RGB")
    method = Image.Resampling[how.interpolation.upper()]
    if how.resize is None:
        image = image.resize((width, height), method)
    else:
        factor = how.resize / min(image.size)
        image = image.resize((round(image.width * factor), round(image.height * factor)), method)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    pixels = np.asarray(image, np.float32).reshape(height, width, how.channels)
    if how.color == "BGR":
        pixels = pixels[:, :, ::-1]
    values = (pixels * np.float32(how.scale) - np.array(how.mean, np.float32)) / np.array(how.std, np.float32)
    if how.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    dtype = info.numpy_dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return np.ascontiguousarray(values[None], dtype)


def read_labels(path: Path) -> tuple[str, ...]:
    """The lines of a text file. Errors: `NotFound`, `InvalidEncoding` when it is not UTF-8."""
    try:
        return tuple(_read(path, "label file").decode().splitlines())
    except UnicodeDecodeError as error:
        raise InvalidEncoding(f"{path}: labels are expected as UTF-8 text, one a line") from error


def imagenet_labels() -> tuple[str, ...]:
    """The names of the 1,000 classes."""
    return read_labels(find_part("data/imagenet/labels.txt", "data/imagenet/labels.txt"))


def classify(scores: NDArray[Any], labels: tuple[str, ...] | None, count: int = 5) -> list[Classified]:
    """The `count` most probable classes of one picture's scores, best first.

    Scores that are no probabilities yet (from 0, sum 1) go through softmax. Errors: `InvalidArgument` when there is
    not one label a class.
    """
    values = scores.reshape(-1).astype(np.float64)
    if labels is not None and len(labels) != len(values):
        raise InvalidArgument(f"{len(labels)} labels for {len(values)} classes: expected one for each")
    is_distribution = bool(np.all(values >= 0)) and abs(float(values.sum()) - 1) < 1e-3
    if not is_distribution and len(values) > 1:
        exponents = np.exp(values - values.max())
        values = exponents / exponents.sum()
    best = np.argsort(-values, kind="stable")[:count]
    return [Classified(int(i), labels[i] if labels else None, float(values[i])) for i in best]


def _picture_shape(info: TensorInfo) -> tuple[str, int, int, int]:
    """Layout, height, width and channels of a tensor that holds pictures."""
    if len(info.shape) == 4:
        _, first, second, third = info.shape
        if first in (1, 3):
            return "NCHW", second, third, first
        if third in (1, 3):
            return "NHWC", first, second, third
    raise InvalidArgument(
        f"expected an input for pictures, [N, 1 or 3, H, W] or [N, H, W, 1 or 3], not {info}"
    )


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"{path}: this {what} does not exist") from error
    except OSError as error:
        raise RuntimeFailure(f"{path}: cannot be read: {error.strerror or error}") from error
