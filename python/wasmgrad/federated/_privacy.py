"""What leaves a node: an update of bounded length with noise, and the account of what all updates have told.

The account holds for whoever sees every update of the node, its server included: two nodes with any data of their
own cannot be told apart better than epsilon and delta say.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .._errors import InvalidEncoding, NotFound, RuntimeFailure, SecurityError
from .._files import write_atomic
from .._training.weight_files import update_norm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._policy import Policy, Privacy

    Tensors = Mapping[str, NDArray[Any]]

__all__ = ["bounded", "check_budget", "spend", "spent"]


def bounded(before: Tensors, after: Tensors, policy: Policy) -> dict[str, NDArray[Any]]:
    """`before` moved by the update, as the policy lets it leave: shortened to its length, with its noise.

    With noise, whole numbers stay as they were, and every finite number of floating point has some.
    """
    import numpy as np

    length = update_norm(before, after)
    scale = min(1.0, policy.clip_norm / length) if length > 0 else 1.0
    noise = 0.0 if policy.privacy is None else policy.privacy.noise_multiplier * policy.clip_norm
    if scale == 1.0 and noise == 0.0:
        return dict(after)
    random = np.random.Generator(np.random.PCG64(secrets.randbits(256)))
    moved = {}
    for name, old in before.items():
        if old.dtype.kind != "f":
            moved[name] = after[name] if noise == 0.0 else old
            continue
        wide = old.astype("f8")
        finite = np.isfinite(wide)  # what is not, such as a mask of -inf, no training moves
        change = np.subtract(after[name], wide, out=np.zeros_like(wide), where=finite, dtype="f8") * scale
        if noise > 0.0:
            change = change + random.normal(0.0, noise, old.shape)
        moved[name] = np.where(finite, wide + np.where(finite, change, 0.0), wide).astype(old.dtype)
    return moved


def spent(updates: Mapping[float, int], delta: float) -> float:
    """Epsilon of so many updates with each noise multiplier.

    Between any two sets of data an update of length C moves by 2 C, so half of the multiplier counts. Errors:
    `NotFound` without the package that computes it.
    """
    try:
        from dp_accounting import dp_event
        from dp_accounting.rdp import RdpAccountant
    except ImportError as error:
        raise NotFound(
            f"the package {error.name} is not installed; noise needs `pip install 'wasmgrad[flower]'`"
        ) from error
    accountant = RdpAccountant()
    for multiplier, count in updates.items():
        accountant.compose(dp_event.GaussianDpEvent(multiplier / 2), count)
    return float(accountant.get_epsilon(delta)) if updates else 0.0


def check_budget(privacy: Privacy) -> None:
    """Errors: `SecurityError` when one more update would tell more than the owner allows."""
    with _locked(privacy) as updates:
        _with_one_more(updates, privacy)


def spend(privacy: Privacy) -> None:
    """Counts an update before it leaves. Errors: as `check_budget`, and nothing is counted then."""
    with _locked(privacy) as updates:
        more = _with_one_more(updates, privacy)
        entries = [{"noise_multiplier": multiplier, "updates": count} for multiplier, count in more.items()]
        write_atomic(privacy.account, json.dumps({"updates": entries}, indent=2).encode())


def _with_one_more(updates: dict[float, int], privacy: Privacy) -> dict[float, int]:
    more = {**updates, privacy.noise_multiplier: updates.get(privacy.noise_multiplier, 0) + 1}
    epsilon = spent(more, privacy.delta)
    if not epsilon <= privacy.epsilon or math.isnan(epsilon):
        raise SecurityError(
            f"one more update would bring the privacy account to epsilon {epsilon:.3g}; its owner allows "
            f"{privacy.epsilon:g}"
        )
    return more


@contextmanager
def _locked(privacy: Privacy) -> Iterator[dict[float, int]]:
    """The account's counts, while no other process changes them."""
    try:
        handle = os.open(f"{privacy.account}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RuntimeFailure(
            f"{privacy.account}: the privacy account cannot be locked: {error.strerror}"
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield _read(privacy)
    finally:
        os.close(handle)


def _read(privacy: Privacy) -> dict[float, int]:
    try:
        account = json.loads(privacy.account.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidEncoding(f"{privacy.account}: the privacy account cannot be read: {error}") from None
    try:
        return {float(entry["noise_multiplier"]): int(entry["updates"]) for entry in account["updates"]}
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidEncoding(f"{privacy.account}: not a privacy account: {error!r}") from None
