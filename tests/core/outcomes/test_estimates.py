"""Estimates hold what comes out where answers are as right as in the holdout, and cannot see where
they are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from windvane.core.outcomes import (
    Calibration,
    CalibrationCheck,
    Estimate,
    EstimateFacts,
    EstimatePolicy,
    check_calibration,
    estimate,
    fit_calibration,
    judge_estimate,
)
from windvane.core.sketch import NumericAxis
from windvane.core.statistics import auc
from windvane.core.verdict import Outcome

Floats = NDArray[np.float64]
ALPHA = 0.025


class Drawn(NamedTuple):
    """Answers, and the value of each: whether it is to be ranked above, whether it was right, or
    what it cost."""

    said: Floats
    values: Floats


def binary(rng: np.random.Generator, rows: int, *, of: tuple[float, float] = (1.0, 3.0)) -> Drawn:
    """Probabilities that are not calibrated: the truth is further from a half."""
    said = rng.beta(*of, rows)
    odds = 1.4 * np.log(said / (1.0 - said)) + 0.3
    return Drawn(said, (rng.random(rows) < 1.0 / (1.0 + np.exp(-odds))).astype(float))


def confident(rng: np.random.Generator, rows: int) -> Drawn:
    """The confidence of a multiclass model, which is right less often than it says."""
    said = rng.uniform(0.4, 1.0, rows)
    return Drawn(said, (rng.random(rows) < said - 0.1).astype(float))


def numbers(rng: np.random.Generator, rows: int) -> Drawn:
    """A regression's answers, whose absolute errors grow with them."""
    said = rng.normal(size=rows)
    return Drawn(said, np.abs(rng.normal(size=rows)) * (1.0 + np.abs(said)))


def learned(drawn: Drawn, axis: NumericAxis, *, area: bool) -> Calibration:
    found = fit_calibration(
        axis.codes(drawn.said), axis.bins, drawn.values, np.arange(len(drawn.said), dtype=float),
        drawn.said if area else None,
    )  # fmt: skip
    assert found is not None
    return found


def counted(axis: NumericAxis, said: Floats) -> NDArray[np.int64]:
    return np.bincount(axis.codes(said), minlength=axis.bins)


def metric(drawn: Drawn, *, area: bool) -> float:
    return auc(drawn.said, drawn.values > 0.5) if area else float(drawn.values.mean())


@pytest.mark.parametrize(
    ("make", "area", "holdout", "rows"),
    [
        (binary, True, 600, 400), (binary, True, 5_000, 2_000), (binary, True, 30_000, 30_000),
        (confident, False, 600, 400), (confident, False, 5_000, 20_000),
        (numbers, False, 600, 400), (numbers, False, 5_000, 5_000),
    ],
)  # fmt: skip
def test_the_interval_holds_what_comes_out(
    make: Callable[[np.random.Generator, int], Drawn], area: bool, holdout: int, rows: int
) -> None:
    rng = np.random.default_rng(11)
    held, apart, widths = 0, [], []
    for _ in range(200):
        before, after = make(rng, holdout), make(rng, rows)
        axis = NumericAxis.fit("output", before.said)
        found = estimate(learned(before, axis, area=area), counted(axis, after.said), ALPHA)
        true = metric(after, area=area)
        held += found.lower <= true <= found.upper
        apart.append(found.value - true)
        widths.append(found.upper - found.lower)
    assert held >= 180
    assert abs(np.mean(apart)) < 4.0 * np.std(apart) / np.sqrt(len(apart)), "and is unbiased"
    assert np.mean(widths) < 8.0 * np.std(apart), "and no wider than it has to be"


def test_it_follows_which_answers_are_given() -> None:
    rng = np.random.default_rng(2)
    before, after = binary(rng, 30_000), binary(rng, 30_000, of=(1.2, 2.5))
    axis = NumericAxis.fit("output", before.said)
    calibration = learned(before, axis, area=True)
    found = estimate(calibration, counted(axis, after.said), ALPHA)
    assert found.lower < metric(after, area=True) < found.upper
    assert abs(found.value - metric(before, area=True)) > 0.005, "it is not the holdout's own"
    assert found.unseen < 0.02


def test_answers_that_the_holdout_has_hardly_any_of_are_told() -> None:
    rng = np.random.default_rng(3)
    before, after = binary(rng, 5_000), binary(rng, 5_000, of=(6.0, 1.0))
    axis = NumericAxis.fit("output", before.said)
    found = estimate(learned(before, axis, area=True), counted(axis, after.said), ALPHA)
    assert found.unseen > 0.5
    facts = replace(FACTS, estimate=found)
    assert judge_estimate(facts, EstimatePolicy(0.6), 0.0).code == "OUT-423"


