"""The exact area, against scikit-learn, counting every pair, and the bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from windvane.core.statistics import auc, delong, delong_difference

SCORED = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.5000001, 1.0]) | st.floats(-5, 5), st.booleans()),
    max_size=60,
)


def split(scored: list[tuple[float, bool]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([s for s, _ in scored], float), np.array([p for _, p in scored], bool)


@given(SCORED)
def test_it_counts_pairs_with_ties_as_halves(scored: list[tuple[float, bool]]) -> None:
    scores, positive = split(scored)
    found = auc(scores, positive)
    ups, downs = scores[positive], scores[~positive]
    if not len(ups) or not len(downs):
        assert math.isnan(found)
        assert math.isnan(delong(scores, positive).area)
        return
    wins = sum(float(p > n) + 0.5 * float(p == n) for p in ups for n in downs)
    assert found == pytest.approx(wins / (len(ups) * len(downs)), abs=1e-12)
    assert found == pytest.approx(float(roc_auc_score(positive, scores)), abs=1e-12)
    estimate = delong(scores, positive)
    assert estimate.area == pytest.approx(found, abs=1e-12)
    assert (estimate.positives, estimate.negatives) == (len(ups), len(downs))


@given(SCORED)
def test_turning_the_scores_turns_the_area(scored: list[tuple[float, bool]]) -> None:
    scores, positive = split(scored)
    assert auc(-scores, positive) == pytest.approx(1.0 - auc(scores, positive), nan_ok=True)


def test_scores_in_a_thousandth_of_the_range_are_told_apart() -> None:
    """0.1% of positives, all scores below 0.003: on a grid of 1,000 bins this was 0.59."""
    rng = np.random.default_rng(2)
    positive = rng.random(100_000) < 0.001
    odds = rng.normal(size=100_000) + 1.7 * positive
    scores = 1e-3 / (1.0 + np.exp(-odds))
    assert auc(scores, positive) == pytest.approx(float(roc_auc_score(positive, scores)), abs=1e-12)
    assert auc(scores, positive) > 0.8
    counts = np.bincount((scores * 1_000).astype(int))
    assert len(counts) == 1


def test_delong_on_known_values() -> None:
    """Worked by hand from the definition: placements of 3 positives and 4 negatives."""
    scores = np.array([0.9, 0.6, 0.4, 0.7, 0.5, 0.3, 0.1])
    positive = np.array([True] * 3 + [False] * 4)
    by_positive = [4 / 4, 3 / 4, 2 / 4]
    by_negative = [1 / 3, 2 / 3, 3 / 3, 3 / 3]
    expected = np.var(by_positive, ddof=1) / 3 + np.var(by_negative, ddof=1) / 4
    found = delong(scores, positive)
    assert found.area == pytest.approx(0.75)
    assert found.error == pytest.approx(math.sqrt(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("ups", "downs", "apart"), [(60, 400, 0.8), (200, 200, 0.3), (40, 40, 1.5)]
)
def test_delongs_error_is_the_bootstraps(ups: int, downs: int, apart: float) -> None:
    rng = np.random.default_rng(ups)
    one, other = rng.normal(apart, 1.0, ups), rng.normal(0.0, 1.0, downs)
    positive = np.repeat([True, False], [ups, downs])
    found = delong(np.concatenate([one, other]), positive)
    drawn = [
        auc(np.concatenate([rng.choice(one, ups), rng.choice(other, downs)]), positive)
        for _ in range(1_500)
    ]
    assert found.error == pytest.approx(float(np.std(drawn)), rel=0.12)


def test_bounds_are_one_sided_and_normal() -> None:
    rng = np.random.default_rng(3)
    positive = rng.random(500) < 0.4
    found = delong(rng.normal(size=500) + positive, positive)
    assert found.lower(0.05) == pytest.approx(found.area - 1.6448536 * found.error)
    assert found.upper(0.05) == pytest.approx(found.area + 1.6448536 * found.error)


def test_a_difference_knows_that_the_rows_are_the_same() -> None:
    rng = np.random.default_rng(4)
    positive = rng.random(2_000) < 0.3
    good = rng.normal(size=2_000) + 1.2 * positive
    near = good + rng.normal(0.0, 0.2, 2_000)
    same = delong_difference(good, good, positive)
    assert (same.area, same.error) == (0.0, 0.0)
    found = delong_difference(good, near, positive)
    assert found.area == pytest.approx(auc(good, positive) - auc(near, positive), abs=1e-12)
    apart = math.hypot(delong(good, positive).error, delong(near, positive).error)
    assert found.error < 0.5 * apart
    drawn: list[float] = []
    for _ in range(600):
        at = rng.integers(0, 2_000, 2_000)
        drawn.append(auc(good[at], positive[at]) - auc(near[at], positive[at]))
    assert found.error == pytest.approx(float(np.std(drawn)), rel=0.12)


@given(SCORED, st.lists(st.floats(-5, 5), min_size=60, max_size=60))
def test_a_difference_turns_its_sign(scored: list[tuple[float, bool]], more: list[float]) -> None:
    scores, positive = split(scored)
    other = np.array(more[: len(scores)], float)
    one, two = (delong_difference(a, b, positive) for a, b in ((scores, other), (other, scores)))
    assert one.area == pytest.approx(-two.area, nan_ok=True)
    assert one.error == pytest.approx(two.error, nan_ok=True)
