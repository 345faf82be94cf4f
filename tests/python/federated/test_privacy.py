"""Clipping, noise, and the account of what updates have told."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import wasmgrad
from scipy.optimize import brentq
from scipy.stats import norm
from wasmgrad.federated import Policy, Privacy
from wasmgrad.federated._privacy import bounded, check_budget, spend, spent

BEFORE = {
    "weight": np.linspace(-1, 1, 3000, dtype="f4").reshape(30, 100),
    "half": np.ones(7, "f2"),
    "mask": np.array([0.0, -np.inf], "f4"),
    "count": np.array(4, "i8"),
}


def moved(by: float) -> dict[str, np.ndarray]:
    changed = {name: value.copy() for name, value in BEFORE.items()}
    changed["weight"] += np.float32(by)
    changed["count"] = np.array(9, "i8")
    return changed


def policy(clip_norm: float, privacy: Privacy | None = None) -> Policy:
    return Policy(guests=(), models=(), clip_norm=clip_norm, privacy=privacy, samples=10)


def private(folder: Path, multiplier: float = 1.0, epsilon: float = 1e6) -> Privacy:
    return Privacy(noise_multiplier=multiplier, epsilon=epsilon, delta=1e-5, account=folder / "account.json")


@pytest.mark.parametrize("by", [0.5, 1e30])
def test_a_long_update_keeps_its_direction(by: float) -> None:
    after = moved(by)
    left = bounded(BEFORE, after, policy(2.0))
    change = left["weight"].astype("f8") - BEFORE["weight"]
    assert np.linalg.norm(change) == pytest.approx(2.0, rel=1e-4)
    assert np.ptp(change) < 1e-6
    assert left["count"] == 9
    np.testing.assert_array_equal(left["mask"], BEFORE["mask"])
    assert {name: value.dtype for name, value in left.items()} == {n: v.dtype for n, v in BEFORE.items()}


def test_a_short_update_leaves_as_it_is() -> None:
    after = moved(1e-3)
    left = bounded(BEFORE, after, policy(2.0))
    for name, value in after.items():
        np.testing.assert_array_equal(left[name], value)


def test_noise_has_the_size_that_the_policy_says(tmp_path: Path) -> None:
    after = moved(0.0)
    left = bounded(BEFORE, after, policy(0.5, private(tmp_path, multiplier=3.0)))
    noise = (left["weight"].astype("f8") - BEFORE["weight"]).ravel()
    assert noise.std() == pytest.approx(1.5, rel=0.06)  # 4.6 standard errors
    assert abs(noise.mean()) < 0.13
    assert left["count"] == BEFORE["count"]
    assert left["mask"][1] == -np.inf
    again = bounded(BEFORE, after, policy(0.5, private(tmp_path, multiplier=3.0)))
    assert not np.array_equal(left["weight"], again["weight"])


@pytest.mark.parametrize(("multiplier", "updates"), [(4.0, 1), (8.0, 20), (20.0, 300)])
def test_the_account_is_above_what_gaussians_tell_and_not_far(multiplier: float, updates: int) -> None:
    """The exact epsilon of two Gaussians at a distance of 2 C, by the formula of Balle and Wang (2018)."""
    delta, distance = 1e-5, 2 * math.sqrt(updates) / multiplier

    def left(epsilon: float) -> float:
        below, above = distance / 2 - epsilon / distance, -distance / 2 - epsilon / distance
        return float(norm.cdf(below) - math.exp(epsilon) * norm.cdf(above)) - delta

    exact = brentq(left, 1e-9, 300)
    assert exact <= spent({multiplier: updates}, delta) <= 1.25 * exact + 0.1


def test_updates_are_counted_until_the_budget_is_used_up(tmp_path: Path) -> None:
    privacy = private(tmp_path, 8.0, epsilon=3.0)
    most = next(count for count in range(1, 99) if spent({8.0: count + 1}, 1e-5) > 3.0)
    for _ in range(most):
        check_budget(privacy)
        spend(privacy)
    assert json.loads(privacy.account.read_text()) == {
        "updates": [{"noise_multiplier": 8.0, "updates": most}]
    }
    for refuse in (check_budget, spend):
        with pytest.raises(wasmgrad.SecurityError, match="its owner allows 3"):
            refuse(privacy)
    assert json.loads(privacy.account.read_text())["updates"][0]["updates"] == most


def test_updates_with_other_noise_count_too(tmp_path: Path) -> None:
    spend(private(tmp_path, 8.0))
    spend(private(tmp_path, 4.0))
    with pytest.raises(wasmgrad.SecurityError):
        spend(private(tmp_path, 8.0, epsilon=spent({8.0: 1, 4.0: 1}, 1e-5)))


@pytest.mark.parametrize("account", ["{", "[]", '{"updates": [{"updates": 1}]}'])
def test_a_damaged_account_lets_nothing_leave(tmp_path: Path, account: str) -> None:
    privacy = private(tmp_path)
    privacy.account.write_text(account)
    with pytest.raises(wasmgrad.InvalidEncoding, match="privacy account"):
        spend(privacy)
