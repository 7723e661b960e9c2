"""Discrimination from binned counts, against counting every pair."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.outcomes import OutcomePolicy, ScoredCounts, auc, brier, judge_outcomes
from windvane.core.verdict import Outcome

BINS = 10
SCORED = st.lists(st.tuples(st.integers(0, BINS - 1), st.booleans()), max_size=60)


def counted(scored: list[tuple[int, bool]]) -> ScoredCounts:
    each = np.zeros((2, BINS), np.int64)
    for place, positive in scored:
        each[0 if positive else 1, place] += 1
    return ScoredCounts(each[0], each[1])


@given(SCORED)
def test_auc_counts_pairs(scored: list[tuple[int, bool]]) -> None:
    positives = [b for b, positive in scored if positive]
    negatives = [b for b, positive in scored if not positive]
    found = auc(counted(scored))
    if not positives or not negatives:
        assert math.isnan(found)
        return
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    assert found == pytest.approx(wins / (len(positives) * len(negatives)))


@given(SCORED, SCORED)
def test_windows_add(one: list[tuple[int, bool]], two: list[tuple[int, bool]]) -> None:
    a, b, both = counted(one), counted(two), counted([*one, *two])
    added = ScoredCounts(a.positives + b.positives, a.negatives + b.negatives)
    assert added.scored == both.scored == len(one) + len(two)
    assert np.array_equal(auc(added), auc(both), equal_nan=True)


def test_large_counts_do_not_overflow() -> None:
    huge = np.array([10**12, 10**12], np.int64)
    assert auc(ScoredCounts(huge, huge)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("positives", "negatives", "floor", "outcome", "code"),
    [
        ([0, 49], [60, 0], 0.6, Outcome.HOLD, "OUT-402"),
        ([0, 60], [49, 0], 0.6, Outcome.HOLD, "OUT-402"),
        ([0, 0], [0, 0], 0.6, Outcome.HOLD, "OUT-402"),
        ([0, 500], [500, 0], 0.99, Outcome.PASS, "OUT-400"),
        ([250, 250], [250, 250], 0.6, Outcome.FAIL, "OUT-401"),
        ([25, 25], [25, 25], 0.6, Outcome.PASS, "OUT-400"),  # too few to say it is below
        ([500, 0], [0, 500], 0.01, Outcome.PASS, "OUT-400"),  # 0 + radius is above the floor
    ],
)
def test_below_the_floor_beyond_its_error(
    positives: list[int], negatives: list[int], floor: float, outcome: Outcome, code: str
) -> None:
    facts = ScoredCounts(np.array(positives), np.array(negatives))
    verdict = judge_outcomes(facts, OutcomePolicy(floor), 0.0)
    assert (verdict.outcome, verdict.code) == (outcome, code)
    assert (verdict.missing != "") == (outcome is Outcome.HOLD)


def test_it_says_both_sides() -> None:
    facts = ScoredCounts(np.array([250, 250]), np.array([250, 250]))
    verdict = judge_outcomes(facts, OutcomePolicy(0.62), 0.0)
    assert verdict.sentence == "AUC 0.500 ± 0.068, floor 0.620, n=1,000"
    few = judge_outcomes(ScoredCounts(np.array([3]), np.array([90])), OutcomePolicy(0.62), 0.0)
    assert few.missing == "47 of the rarer outcome"


def test_a_model_at_the_floor_is_seldom_blamed() -> None:
    """300 windows of 100 + 100 scores with true AUC .5 and floor .5: alpha is 1%, so 3 expected;
    over 10 has probability below .1%."""
    rng = np.random.default_rng(5)
    failed = 0
    for _ in range(300):
        scores = rng.integers(0, BINS, 200)
        facts = counted([(int(s), i < 100) for i, s in enumerate(scores)])
        failed += judge_outcomes(facts, OutcomePolicy(0.5), 0.0).failed
    assert failed <= 10


@pytest.mark.parametrize(("score", "outcome", "loss"), [(0.0, 0, 0.0), (0.3, 1, 0.49), (1, 0, 1)])
def test_brier(score: float, outcome: float, loss: float) -> None:
    assert brier(score, outcome) == pytest.approx(loss)
