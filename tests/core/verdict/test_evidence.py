"""Evidence: e-values have mean one under the null, p-values are uniform, SR is its recursion."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest

from windvane.core.verdict import (
    calibrated_p,
    log_beta_evidence,
    log_conditional_evidence,
    p_to_e,
    shiryaev_roberts,
)


def test_p_to_e_has_mean_one_under_a_uniform_p() -> None:
    """Over p = exp(-x); beyond x = 27 the clip at 1e-12 only makes e smaller."""
    mean, _ = quad(
        lambda x: float(p_to_e(np.array([math.exp(-x)]))[0]) * math.exp(-x), 1e-6, 27.0, limit=400
    )
    tail = 1.0 / 27.0  # of 1 / (p ln^2 p), which the clip cuts off
    assert mean == pytest.approx(1.0 - tail, abs=2e-3)
    assert mean <= 1.0


def test_p_to_e_falls_in_p_and_is_never_negative() -> None:
    p = np.concatenate([[0.0], np.geomspace(1e-15, 1.0, 4000), 1.0 - np.geomspace(1e-12, 0.1, 500)])
    e = p_to_e(np.sort(p))
    assert np.isfinite(e).all()
    assert (e >= 0.0).all()
    assert (np.diff(e) <= 1e-6).all()
    assert p_to_e(np.array([1.0]))[0] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("levels", [3, 20, 10**9])
def test_calibrated_p_is_uniform_when_window_and_calibration_exchange(levels: int) -> None:
    """Also where most scores are tied. 4,000 windows; a KS distance over .03 has p < .002."""
    rng = np.random.default_rng(11)
    scores = rng.integers(0, levels, (4_000, 40)).astype(float)
    p = calibrated_p(scores[:, 0], scores[:, 1:], rng.random(4_000))
    assert kstest(p, "uniform").statistic < 0.03


def test_calibrated_p_leaves_absent_entries_out() -> None:
    calibration = np.array([[1.0, np.nan, 3.0, 2.0, np.nan]])
    for score, u, p in [(0.0, 0.0, 0.75), (2.0, 0.0, 0.25), (2.0, 0.5, 0.5), (9.0, 0.4, 0.1)]:
        found = calibrated_p(np.array([score]), calibration, np.array([u]))
        assert found[0] == pytest.approx(p)


def test_calibrated_p_without_calibration_is_the_dice() -> None:
    found = calibrated_p(np.array([5.0]), np.full((1, 3), np.nan), np.array([0.3]))
    assert found[0] == pytest.approx(0.3)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.floats(0, 1),
    st.floats(0, 1, exclude_max=True),
)
def test_calibrated_p_lies_in_the_unit_interval(past: list[float], score: float, u: float) -> None:
    (p,) = calibrated_p(np.array([score]), np.array([past]), np.array([u]))
    assert 0.0 <= p <= 1.0
    (larger,) = calibrated_p(np.array([score + 0.1]), np.array([past]), np.array([u]))
    assert larger <= p


@given(st.lists(st.floats(0, 5), min_size=1, max_size=15))
def test_shiryaev_roberts_sums_the_products_of_all_runs(e_values: list[float]) -> None:
    value = np.zeros(1)
    for e in e_values:
        value = shiryaev_roberts(value, np.array([e]))
    oracle = sum(math.prod(e_values[start:]) for start in range(len(e_values)))
    assert value[0] == pytest.approx(oracle, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_beta_evidence_has_mean_one_at_the_boundary(rate: float) -> None:
    """Exactly: summed over every outcome of n trials."""
    for n in (1, 7, 40):
        mean = sum(
            math.comb(n, k) * rate**k * (1 - rate) ** (n - k)
            * math.exp(log_beta_evidence(k, n - k, rate, 1.0, 1.0))
            for k in range(n + 1)
        )  # fmt: skip
        assert mean == pytest.approx(1.0, rel=1e-9)


def test_beta_evidence_is_less_below_the_boundary() -> None:
    rate, n = 0.02, 50
    mean = sum(
        math.comb(n, k) * rate**k * (1 - rate) ** (n - k)
        * math.exp(log_beta_evidence(k, n - k, 0.05, 1.0, 1.0))
        for k in range(n + 1)
    )  # fmt: skip
    assert mean < 1.0


@pytest.mark.parametrize("impossible", [0.0, 1.0, -0.1])
def test_a_rate_must_be_possible(impossible: float) -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        log_beta_evidence(1, 1, impossible, 1.0, 1.0)


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.01, 0.9))
def test_more_failures_of_the_candidate_are_more_evidence(c: int, p: int, share: float) -> None:
    here = log_conditional_evidence(c, p, share)
    assert log_conditional_evidence(c + 1, p, share) > here
    assert log_conditional_evidence(c, p + 1, share) < here


def test_large_counts_stay_finite() -> None:
    assert math.isfinite(log_beta_evidence(10**6, 10**7, 0.05, 1.0, 1.0))
    assert log_beta_evidence(10**6, 10**7, 0.05, 1.0, 1.0) > 1_000
    assert log_beta_evidence(0, 10**5, 0.05, 1.0, 1.0) < -1_000
