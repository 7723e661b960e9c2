"""On which scale raw scores are a model's answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from windvane.core.explanation import Scale, scale_of

SCORES = np.array([[-2.0], [0.3], [5.0], [-40.0], [40.0]])
FIRST = [0] * 5


def test_log_odds_of_probabilities_also_where_they_are_0_or_1() -> None:
    served = 1.0 / (1.0 + np.exp(-SCORES[:, 0]))
    assert scale_of(SCORES, FIRST, served.tolist(), probability=True) is Scale.LOG_ODDS


def test_a_score_that_a_softmax_over_all_makes_the_answer_of() -> None:
    scores = np.array([[1.0, 2.0, -1.0], [0.0, 0.1, 3.0]])
    odds = np.exp(scores)
    served = (odds / odds.sum(axis=1, keepdims=True))[[0, 1], [1, 2]]
    assert scale_of(scores, [1, 2], served.tolist(), probability=True) is Scale.SCORE
    assert scale_of(scores, [0, 2], served.tolist(), probability=True) is None


def test_probabilities_that_trees_average() -> None:
    scores = np.array([[0.2], [0.9]])
    assert scale_of(scores, [0, 0], [0.2, 0.9], probability=True) is Scale.OUTPUT


@pytest.mark.parametrize(
    ("served", "scale"),
    [(SCORES[:, 0], Scale.OUTPUT), (np.exp(SCORES[:, 0]), Scale.LOG), (SCORES[:, 0] + 0.01, None)],
)
def test_numbers(served: np.ndarray, scale: Scale | None) -> None:
    assert scale_of(SCORES, FIRST, served.tolist(), probability=False) is scale


def test_one_row_that_does_not_fit_is_enough() -> None:
    served = 1.0 / (1.0 + np.exp(-SCORES[:, 0]))
    served[1] = 0.9
    assert scale_of(SCORES, FIRST, served.tolist(), probability=True) is None


def test_a_sure_answer_of_several_classes_is_no_log_odds() -> None:
    scores = np.array([[9.0, -9.0, -9.0]])
    odds = np.exp(scores)
    served = [float(odds[0, 0] / odds.sum())]
    assert scale_of(scores, [0], served, probability=True) is Scale.SCORE


@pytest.mark.parametrize(("served", "score"), [(1e-6, -9.3), (1.0 - 1e-6, 9.3)])
def test_small_probabilities_are_compared_by_their_size(served: float, score: float) -> None:
    assert scale_of(np.array([[score]]), [0], [served], probability=True) is None
    fits = np.array([[math.log(served / (1.0 - served))]])
    assert scale_of(fits, [0], [served], probability=True) is Scale.LOG_ODDS