@pytest.mark.parametrize("area", [True, False])
def test_it_cannot_see_that_labels_are_the_other_way_round(area: bool) -> None:
    rng = np.random.default_rng(4)
    before, after = binary(rng, 5_000), binary(rng, 5_000)
    axis = NumericAxis.fit("output", before.said)
    calibration = learned(before, axis, area=area)
    found = estimate(calibration, counted(axis, after.said), ALPHA)
    flipped = Drawn(after.said, 1.0 - after.values)
    assert found == estimate(calibration, counted(axis, flipped.said), ALPHA)
    assert not found.lower < metric(flipped, area=area) < found.upper
    check = check_calibration(calibration, "", axis.codes(flipped.said), flipped.values)
    facts = replace(FACTS, estimate=found, checks=(check,))
    assert judge_estimate(facts, EstimatePolicy(0.6), 0.0).code == "OUT-424", "the first labels do"


def test_blocks_that_differ_widen_it() -> None:
    """As weather does: in some weeks answers are right less often, which no answer shows."""
    rng = np.random.default_rng(5)

    def weeks(count: int) -> Drawn:
        said = rng.uniform(0.4, 1.0, 500 * count)
        worse = np.repeat(rng.normal(0.0, 0.06, count), 500)
        return Drawn(said, (rng.random(len(said)) < said - 0.1 + worse).astype(float))

    held = plain = 0
    for _ in range(150):
        before, after = weeks(32), weeks(1)
        axis = NumericAxis.fit("output", before.said)
        calibration = learned(before, axis, area=False)
        counts, true = counted(axis, after.said), after.values.mean()
        found = estimate(calibration, counts, ALPHA)
        held += found.lower <= true <= found.upper
        together = [part.sum(axis=0)[None] for part in (calibration.rows, calibration.sums)]
        whole = replace(calibration, rows=together[0], sums=together[1])
        without = estimate(whole, counts, ALPHA)
        plain += without.lower <= true <= without.upper
    assert held >= 135
    assert plain < 105, "without them it is too narrow"


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_it_is_kept_and_read_without_change(seed: int, area: bool) -> None:
    rng = np.random.default_rng(seed)
    before = binary(rng, 500)
    axis = NumericAxis.fit("output", before.said)
    calibration = learned(before, axis, area=area)
    again = Calibration.of_arrays(calibration.arrays())
    counts = counted(axis, rng.random(100))
    assert estimate(again, counts, ALPHA) == estimate(calibration, counts, ALPHA)


def test_a_small_holdout_or_one_without_numbers_says_nothing() -> None:
    bins, times = np.zeros(399, np.int64), np.arange(399.0)
    assert fit_calibration(bins, 3, times, times) is None
    bins, times = np.zeros(400, np.int64), np.arange(400.0)
    assert fit_calibration(bins, 3, times, times) is not None
    assert fit_calibration(bins, 3, np.where(times > 5, times, np.nan), times) is None


GOOD = Estimate(0.7, 0.68, 0.72, 900, 0.0)
FACTS = EstimateFacts("3", "auc", 0.0, 60.0, GOOD, awaited=" (due within 30d)")
FINE = CalibrationCheck("acme", 500, 0.31, 0.30, 0.01, 1e6)
WRONG = CalibrationCheck("bolt", 500, 0.45, 0.30, 0.02, 1e6)
SMALL = CalibrationCheck("cog", 100_000, 0.33, 0.30, 0.001, 1e6)  # certain, and harmless


@pytest.mark.parametrize(
    ("facts", "floor", "code"),
    [
        (FACTS, 0.6, "OUT-420"),
        (FACTS, None, "OUT-420"),
        (FACTS, 0.75, "OUT-421"),
        (replace(FACTS, metric="mae", larger_is_better=False), 0.5, "OUT-421"),
        (replace(FACTS, estimate=None), 0.6, "OUT-422"),
        (replace(FACTS, estimate=replace(GOOD, rows=49)), 0.6, "OUT-422"),
        (replace(FACTS, estimate=replace(GOOD, value=float("nan"))), 0.6, "OUT-422"),
        (replace(FACTS, estimate=replace(GOOD, unseen=0.2)), 0.6, "OUT-423"),
        (replace(FACTS, checks=(FINE, SMALL)), 0.6, "OUT-420"),
        (replace(FACTS, checks=(FINE, WRONG)), 0.6, "OUT-424"),
    ],
)
def test_whatever_the_number_it_is_a_hold(
    facts: EstimateFacts, floor: float | None, code: str
) -> None:
    found = judge_estimate(facts, EstimatePolicy(floor), 0.0)
    assert (found.outcome, found.code) == (Outcome.HOLD, code)
    assert found.missing


def test_its_sentence_has_both_sides() -> None:
    assert judge_estimate(FACTS, EstimatePolicy(0.75), 0.0).sentence == (
        "estimated AUC 0.700 (0.680 to 0.720, 95%), below the floor 0.750, until outcomes come, "
        "n=900"
    )
    wrong = judge_estimate(replace(FACTS, checks=(FINE, WRONG)), EstimatePolicy(0.6), 0.0)
    assert "of tenant bolt 0.450 was so, 0.300 expected by the holdout, n=500" in wrong.sentence
