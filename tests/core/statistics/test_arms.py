"""Evidence of either side is an e-value, stages multiply inside the mixture, and radii cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.statistics import (
    asymptotic_radius,
    bounded_mean_radius,
    log_noninferiority_evidence,
    log_staged_evidence,
)

SHARES = st.sampled_from([0.01, 0.05, 0.25, 0.5, 0.9])
STAGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), SHARES), min_size=1, max_size=4)


def under_null(n: int, share: float) -> list[tuple[int, float]]:
    """(failures on the candidate, probability) where both arms fail equally often."""
    return [(k, math.comb(n, k) * share**k * (1 - share) ** (n - k)) for k in range(n + 1)]


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize(("first", "second"), [((8, 0.05), (6, 0.25)), ((3, 0.5), (10, 0.1))])
def test_staged_evidence_has_mean_one_under_the_null(
    first: tuple[int, float], second: tuple[int, float], two_sided: bool
) -> None:
    """Exactly, over every outcome of two stages with different shares."""
    mean = 0.0
    for one, p_one in under_null(*first):
        for two, p_two in under_null(*second):
            seen = [(one, first[0] - one, first[1]), (two, second[0] - two, second[1])]
            mean += p_one * p_two * math.exp(log_staged_evidence(seen, two_sided=two_sided))
    assert mean == pytest.approx(1.0, rel=1e-9)


def test_evidence_is_less_for_a_better_candidate() -> None:
    """The null is every ratio up to the allowed one; its inside gives a mean below one."""
    share, n = 0.1, 20
    better = share * 0.5 / (share * 0.5 + 1 - share)
    mean = sum(
        p * math.exp(log_staged_evidence([(k, n - k, share)])) for k, p in under_null(n, better)
    )
    assert mean < 1.0


@given(STAGES, st.floats(1.0, 2.0))
def test_one_more_failure_of_the_candidate_is_more_evidence(
    stages: list[tuple[int, int, float]], ratio: float
) -> None:
    *rest, (c, p, share) = stages
    here = log_staged_evidence(stages, ratio=ratio)
    assert log_staged_evidence([*rest, (c + 1, p, share)], ratio=ratio) > here
    assert log_staged_evidence([*rest, (c, p + 1, share)], ratio=ratio) < here


@given(STAGES)
def test_stages_come_in_any_order(stages: list[tuple[int, int, float]]) -> None:
    there = log_staged_evidence(list(reversed(stages)))
    assert log_staged_evidence(stages) == pytest.approx(there, abs=1e-6)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), SHARES)
def test_stages_of_one_share_are_one_stage(a: int, b: int, c: int, d: int, share: float) -> None:
    """Multiplying *inside* the mixture: a product of two mixtures would start anew."""
    split = log_staged_evidence([(a, b, share), (c, d, share)])
    assert split == pytest.approx(log_staged_evidence([(a + c, b + d, share)]), abs=1e-6)


@given(STAGES)
def test_an_empty_stage_says_nothing(stages: list[tuple[int, int, float]]) -> None:
    there = log_staged_evidence([*stages, (0, 0, 0.25)])
    assert there == pytest.approx(log_staged_evidence(stages), abs=1e-6)


def test_what_one_stage_learned_counts_in_the_next() -> None:
    """Three stages that each are not enough are, together."""
    stages = [(5, 30, 0.05), (9, 30, 0.12), (18, 30, 0.25)]
    alone = [log_staged_evidence([stage]) for stage in stages]
    assert max(alone) < math.log(20.0) < log_staged_evidence(stages)


@given(STAGES, st.floats(1.0, 3.0), st.floats(0.05, 2.0))
def test_a_wider_allowance_is_less_evidence_for_harm(
    stages: list[tuple[int, int, float]], ratio: float, more: float
) -> None:
    """Only where there is evidence at all: below one it may go either way."""
    strict = log_staged_evidence(stages, ratio=ratio)
    lax = log_staged_evidence(stages, ratio=ratio + more)
    if strict > math.log(20.0):
        assert lax < strict


def test_extremes_stay_finite() -> None:
    assert math.isfinite(log_staged_evidence([(10**6, 10**6, 0.05), (10**6, 0, 0.999)]))
    assert log_staged_evidence([(0, 10**6, 0.05), (0, 10**6, 0.5)]) < -5.0


@given(st.floats(1.0, 1e6), st.floats(1.01, 10.0), st.floats(0.001, 0.3), st.floats(10.0, 1e4))
def test_the_radius_falls_with_evidence(n: float, more: float, alpha: float, best: float) -> None:
    here = asymptotic_radius(n, 1.0, alpha, best)
    assert asymptotic_radius(n * more, 1.0, alpha, best) < here
    assert asymptotic_radius(n, 2.0, alpha, best) == pytest.approx(2.0 * here)
    assert asymptotic_radius(n, 1.0, alpha / 2.0, best) > here


@pytest.mark.parametrize("best", [50.0, 500.0, 5_000.0])
def test_the_radius_is_narrowest_where_it_was_tuned(best: float) -> None:
    """Of the same n, no other tuning is narrower by more than a percent."""
    here = asymptotic_radius(best, 1.0, 0.05, best)
    for other in (best / 8, best / 2, best * 2, best * 8):
        assert asymptotic_radius(best, 1.0, 0.05, other) > here * 0.99


@pytest.mark.parametrize(("n", "share", "ratio"), [(30, 0.1, 2.0), (12, 0.5, 1.5)])
def test_evidence_of_similar_rates_has_mean_one_at_the_margin(
    n: int, share: float, ratio: float
) -> None:
    """Exactly, where the challenger fails just so many times as often; beyond it less."""
    for times, most in ((ratio, 1.0), (1.3 * ratio, 0.999_999)):
        q = share * times / (share * times + 1.0 - share)
        mean = sum(
            p * math.exp(log_noninferiority_evidence([(k, n - k, share)], ratio))
            for k, p in under_null(n, q)
        )
        assert mean <= most + 1e-9
    assert mean > 0.1


@given(STAGES, st.floats(1.2, 3.0))
def test_one_more_failure_of_the_champion_is_more_evidence_of_similar_rates(
    stages: list[tuple[int, int, float]], ratio: float
) -> None:
    *rest, (c, p, share) = stages
    here = log_noninferiority_evidence(stages, ratio)
    assert log_noninferiority_evidence([*rest, (c, p + 1, share)], ratio) > here
    assert log_noninferiority_evidence([*rest, (c + 1, p, share)], ratio) < here


@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_the_bounded_radius_covers_at_every_look(rate: float) -> None:
    """Values of 0 and 1 from the first one on: rare ones are where a normal radius fails."""
    rng, alpha, runs, n = np.random.default_rng(3), 0.1, 400, 2_000
    values = (rng.random((runs, n)) < rate).astype(float)
    counts = np.arange(1, n + 1)
    mean = np.cumsum(values, axis=1) / counts
    centred = counts * mean * (1.0 - mean)
    missed = 0
    for one, squares in zip(mean, centred, strict=True):
        looks = [*range(19), *range(19, n, 37)]
        missed += any(
            rate > one[i] + bounded_mean_radius(i + 1, float(squares[i]), 1.0, alpha) for i in looks
        )
    assert missed <= alpha * runs


@given(st.integers(1, 10**6), st.floats(0.0, 1.0), st.floats(0.1, 100.0), st.floats(0.001, 0.3))
def test_the_bounded_radius_is_of_the_values_unit(
    n: int, spread: float, most: float, alpha: float
) -> None:
    squares = n * (spread * most / 2.0) ** 2
    here = bounded_mean_radius(n, squares, most, alpha)
    assert here == pytest.approx(most * bounded_mean_radius(n, squares / most**2, 1.0, alpha))
    assert bounded_mean_radius(n, squares, most, alpha / 2.0) > here
    assert bounded_mean_radius(4 * n, 4.0 * squares, most, alpha) < here
    assert math.isinf(bounded_mean_radius(0, 0.0, most, alpha))
