"""Nearly all values in one bin: found where they usually differ, and only there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from windvane.core.drift import concentration_reading, follow_concentration

USUAL = np.array([0.0, 0.05, 0.15, 0.3, 0.5])


def values(*counts: int) -> np.ndarray:
    return np.array([0, *counts], np.int64)


def test_a_run_grows_while_nearly_all_lie_in_its_bin() -> None:
    first = follow_concentration(None, values(1, 99, 0, 0), USUAL, 60.0)
    assert first is not None
    assert (first.place, first.rows, first.alike, first.since) == (2, 100, 99, 60.0)
    second = follow_concentration(first, values(0, 40, 0, 0), USUAL, 120.0)
    assert second is not None
    assert (second.rows, second.alike, second.since) == (140, 139, 60.0)
    assert follow_concentration(second, values(0, 0, 0, 0), USUAL, 180.0) is second
    moved = follow_concentration(second, values(0, 0, 40, 0), USUAL, 180.0)
    assert moved is not None
    assert (moved.place, moved.rows, moved.since) == (3, 40, 180.0)
    assert follow_concentration(second, values(20, 80, 0, 0), USUAL, 180.0) is None


def test_what_usually_lies_in_one_bin_is_no_concentration() -> None:
    usual = np.array([0.0, 0.9, 0.1])
    assert follow_concentration(None, values(96, 4), usual, 0.0) is None
    assert follow_concentration(None, values(999, 1), usual, 0.0) is not None


def test_its_chance_is_no_less_than_the_binomial_one() -> None:
    """Hoeffding's bound, over the bins that it might have been, against draws."""
    rng = np.random.default_rng(3)
    usual, rows, draws = np.array([0.0, 0.5, 0.5]), 8, 200_000
    tops = rng.binomial(rows, 0.5, draws)
    share = float(np.mean((tops == rows) | (tops == 0)))
    run = follow_concentration(None, values(rows, 0), usual, 0.0)
    assert run is not None
    bound = -rows * math.log(2.0) + math.log(2.0)
    assert math.exp(bound) >= share * 0.95
    found = concentration_reading("output", "", run, usual, "up to 0.5", 1.0, 5)
    assert found.log_e < -bound, "the evidence is less than the inverse of the chance"


@pytest.mark.parametrize(("rows", "clustered", "says"), [(200, 1.0, True), (200, 40.0, False)])
def test_rows_that_depend_on_each_other_are_less_evidence(
    rows: int, clustered: float, says: bool
) -> None:
    run = follow_concentration(None, values(0, rows, 0, 0), USUAL, 0.0)
    found = concentration_reading("output", "", run, USUAL, "0.3", clustered, 20)
    assert (found.log_e > 12.0) is says
    assert found.what == "100.0% of the answers are 0.3, usually 15.0%"


def test_few_rows_say_nothing() -> None:
    run = follow_concentration(None, values(0, 19, 0, 0), USUAL, 0.0)
    found = concentration_reading("output", "", run, USUAL, "0.3", 1.0, 20)
    assert (found.log_e, found.size, found.what) == (0.0, 0.0, "")
