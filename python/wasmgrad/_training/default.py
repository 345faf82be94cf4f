"""What `train` uses when no guest is named: the packaged MNIST guest, its data and its model."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .._errors import InvalidArgument, InvalidEncoding, NotFound
from .._files import cache_dir, find_part, write_atomic

__all__ = ["DEFAULT_MODEL", "guest_with_grants", "prepare_mnist"]

_Guest = TypeVar("_Guest", bound=str | os.PathLike[str])

DEFAULT_MODEL = "mnist-cnn"

_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def prepare_mnist() -> Path:
    """A directory with the four IDX files of the packaged data.

    They are decompressed once, into the cache, and checked by SHA-256.
    Errors: `NotFound` without packaged data, `InvalidEncoding` when a packaged file is damaged.
    """
    packed = find_part("data/mnist", "data/mnist")
    sums = (packed / "SHA256SUMS").read_bytes()
    target = cache_dir() / "mnist"
    stamp = target / "SHA256SUMS"
    if stamp.is_file() and stamp.read_bytes() == sums and all((target / name).is_file() for name in _FILES):
        return target
    target.mkdir(parents=True, exist_ok=True)
    expected = {name: digest for digest, name in (line.split() for line in sums.decode().splitlines())}
    for name in _FILES:
        source = packed / f"{name}.gz"
        try:
            contents = gzip.decompress(source.read_bytes())
        except FileNotFoundError:
            raise NotFound(f"{source}: this MNIST file is missing") from None
        except (OSError, EOFError, zlib.error) as error:
            raise InvalidEncoding(f"{source}: not a whole gzip file ({error})") from None
        if hashlib.sha256(contents).hexdigest() != expected.get(name):
            raise InvalidEncoding(f"{source}: its SHA-256 is not the one that SHA256SUMS gives for {name}")
        write_atomic(target / name, contents)
    write_atomic(stamp, sums)
    return target


def guest_with_grants(
    guest: _Guest | None,
    data: str | os.PathLike[str] | None,
    grants: dict[str, Any],
    spelled: tuple[str, str] = ("data", "dirs"),
) -> tuple[_Guest | Path, dict[str, Any]]:
    """The guest that was named, or the packaged one with what it needs besides the grants.

    grants: `args`, `dirs` and `models`.
    spelled: how the caller's user writes `data` and `dirs`, for the error.
    Errors: `InvalidArgument` for `data` with another guest than the packaged one.
    """
    if guest is None:
        return _default_guest(data=data, **grants)
    if data is not None:
        name, dirs = spelled
        raise InvalidArgument(
            f"{name}: names the MNIST files of the packaged guest; give another guest its own {dirs}"
        )
    return guest, grants


def _default_guest(
    *,
    data: str | os.PathLike[str] | None,
    args: Sequence[str],
    dirs: Sequence[str],
    models: Mapping[str, str | os.PathLike[str]] | None,
) -> tuple[Path, dict[str, Any]]:
    """The packaged guest, and `args`, `dirs`, `models` with what it needs.

    That is MNIST under `/data` and the model's name.
    The first of `models` is the one trained; without any it is `mnist-cnn`.
    """
    from .. import models as registry

    guest = find_part("guests/mnist_train.wasm")
    folder = prepare_mnist() if data is None else Path(os.path.abspath(data))
    chosen = dict(models) if models else {f"{DEFAULT_MODEL}.pt": registry.cached(DEFAULT_MODEL)}
    return guest, {
        "args": ["--model", next(iter(chosen)), *args],
        "dirs": [f"{folder}:/data:ro", *dirs],
        "models": chosen,
    }
