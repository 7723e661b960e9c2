"""The exact area, against scikit-learn, counting every pair, and the bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special
from sklearn.metrics import roc_auc_score

from windvane.core.statistics import auc, auc_parts, delong, delong_difference

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


def test_bounds_are_those_of_reversed_scores() -> None:
    rng = np.random.default_rng(3)
    positive = rng.random(500) < 0.3
    scores = rng.normal(size=500) + positive
    found, other = delong(scores, positive), delong(-scores, positive)
    assert found.upper(0.05) == pytest.approx(1.0 - other.lower(0.05))
    assert found.lower(0.01) < found.lower(0.05) < found.area < found.upper(0.05) <= 1.0
    normal = found.area - 1.6449 * found.error
    assert found.lower(0.05) == pytest.approx(normal, abs=0.03)


def test_few_rows_that_all_rank_well_prove_little() -> None:
    scores = np.arange(110.0)
    found = delong(scores, scores >= 100)
    assert (found.area, found.error) == (1.0, 0.0)
    assert 0.6 < found.lower(0.05) < 0.8  # .05 ** (1 / 10)
    assert found.upper(0.05) == 1.0


@pytest.mark.parametrize("area", [0.6, 0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize(("ups", "downs"), [(10, 300), (30, 300), (50, 50)])
def test_lower_bounds_are_rarely_above_the_truth(area: float, ups: int, downs: int) -> None:
    rng = np.random.default_rng(5)
    apart = math.sqrt(2.0) * float(special.ndtri(area))
    positive = np.arange(ups + downs) < ups
    wrong = sum(
        delong(rng.normal(size=ups + downs) + apart * positive, positive).lower(0.05) > area
        for _ in range(600)
    )
    assert wrong / 600 <= 0.085


@pytest.mark.parametrize(("area", "ups"), [(0.9, 10), (0.9, 20), (0.95, 30), (0.98, 60)])
def test_a_kind_of_row_that_the_model_cannot_see_is_allowed_for(area: float, ups: int) -> None:
    rng = np.random.default_rng(6)
    positive = np.arange(ups + 300) < ups
    wrong = 0
    for _ in range(400):
        seen = np.where(rng.random(ups) < area, 9.0, -9.0)
        scores = np.concatenate([seen, np.zeros(300)]) + rng.normal(size=ups + 300)
        wrong += delong(scores, positive).lower(0.05) > area
    assert wrong / 400 <= 0.075


def test_parts_are_delongs_components() -> None:
    rng = np.random.default_rng(4)
    positive = rng.random(400) < 0.2
    scores = np.round(rng.normal(size=400) + positive, 1)
    parts = auc_parts(scores, positive)
    assert parts.mean() == pytest.approx(0.0, abs=1e-12)
    assert parts.std() / 20.0 == pytest.approx(delong(scores, positive).error, rel=0.02)
    moved = scores.copy()
    moved[np.flatnonzero(positive)[0]] = 99.0  # one row counts by its part
    gain = auc(moved, positive) - auc(scores, positive)
    share = (auc_parts(moved, positive) - parts)[np.flatnonzero(positive)[0]] / 400
    assert share == pytest.approx(gain * (1 - 1 / positive.sum()), rel=1e-6)


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
