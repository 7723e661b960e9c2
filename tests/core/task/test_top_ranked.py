"""Precision among the rows that are acted on: the highest scores of each whole day."""

from __future__ import annotations

import numpy as np
import pytest

from windvane.core.task import PrecisionAt, TaskSpec, make_task, top_ranked

DAY = 86_400.0


def test_the_highest_of_each_whole_day_are_chosen() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.1, 0.2, 0.2, 0.9, 0.9])
    times = DAY * np.array([10.1, 10.2, 10.3, 11.9, 11.5, 11.1, 12.1, 9.9])
    chosen = top_ranked(scores, times, 2, DAY, 10.0 * DAY, 12.5 * DAY)
    assert chosen.tolist() == [True, True, False, False, True, True, False, False]
    assert not top_ranked(scores[:0], times[:0], 2, DAY, 0.0, 99 * DAY).any()


def test_equal_scores_are_chosen_in_order_of_time() -> None:
    times = DAY * np.array([0.3, 0.1, 0.2])
    assert top_ranked(np.ones(3), times, 2, DAY, 0.0, DAY).tolist() == [False, True, True]


def test_precision_is_the_share_of_hits_with_exact_bounds() -> None:
    measure = PrecisionAt(make_task(TaskSpec(kind="binary")), 100)
    labels = np.array([1.0] * 60 + [0.0] * 40)
    found = measure.quality([np.full(100, 0.9)], labels, 0.025)
    assert (found.metric, found.value, found.rows) == ("precision_at_100", 0.6, 100)
    assert (found.lower, found.upper) == pytest.approx((0.4972, 0.6967), abs=1e-3)  # R: binom.test
    assert measure.parts([], labels).mean() == pytest.approx(0.0)
    assert measure.quality([], labels[:0], 0.025).missing == "rows with an outcome"
