"""Counts, means and centred sums merge without losing digits."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.statistics import NO_MOMENTS, Moments, moments_of, share_bounds

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
