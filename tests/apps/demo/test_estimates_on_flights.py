"""Estimates on a year of real flights: which weeks they hold, and what they cannot see."""

from __future__ import annotations

from typing import NamedTuple

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray

from windvane.apps.demo.flights import Flights
from windvane.core.outcomes import Calibration, Estimate, estimate, fit_calibration
from windvane.core.sketch import NumericAxis
from windvane.core.statistics import auc

Floats = NDArray[np.float64]
_WEEK_S = 7 * 86_400.0
_TRAINED, _HELD_OUT = 16, 26  # weeks


class Year(NamedTuple):
    """Flights that landed: when they were asked about, the probability that they are late by what
    the first weeks had of that hour and carrier, and whether they were."""

    week: NDArray[np.int64]
    times: Floats
    said: Floats
    late: NDArray[np.bool_]


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Year:
    flights = Flights(tmp_path_factory.mktemp("flights"))
    connection: duckdb.DuckDBPyConnection = flights._c
    found = connection.execute(
        "SELECT epoch(asked_at) AS t, hour, hash(carrier || origin) % 64 AS route, arr_late "
        "FROM joined WHERE arr_late IS NOT NULL ORDER BY asked_at, id"
    ).fetchnumpy()
    flights.close()
    times, late = np.asarray(found["t"], np.float64), np.asarray(found["arr_late"]) > 0
    week = ((times - times[0]) // _WEEK_S).astype(np.int64)
    cell = np.asarray(found["hour"], np.int64) * 64 + np.asarray(found["route"], np.int64)
    past = week < _TRAINED
    rows, lates = (np.bincount(cell[one], minlength=64 * 25) for one in (past, past & late))
    said = (lates[cell] + 20.0 * late[past].mean()) / (rows[cell] + 20.0)
    return Year(week, times, said, late)


def learn(year: Year) -> tuple[NumericAxis, Calibration]:
    held = (year.week >= _TRAINED) & (year.week < _HELD_OUT)
    axis = NumericAxis.fit("output", year.said[year.week < _HELD_OUT])
    said = year.said[held]
    found = fit_calibration(
        axis.codes(said), axis.bins, year.late[held].astype(float), year.times[held], said
    )
    assert found is not None
    return axis, found


def by_week(year: Year) -> list[tuple[Estimate, float]]:
    """Of each whole week after the holdout: what was estimated, and what came out."""
    axis, calibration = learn(year)
    out: list[tuple[Estimate, float]] = []
    for week in range(_HELD_OUT, 52):
        mine = year.week == week
        counts = np.bincount(axis.codes(year.said[mine]), minlength=axis.bins)
        out.append((estimate(calibration, counts, 0.025), auc(year.said[mine], year.late[mine])))
    return out


def covered(found: list[tuple[Estimate, float]]) -> float:
    return float(np.mean([one.lower <= true <= one.upper for one, true in found]))


def test_without_concept_drift_nine_weeks_of_ten_are_within(year: Year) -> None:
    """Answers of the real weeks; whether a flight was late is as that of another of the year that
    was given the same probability, so that the truth is the same in every week."""
    rng = np.random.default_rng(1)
    order = np.lexsort((rng.random(len(year.said)), year.said))
    late = np.empty_like(year.late)
    for part in np.array_split(order, 400):
        late[part] = rng.permutation(year.late[part])
    found = by_week(year._replace(late=late))
    assert covered(found) >= 0.9
    widths = [one.upper - one.lower for one, _ in found]
    assert np.mean(widths) < 0.08, "and they say something"
    assert len({round(one.value, 4) for one, _ in found}) > 5, "which differs from week to week"


def test_real_weeks_are_within_as_far_as_weather_differed_in_the_holdout(year: Year) -> None:
    """Weather makes some weeks harder in ways that no probability shows. That the holdout's days
    differ so is what makes the interval wide enough."""
    found = by_week(year)
    assert covered(found) >= 0.9
    widths = [one.upper - one.lower for one, _ in found]
    assert 0.1 < np.mean(widths) < 0.25


def test_labels_the_other_way_round_move_no_estimate(year: Year) -> None:
    after = year.week >= _HELD_OUT
    flipped = by_week(year._replace(late=np.where(after, ~year.late, year.late)))
    for (one, true), (other, wrong) in zip(by_week(year), flipped, strict=True):
        assert one == other
        assert wrong == pytest.approx(1.0 - true)
        assert not other.lower <= wrong <= other.upper
