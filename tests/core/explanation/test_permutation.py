"""Sampled Shapley values against their definition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.explanation import (
    average,
    contributions_of,
    features_to_switch,
    passes_within,
    plan_passes,
    rows_between,
)

Model = Callable[[Sequence[Any]], float]


def sampled(model: Model, row: Sequence[Any], background: Sequence[Sequence[Any]], passes: int):
    """(contributions, base, error)"""
    found, bases, used = [], [], []
    places = range(len(row))
    for which, order in plan_passes(len(row), len(background), passes):
        switched = features_to_switch(row, background[which], order, places)
        answers = [model(one) for one in rows_between(row, background[which], switched)]
        bases.append(answers[0])
        used.append(which)
        found.append(contributions_of(answers, switched, len(row)))
    mean, error = average(found, used)
    return mean, float(np.mean(bases)), error


def exact(model: Model, row: Sequence[Any], background: Sequence[Any]) -> list[float]:
    """By the definition, over every order: Shapley, 1953."""
    out = [0.0] * len(row)
    for order in itertools.permutations(range(len(row))):
        held = list(background)
        before = model(held)
        for i in order:
            held[i] = row[i]
            out[i] += model(held) - before
            before = model(held)
    return [one / math.factorial(len(row)) for one in out]


def crossed(row: Sequence[float]) -> float:
    return row[0] + 2.0 * row[1] * row[2] - row[3] * row[3] + row[0] * row[4]


def three(row: Sequence[float]) -> float:
    return math.exp(row[0]) * row[1] * row[2] + abs(row[3] - row[4])


numbers = st.floats(-3, 3).map(lambda v: round(v, 3))
rows = st.lists(numbers, min_size=5, max_size=5)


@given(rows, st.lists(rows, min_size=1, max_size=4), st.integers(1, 9))
def test_any_number_of_passes_adds_up(
    row: list[float], background: list[list[float]], passes: int
) -> None:
    found, base, _ = sampled(three, row, background, passes)
    assert base + found.sum() == pytest.approx(three(row), abs=1e-9)


@given(rows, rows)
def test_pairs_of_features_are_right_after_one_pass(row: list[float], other: list[float]) -> None:
    """An order and its reverse give the mean over all orders, where no three act together."""
    found, _, error = sampled(crossed, row, [other], 1)
    assert found.tolist() == pytest.approx(exact(crossed, row, other), abs=1e-9)
    assert error is None


def test_more_passes_come_nearer_and_the_error_says_how_near() -> None:
    row, other = [1.0, 2.0, -1.0, 3.0, 0.5], [0.0, 0.5, 2.0, -1.0, 1.0]
    truth = np.array(exact(three, row, other))
    few, many = (sampled(three, row, [other], passes)[0] for passes in (3, 1_000))
    assert np.abs(many - truth).max() < 0.2 < np.abs(few - truth).max()


@pytest.mark.parametrize(("background", "passes"), [(64, 192), (64, 64), (64, 10), (16, 160)])
def test_the_error_is_that_over_the_data_that_background_rows_are_of(
    background: int, passes: int
) -> None:
    """Two standard errors hold the truth of the widest feature nearly always, also where each
    background row is used several times, or only some of them are."""
    rng = np.random.default_rng(1)
    row = [2.0, -1.0]

    def model(one: Sequence[float]) -> float:
        return 3.0 * one[0] + one[1] + one[0] * one[1]

    # Against standard normal data, by hand: x0 (3 + x1/2) less what it is on average, and so on.
    truth = np.array([3.0 * 2.0 + 2.0 * -1.0 / 2.0, -1.0 + 2.0 * -1.0 / 2.0])
    inside = 0
    for _ in range(200):
        held = [tuple(one) for one in rng.normal(size=(background, 2)).tolist()]
        found, _, error = sampled(model, row, held, passes)
        assert error is not None
        inside += bool((np.abs(found - truth) <= 2.0 * error).all())
    assert inside / 200 >= 0.88


def test_a_few_passes_take_rows_from_all_over() -> None:
    used = [which for which, _ in plan_passes(30, 64, 16)]
    assert len(set(used)) == 16
    assert min(used) < 16
    assert max(used) >= 48


def test_a_linear_model_is_explained_by_its_weights() -> None:
    weights = [3.0, -2.0, 0.0, 0.5, 1.0]
    background = [[0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0, 1.0]]
    row = [2.0, -1.0, 5.0, 0.0, 0.0]

    def linear(one: Sequence[float]) -> float:
        return 7.0 + sum(w * v for w, v in zip(weights, one, strict=True))

    found, base, _ = sampled(linear, row, background, 2)
    means = np.mean(background, axis=0)
    assert found.tolist() == pytest.approx(
        [w * (v - m) for w, v, m in zip(weights, row, means, strict=True)]
    )
    assert base == pytest.approx(linear(means.tolist()))


def test_what_is_equal_is_not_asked_about() -> None:
    row, other = (1.0, "a", None, [1.0, 2.0]), (1.0, "b", None, [1.0, 3.0])
    _, order = plan_passes(4, 1, 1)[0]
    switched = features_to_switch(row, other, order, range(4))
    assert sorted(switched) == [1, 3]
    between = list(rows_between(row, other, switched))
    assert len(between) == 4  # both ends, and each way's middle
    assert between[0] == other
    assert between[2] == row
    assert contributions_of([0.0, 1.0, 3.0, 0.5], switched, 4)[[0, 2]].tolist() == [0.0, 0.0]


def test_only_what_may_be_switched_is() -> None:
    row, other = (1, 2, 3, 4), (0, 0, 0, 0)
    switched = features_to_switch(row, other, (1, 0), (0, 3))
    assert set(switched) == {0, 3}
    assert all(one[1:3] == (0, 0) for one in rows_between(row, other, switched))


def test_a_row_that_is_its_background_has_no_contributions() -> None:
    assert features_to_switch((1, 2), (1, 2), (0, 1), (0, 1)) == []
    assert list(rows_between((1, 2), (1, 2), [])) == [(1, 2)]
    assert contributions_of([5.0], [], 2).tolist() == [0.0, 0.0]


def test_a_plan_is_the_same_each_time_and_its_orders_differ() -> None:
    plan = plan_passes(6, 3, 12)
    assert plan == plan_passes(6, 3, 12)
    first = [which for which, _ in plan][:3]
    assert sorted(first) == [0, 1, 2]
    assert [which for which, _ in plan] == first * 4
    assert len({order for _, order in plan}) > 9
    assert all(sorted(order) == list(range(6)) for _, order in plan)


@pytest.mark.parametrize(
    ("evaluations", "features", "background", "passes"),
    [(2_000, 10, 64, 64), (2_000, 20, 64, 50), (2_000, 5_000, 64, 1), (2_000, 4, 3, 249),
     (2_000, 0, 8, 2_000)],
)  # fmt: skip
def test_passes_keep_within_the_evaluations(
    evaluations: int, features: int, background: int, passes: int
) -> None:
    assert passes_within(evaluations, features, background) == passes
    assert passes == 1 or passes * 2 * features <= evaluations
