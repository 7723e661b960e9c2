"""Counts, means and centred sums merge without losing digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from windvane.core.statistics import (
    NO_MOMENTS,
    Moments,
    mean_bounds,
    moments_of,
    share_bounds,
    unseen_reach,
    unseen_share,
)

VALUES = st.lists(st.floats(-1e6, 1e6), max_size=30)


def of(values: list[float]) -> Moments:
    return moments_of(np.array(values, np.float64))


def close(one: Moments, other: Moments, scale: float) -> None:
    assert one.count == other.count
    assert one.mean == pytest.approx(other.mean, rel=1e-12, abs=1e-12 * scale)
    assert one.centred == pytest.approx(other.centred, rel=1e-12, abs=1e-12 * scale * scale)


@given(VALUES, VALUES, VALUES)
def test_merging_is_associative_and_commutative(
    a: list[float], b: list[float], c: list[float]
) -> None:
    scale = max(1.0, *map(abs, [*a, *b, *c, 0.0]))
    x, y, z = of(a), of(b), of(c)
    close((x + y) + z, x + (y + z), scale)
    close(x + y, y + x, scale)
    close(x + y + z, of([*a, *b, *c]), scale)


def test_nothing_adds_nothing() -> None:
    some = of([1.0, 5.0])
    assert NO_MOMENTS + some == some
    assert some + NO_MOMENTS == some
    assert of([]) == NO_MOMENTS
    assert math.isnan(NO_MOMENTS.variance)
    assert math.isnan(of([3.0]).error)


@given(st.lists(st.integers(-8, 8), min_size=2, max_size=40), st.integers(1, 39))
def test_a_large_mean_costs_no_digits(steps: list[int], cut: int) -> None:
    """About 1e9 a sum of squares has lost every digit of a variance near 1."""
    values = [1e9 + step / 8.0 for step in steps]
    exact = [Fraction(v) for v in values]
    mean = sum(exact) / len(exact)
    variance = sum((v - mean) ** 2 for v in exact) / (len(exact) - 1)
    found = of(values[:cut]) + of(values[cut:])
    assert found.variance == pytest.approx(float(variance), rel=1e-6, abs=1e-12)


def test_the_error_is_that_of_a_mean() -> None:
    found = of([1.0, 2.0, 3.0, 4.0])
    assert found.variance == pytest.approx(5.0 / 3.0)
    assert found.error == pytest.approx(math.sqrt(5.0 / 12.0))


@pytest.mark.parametrize(
    ("successes", "trials", "lower", "upper"),
    [(0, 10, 0.0, 0.2589), (10, 10, 0.7411, 1.0), (8, 10, 0.4931, 0.9632), (0, 0, 0.0, 1.0)],
)
def test_bounds_of_a_share_are_clopper_and_pearsons(
    successes: int, trials: int, lower: float, upper: float
) -> None:
    assert share_bounds(successes, trials, 0.05) == (
        pytest.approx(lower, abs=1e-4), pytest.approx(upper, abs=1e-4),
    )  # fmt: skip


_SIGMAS = (0.5, 1.0, 1.5, 2.0)


def _lognormal(sigma: float) -> Callable[[np.random.Generator, int], NDArray[np.float64]]:
    return lambda dice, rows: dice.lognormal(0.0, sigma, rows) / math.exp(sigma**2 / 2.0)


def _rare(dice: np.random.Generator, rows: int) -> NDArray[np.float64]:
    """Mean 1: two thirds of it from one row of a hundred."""
    return (0.2 * dice.exponential(size=rows) + 10.0 * (dice.random(rows) < 0.01)) / 0.3


_LAWS = {
    **{f"lognormal {sigma:g}": _lognormal(sigma) for sigma in _SIGMAS},
    "exponential": lambda dice, rows: dice.exponential(size=rows),
    "student 3": lambda dice, rows: np.abs(dice.standard_t(3, rows)) * math.pi / (2 * math.sqrt(3)),
    "rare": _rare,
}


@pytest.mark.parametrize("law", _LAWS)
@pytest.mark.parametrize("side", ["upper", "lower"])
def test_the_mean_of_skewed_values_lies_beyond_its_bound_as_seldom_as_it_says(
    law: str, side: str
) -> None:
    """In 2,000 samples of 1,000: 7%, as the docstring says, and two standard errors."""
    dice = np.random.default_rng(7)
    sign = 1.0 if side == "upper" else -1.0
    beyond = 0
    for _ in range(2_000):
        lower, upper = mean_bounds(sign * _LAWS[law](dice, 1_000), 0.05)
        beyond += upper < 1.0 if side == "upper" else lower > -1.0
    assert beyond <= 2_000 * 0.081


def test_bounds_of_a_mean_of_even_values_are_the_normal_ones() -> None:
    values = np.tile([-1.0, 1.0], 5_000)
    lower, upper = mean_bounds(values, 0.05)
    assert upper == pytest.approx(0.01645, rel=0.02)
    assert lower == pytest.approx(-upper)


def test_few_values_bound_nothing_and_equal_ones_all() -> None:
    assert mean_bounds(np.array([3.0]), 0.05) == (-math.inf, math.inf)
    assert mean_bounds(np.full(50, 3.0), 0.05) == (3.0, 3.0)


@pytest.mark.parametrize("rows", [1, 30, 2_000])
def test_what_was_not_seen_is_clopper_and_pearsons_bound_of_no_success(rows: int) -> None:
    assert unseen_share(rows, 0.05) == pytest.approx(share_bounds(0, rows, 0.05)[1])


@pytest.mark.parametrize(
    ("most", "has_unit", "largest"),
    [
        (math.inf, True, 100.0),  # 50 times the mean
        (80.0, True, 80.0),
        (1e9, True, 100.0),
        (80.0, False, 80.0),
        (500.0, False, 500.0),
    ],
)
def test_an_unseen_value_is_as_large_as_one_can_be(
    most: float, has_unit: bool, largest: float
) -> None:
    values = np.tile([1.0, 3.0], 50)
    found = unseen_reach(values, 2.0, most, 100, 0.05, has_unit=has_unit)
    assert found == pytest.approx(unseen_share(100, 0.05) * (largest - 2.0))


def test_one_that_was_seen_may_be_larger_yet() -> None:
    values = np.append(np.zeros(99), 1_000.0)
    found = unseen_reach(values, 10.0, math.inf, 100, 0.05, has_unit=True)
    assert found == pytest.approx(unseen_share(100, 0.05) * 990.0)


@pytest.mark.parametrize(("most", "largest"), [(math.inf, 0.0), (9.0, 9.0)])
def test_values_that_are_all_zero_show_no_size(most: float, largest: float) -> None:
    found = unseen_reach(np.zeros(100), 0.0, most, 100, 0.05, has_unit=True)
    assert found == pytest.approx(unseen_share(100, 0.05) * largest)
