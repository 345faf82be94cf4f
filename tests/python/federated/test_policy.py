"""The policy file of a node: what it takes, and what it refuses by name."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import wasmgrad
from wasmgrad.federated import Policy, Privacy
from wasmgrad.federated._policy import digest

GUEST, MODEL = b"\0asm a guest", b"a model"
WHOLE = """
guests = ["{guest}"]
models = ["*"]
clip_norm = 2.5
store = "store"
engine = "wasmtime"
threads = 2
epochs = 3
samples = 100
most_bytes = 4096

[directories]
"/data" = "rows"

[limits]
memory_pages = 512

[privacy]
noise_multiplier = 4.0
epsilon = 8.0
delta = 1e-5
account = "account.json"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "policy.toml"
    file.write_text(text)
    return file


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    policy = Policy.load(written(tmp_path, WHOLE.format(guest=digest(GUEST))))
    assert policy.guests == (digest(GUEST),)
    assert (policy.clip_norm, policy.threads, policy.epochs, policy.samples) == (2.5, 2, 3, 100)
    assert policy.directories == {"/data": tmp_path / "rows"}
    assert policy.limits == wasmgrad.Limits(memory_pages=512, wall_seconds=3600)
    assert policy.privacy == Privacy(
        noise_multiplier=4.0, epsilon=8.0, delta=1e-5, account=tmp_path / "account.json"
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("guests = []\nmodels = []", "clip_norm is missing"),
        ("guests = []\nmodels = []\nclip_norm = 0", "clip_norm is 0"),
        ("guests = []\nmodels = []\nclip_norm = nan", "clip_norm is nan"),
        ("guests = []\nmodels = []\nclip_norm = true", "clip_norm is True"),
        ('guests = ["abc"]\nmodels = []\nclip_norm = 1', "guests: 'abc'"),
        ('guests = "*"\nmodels = []\nclip_norm = 1', "guests: expected a list"),
        ("guests = []\nmodels = []\nclip_norm = 1\nepoch = 1", "epoch is not known"),
        ("guests = []\nmodels = []\nclip_norm = 1\nepochs = 0", "epochs is 0"),
        ("guests = []\nmodels = []\nclip_norm = 1\n[limits]\nmemory = 1", "limits.memory is not known"),
        ("guests = []\nmodels = []\nclip_norm = 1\n[directories]\n'/data' = 1", "directories./data is 1"),
        ("guests = []\nmodels = []\nclip_norm = 1\n[privacy]\ndelta = 0.1", "privacy.account is missing"),
        ("guests = [", "not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(wasmgrad.InvalidArgument) as failure:
        Policy.load(written(tmp_path, text))
    assert named in failure.value.message
    assert "policy.toml: " in failure.value.message


def test_noise_needs_a_length_and_a_fixed_number_of_samples(tmp_path: Path) -> None:
    text = WHOLE.format(guest="*")
    for changed in (text.replace("clip_norm = 2.5", "clip_norm = inf"), text.replace("samples = 100\n", "")):
        with pytest.raises(wasmgrad.InvalidArgument, match="privacy: needs"):
            Policy.load(written(tmp_path, changed))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(wasmgrad.NotFound, match=r"none\.toml"):
        Policy.load(tmp_path / "none.toml")


def policy(store: Path | None = None, guests: tuple[str, ...] = (digest(GUEST),)) -> Policy:
    return Policy(guests=guests, models=("*",), clip_norm=math.inf, store=store, most_bytes=64)


def test_a_guest_runs_by_its_hash_only(tmp_path: Path) -> None:
    assert policy().resolve(GUEST, "guest") == GUEST
    with pytest.raises(wasmgrad.SecurityError, match="not one that this node's owner lets run"):
        policy().resolve(GUEST + b"!", "guest")
    with pytest.raises(wasmgrad.SecurityError):
        policy(guests=()).resolve(GUEST, "guest")
    assert policy().resolve(MODEL, "model") == MODEL


def test_what_the_store_has_comes_by_its_hash(tmp_path: Path) -> None:
    name = digest(GUEST)
    for absent in (policy(), policy(tmp_path)):
        with pytest.raises(wasmgrad.NotFound, match=name):
            absent.resolve(name, "guest")
    (tmp_path / name).write_bytes(GUEST)
    assert policy(tmp_path).resolve(name, "guest") == GUEST
    (tmp_path / name).write_bytes(b"another file")
    with pytest.raises(wasmgrad.SecurityError, match="another file than its name says"):
        policy(tmp_path).resolve(name, "guest")


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_what_is_no_hash_reaches_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(wasmgrad.InvalidArgument, match="SHA-256"):
        policy(tmp_path, guests=("*",)).resolve(name, "guest")


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wasmgrad.TooLarge, match="65 bytes"):
        policy(guests=("*",)).resolve(bytes(65), "guest")
