"""Distances of histograms against naive oracles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from windvane.core.drift import js_divergence, null_rate, psi, rank_shift

COUNTS = st.lists(st.integers(0, 50), min_size=5, max_size=5)


def shares(counts: list[int]) -> list[float]:
    total = sum(counts)
    return [c / total if total else 0.0 for c in counts]


@given(COUNTS, COUNTS)
def test_js(one: list[int], two: list[int]) -> None:
    found = float(js_divergence(np.array(one), np.array(two)))
    expected = 0.0
    for p, q in zip(shares(one), shares(two), strict=True):
        m = (p + q) / 2
        expected += 0.5 * (p * math.log2(p / m) if p else 0)
        expected += 0.5 * (q * math.log2(q / m) if q else 0)
    assert found == pytest.approx(max(expected, 0.0), abs=1e-9)
    assert 0.0 <= found <= 1.0 + 1e-9
    assert float(js_divergence(np.array(two), np.array(one))) == pytest.approx(found, abs=1e-12)


def test_js_broadcasts() -> None:
    windows = np.array([[1, 0, 3], [0, 5, 0], [2, 2, 2]])
    reference = np.array([1, 1, 1])
    found = js_divergence(windows, reference[None, :])
    assert found.tolist() == [float(js_divergence(w, reference)) for w in windows]
    assert js_divergence(np.array([5, 0]), np.array([0, 5])) == pytest.approx(1.0)


@given(COUNTS, COUNTS)
def test_psi(one: list[int], two: list[int]) -> None:
    expected = 0.0
    for p, q in zip(shares(one), shares(two), strict=True):
        p, q = max(p, 1e-4), max(q, 1e-4)
        expected += (p - q) * math.log(p / q)
    found = psi(np.array(one), np.array(two))
    assert found == pytest.approx(expected, abs=1e-9)
    assert found >= -1e-12


@given(COUNTS, COUNTS)
def test_rank_shift_of_ordered_bins(one: list[int], two: list[int]) -> None:
    """The 1-Wasserstein distance with a bin as the unit, over the number of steps."""
    found = rank_shift(np.array(one), np.array(two), ordered=True)
    p, q = one[1:], two[1:]
    if not sum(p) or not sum(q):
        assert math.isnan(found)
        return
    places = list(range(len(p)))
    expected = wasserstein_distance(places, places, p, q) / (len(p) - 1)
    assert found == pytest.approx(expected, abs=1e-9)
    assert 0.0 <= found <= 1.0 + 1e-9


@given(COUNTS, COUNTS)
def test_rank_shift_of_names_is_total_variation(one: list[int], two: list[int]) -> None:
    found = rank_shift(np.array(one), np.array(two), ordered=False)
    if not sum(one[1:]) or not sum(two[1:]):
        assert math.isnan(found)
        return
    pairs = zip(shares(one[1:]), shares(two[1:]), strict=True)
    assert found == pytest.approx(sum(max(p - q, 0.0) for p, q in pairs), abs=1e-9)


@given(COUNTS, st.integers(0, 1000))
def test_nulls_do_not_move_values(counts: list[int], nulls: int) -> None:
    with_nulls = np.array([nulls, *counts[1:]])
    for ordered in (True, False):
        found = rank_shift(with_nulls, np.array(counts), ordered=ordered)
        assert math.isnan(found) == (not sum(counts[1:]))
        assert math.isnan(found) or found == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "rate"), [([0, 0], 0.0), ([3, 1], 0.75), ([0, 9], 0.0), ([9, 0], 1.0)]
)
def test_null_rate(counts: list[int], rate: float) -> None:
    assert null_rate(np.array(counts)) == rate
