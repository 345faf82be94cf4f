"""What a node's owner lets other people's guests do: read from a file of the owner's, and loosened by nobody."""

from __future__ import annotations

import hashlib
import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .._errors import InvalidArgument, NotFound, SecurityError, TooLarge
from .._training.options import Limits

__all__ = ["Policy", "Privacy", "digest"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
ANY = "*"


def digest(contents: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(contents).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Privacy:
    """Gaussian noise on every update, and how much may be learnt from all of them together."""

    noise_multiplier: float
    """Standard deviation of the noise on each number, as a multiple of the policy's `clip_norm`."""
    epsilon: float
    """No update leaves the node that would bring what all have told above this."""
    delta: float
    account: Path
    """A file of the node's, which counts the updates."""

    def __post_init__(self) -> None:
        for name, most in {"noise_multiplier": math.inf, "epsilon": math.inf, "delta": 1.0}.items():
            value = getattr(self, name)
            if not _is_number(value) or not 0 < value < most:
                raise InvalidArgument(
                    f"privacy.{name} is {value!r}; expected a number above 0{'' if most > 1 else ' and below 1'}"
                )


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a guest that came with a task may do on this node, and what leaves the node then."""

    guests: Sequence[str]
    """SHA-256 of the guests that may run, in hexadecimal; `*` lets any."""
    models: Sequence[str]
    """The same for models. Whatever is let, models are vetted and guests have no more than is granted here."""
    clip_norm: float
    """Updates that are longer are shortened to this Euclidean length; infinite: they leave as they are."""
    store: Path | None = None
    """A directory with guests and models that tasks name by their hash, each in a file called by it."""
    directories: Mapping[str, Path] = field(default_factory=dict)
    """What guests may read: the node's directories by the paths that guests see."""
    limits: Limits = field(default_factory=lambda: Limits(wall_seconds=3600))
    engine: str = "wasmedge"
    threads: int | None = None
    """The most that a training may use."""
    epochs: int | None = None
    """The most that a training may take."""
    samples: int | None = None
    """The most that the node says it trained on, whatever its guest did."""
    most_bytes: int = 1 << 30
    """Size of the largest guest, model or weights that a task may bring."""
    privacy: Privacy | None = None

    def __post_init__(self) -> None:
        for kind in ("guests", "models"):
            for entry in getattr(self, kind):
                if entry != ANY and not (isinstance(entry, str) and _DIGEST.fullmatch(entry)):
                    raise InvalidArgument(
                        f'{kind}: {entry!r} is not a SHA-256 in hexadecimal; expected one, or "*"'
                    )
        if not _is_number(self.clip_norm) or not self.clip_norm > 0:
            raise InvalidArgument(f"clip_norm is {self.clip_norm!r}; expected a number above 0")
        for name in ("threads", "epochs", "samples", "most_bytes"):
            value = getattr(self, name)
            if value is not None and not (
                isinstance(value, int) and not isinstance(value, bool) and value > 0
            ):
                raise InvalidArgument(f"{name} is {value!r}; expected a whole number above 0")
        if self.privacy is not None and (math.isinf(self.clip_norm) or self.samples is None):
            raise InvalidArgument(
                "privacy: needs a finite clip_norm, and samples, which then is what the node always says"
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """The policy in a TOML file; relative paths in it are relative to its folder.

        Errors: `NotFound` for a file that cannot be read, `InvalidArgument`, naming the key, for what is wrong in it.
        """
        file = Path(path)
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise NotFound(f"{file}: the policy cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"{file}: not TOML: {error}") from None
        try:
            return _policy(table, file.resolve().parent)
        except InvalidArgument as error:
            raise InvalidArgument(f"{file}: {error.message}") from None

    def resolve(self, given: bytes | str, kind: str) -> bytes:
        """The guest or model, `kind`, that a task brings as bytes or names by its SHA-256.

        Errors: `SecurityError` for one that this policy does not name, `NotFound` for a hash that the store does not
        have, `TooLarge`.
        """
        name = digest(given) if isinstance(given, bytes) else given
        if not _DIGEST.fullmatch(name):
            raise InvalidArgument(
                f"the {kind} is {name!r:.80}; expected its bytes, or its SHA-256 in hexadecimal"
            )
        allowed = self.guests if kind == "guest" else self.models
        if name not in allowed and ANY not in allowed:
            raise SecurityError(f"the {kind} {name} is not one that this node's owner lets run")
        contents = given if isinstance(given, bytes) else self._stored(name, kind)
        if len(contents) > self.most_bytes:
            raise TooLarge(f"the {kind} has {len(contents)} bytes; this node takes {self.most_bytes}")
        return contents

    def _stored(self, name: str, kind: str) -> bytes:
        try:
            if self.store is None:
                raise FileNotFoundError
            contents = (self.store / name).read_bytes()
        except OSError:
            raise NotFound(f"the {kind} {name} is not in this node's store; send its bytes") from None
        if digest(contents) != name:
            raise SecurityError(f"the {kind} {name} in this node's store is another file than its name says")
        return contents


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def _policy(table: dict[str, Any], folder: Path) -> Policy:
    known = {each.name for each in fields(Policy)}
    _refuse_unknown(table, known, "")
    chosen = dict(table)
    for name in ("guests", "models", "clip_norm"):
        if name not in table:
            raise InvalidArgument(f"{name} is missing")
    for name in ("guests", "models"):
        if not isinstance(table[name], list):
            raise InvalidArgument(f'{name}: expected a list of SHA-256 in hexadecimal, or ["*"]')
        chosen[name] = tuple(table[name])
    if "store" in table:
        chosen["store"] = _path(table["store"], "store", folder)
    chosen["directories"] = {
        guest: _path(host, f"directories.{guest}", folder)
        for guest, host in _table(table, "directories").items()
    }
    if "limits" in table:
        limits = _table(table, "limits")
        _refuse_unknown(limits, set(Limits().to_config()), "limits.")
        chosen["limits"] = Limits(**{"wall_seconds": 3600, **limits})
    if "privacy" in table:
        privacy = _table(table, "privacy")
        needed = {each.name for each in fields(Privacy)}
        _refuse_unknown(privacy, needed, "privacy.")
        for name in sorted(needed - set(privacy)):
            raise InvalidArgument(f"privacy.{name} is missing")
        account = _path(privacy["account"], "privacy.account", folder)
        chosen["privacy"] = Privacy(**{**privacy, "account": account})
    return Policy(**chosen)


def _table(table: dict[str, Any], name: str) -> dict[str, Any]:
    value = table.get(name, {})
    if not isinstance(value, dict):
        raise InvalidArgument(f"{name} is {value!r:.80}; expected a table")
    return value


def _refuse_unknown(table: dict[str, Any], known: set[str], prefix: str) -> None:
    for key in table:
        if key not in known:
            raise InvalidArgument(f"{prefix}{key} is not known; expected {', '.join(sorted(known))}")


def _path(value: object, name: str, folder: Path) -> Path:
    if not isinstance(value, str) or not value:
        raise InvalidArgument(f"{name} is {value!r:.80}; expected a path")
    return folder / value
