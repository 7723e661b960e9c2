"""How far two shares differ, and by which factor: against published values, and in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.statistics import difference_bounds, ratio_bounds


@pytest.mark.parametrize(
    ("now", "before", "bounds"),
    [
        # Newcombe 1998, table II, method 10.
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((10, 10), (0, 20), (0.6791, 1.0)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
    ],
)
def test_differences_as_published(
    now: tuple[int, int], before: tuple[int, int], bounds: tuple[float, float]
) -> None:
    assert difference_bounds(now, before, 0.025) == pytest.approx(bounds, abs=6e-5)


def test_a_ratio_as_calculated_by_hand() -> None:
    # ln(2) -+ 1.959964 * sqrt(1/20 - 1/100 + 1/10 - 1/100)
    low, high = ratio_bounds((20, 100), (10, 100), 0.025) or (0.0, 0.0)
    assert (low, high) == pytest.approx((0.98656, 4.05448), abs=1e-4)
    assert ratio_bounds((0, 100), (10, 100), 0.025) is None
    assert ratio_bounds((5, 100), (0, 100), 0.025) is None


def test_intervals_hold_in_simulation() -> None:
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(2_000):
        now, before = int(rng.binomial(200, 0.08)), int(rng.binomial(150, 0.03))
        low, high = difference_bounds((now, 200), (before, 150), 0.025)
        inside += low <= 0.05 <= high
    assert inside / 2_000 >= 0.94


COUNTS = st.integers(0, 1_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS, COUNTS)
def test_bounds_hold_the_estimate_and_mirror(now: tuple[int, int], before: tuple[int, int]) -> None:
    low, high = difference_bounds(now, before, 0.025)
    assert -1.0 <= low <= high <= 1.0
    if now[1] and before[1]:
        gap = now[0] / now[1] - before[0] / before[1]
        assert low - 1e-12 <= gap <= high + 1e-12
    back = difference_bounds(before, now, 0.025)
    assert back == pytest.approx((-high, -low))
