"""Looking after every batch of units is free: false rollbacks stay within alpha, harm is found.

Simulated with fixed seeds. "Within" is one-sided at 1%: with R runs at level alpha, more
than the 99% quantile of Binomial(R, alpha) would refute the claim. A repeated z-test on the
same traffic shows that the check can fail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from windvane.core.rollout import (
    ArmFacts,
    GateFacts,
    GatePolicy,
    StageErrors,
    judge_gate,
    mean_difference_bounds,
)
from windvane.core.verdict import Outcome

RUNS, LOOKS, UNITS = 120, 40, 400
POLICY = GatePolicy(alpha=0.05, max_error_rate=0.2)
Counts = NDArray[np.int64]


def allowed(runs: int, alpha: float) -> int:
    return int(binom.ppf(0.99, runs, alpha))


@dataclass
class Traffic:
    """Cumulative counts (runs, looks) of fresh units and those of them that failed, by arm."""

    units_c: Counts
    units_p: Counts
    failed_c: Counts
    failed_p: Counts


def traffic(rate_c: float, rate_p: float, shares: list[float], seed: int) -> Traffic:
    """``UNITS`` new units a look; the look's share of them meets the challenger."""
    rng = np.random.default_rng(seed)
    to_c = rng.binomial(UNITS, np.array(shares)[None, :], (RUNS, len(shares)))
    return Traffic(
        *(
            np.cumsum(x, axis=1)
            for x in (
                to_c,
                UNITS - to_c,
                rng.binomial(to_c, rate_c),
                rng.binomial(UNITS - to_c, rate_p),
            )
        )
    )


def outcomes(t: Traffic, shares: list[float], what: str = "errors") -> list[int | None]:
    """The look at which each run was rolled back; None where it never was."""
    found: list[int | None] = []
    first = {share: shares.index(share) for share in shares}
    for run in range(RUNS):
        rolled = None
        for look in range(len(shares)):
            staged: list[StageErrors] = []
            for share, begin in first.items():
                if begin > look:
                    continue
                end = min(look, max(i for i, s in enumerate(shares) if s == share))
                c, p = (
                    int(x[run, end] - (x[run, begin - 1] if begin else 0))
                    for x in (t.failed_c, t.failed_p)
                )
                staged.append(StageErrors(c, p, share))
            told = tuple(staged)
            none = (StageErrors(0, 0, shares[look]),)
            facts = GateFacts(
                0.0, 0.0, int(t.units_c[run, look]),
                int(t.failed_c[run, look]) if what == "errors" else 0,
                told if what == "errors" else none,
                told if what == "slow" else none,
            )  # fmt: skip
            if judge_gate(facts, POLICY, 60.0 * look).failed:
                rolled = look
                break
        found.append(rolled)
    return found


def z_test_rolls_back(t: Traffic) -> int:
    """Runs in which a two-proportion z-test, one-sided at 5%, ever rejects."""
    n, m = t.units_c, t.units_p
    pooled = (t.failed_c + t.failed_p) / (n + m)
    spread = np.sqrt(np.maximum(pooled * (1 - pooled) * (1 / n + 1 / m), 1e-12))
    z = (t.failed_c / n - t.failed_p / m) / spread
    return int((z > 1.645).any(axis=1).sum())


ONE_STAGE = [0.1] * LOOKS
THREE_STAGES = [0.05] * 10 + [0.1] * 15 + [0.25] * 15


@pytest.mark.parametrize("shares", [ONE_STAGE, THREE_STAGES], ids=["one stage", "three stages"])
@pytest.mark.parametrize("what", ["errors", "slow"])
def test_a_good_canary_is_seldom_rolled_back(shares: list[float], what: str) -> None:
    """Both arms at 2%; the z-test on the same counts is refuted."""
    t = traffic(0.02, 0.02, shares, seed=17)
    rolled = [look for look in outcomes(t, shares, what) if look is not None]
    assert len(rolled) <= allowed(RUNS, POLICY.alpha)
    assert z_test_rolls_back(t) > allowed(RUNS, 0.05)


@pytest.mark.parametrize("shares", [ONE_STAGE, THREE_STAGES], ids=["one stage", "three stages"])
def test_a_bad_canary_is_found(shares: list[float]) -> None:
    """6% against 2%: at least 95 of 100 go, and half of them within 15 looks."""
    looks = outcomes(traffic(0.06, 0.02, shares, seed=18), shares)
    found = sorted(look for look in looks if look is not None)
    assert len(found) >= 0.95 * RUNS
    assert found[len(found) // 2] <= 15


def test_a_slow_canary_is_found() -> None:
    looks = outcomes(traffic(0.06, 0.02, ONE_STAGE, seed=19), ONE_STAGE, "slow")
    assert sum(look is not None for look in looks) >= 0.95 * RUNS


def test_a_better_canary_is_hardly_ever_rolled_back() -> None:
    looks = outcomes(traffic(0.01, 0.02, ONE_STAGE, seed=20), ONE_STAGE)
    assert sum(look is not None for look in looks) <= allowed(RUNS, POLICY.alpha / 4)


def test_a_canary_at_the_limit_is_seldom_promoted() -> None:
    """The absolute guard's pass is a claim too: units fail exactly as often as is allowed."""
    rng = np.random.default_rng(21)
    policy = GatePolicy(alpha=0.05, max_error_rate=0.05)
    losses = ArmFacts(100_000, 15_000.0, 2_500.0)
    promoted = 0
    for _ in range(RUNS):
        units = failed = 0
        for look in range(LOOKS):
            units += 40
            failed += int(rng.binomial(40, policy.max_error_rate))
            facts = GateFacts(0.0, 0.0, units, failed, (), (), losses, losses)
            if judge_gate(facts, policy, 60.0 * look).outcome is Outcome.PASS:
                promoted += 1
                break
    assert promoted <= allowed(RUNS, policy.alpha)


def test_bounds_hold_the_true_gap_at_every_look() -> None:
    """Brier-like losses, arms of 1 to 9; looked at from 50 outcomes of the smaller arm on."""
    rng = np.random.default_rng(22)
    alpha, missed, naive = 0.05, 0, 0
    gap = 0.02
    for _ in range(RUNS):
        c = np.cumsum(np.stack([(x := rng.beta(2, 8, 2_000) + gap), x * x]), axis=1)
        p = np.cumsum(np.stack([(y := rng.beta(2, 8, 18_000)), y * y]), axis=1)
        out = naive_out = False
        for n in range(50, 2_001, 50):
            one = (n, float(c[0, n - 1]), float(c[1, n - 1]))
            two = (9 * n, float(p[0, 9 * n - 1]), float(p[1, 9 * n - 1]))
            low, high = mean_difference_bounds(one, two, alpha, 500.0)
            out |= not low <= gap <= high
            means = one[1] / n, two[1] / (9 * n)
            spread = [v / k - m * m for (k, _, v), m in zip((one, two), means, strict=True)]
            half = 1.96 * math.sqrt(spread[0] / n + spread[1] / (9 * n))
            naive_out |= abs(means[0] - means[1] - gap) > half
        missed += out
        naive += naive_out
    assert missed <= allowed(RUNS, alpha)
    assert naive > allowed(RUNS, alpha)
