"""Times to detect, to acknowledge and to resolve: medians and counts, week by week."""

from __future__ import annotations

import datetime as dt

from windvane.core.alerting.response_times import (
    WEEK_S,
    Delay,
    IncidentTimes,
    measure_response,
    week_of,
)

MONDAY = dt.datetime(2026, 3, 2, tzinfo=dt.UTC).timestamp()


def test_weeks_begin_on_mondays() -> None:
    for at in (MONDAY, MONDAY + 1.0, MONDAY + WEEK_S - 1.0):
        assert week_of(at) == MONDAY
    assert week_of(MONDAY - 1.0) == MONDAY - WEEK_S


def test_each_median_is_of_what_has_happened() -> None:
    found = [
        IncidentTimes("late", MONDAY, MONDAY + 60.0, MONDAY + 90.0, MONDAY + 660.0),
        IncidentTimes("late", MONDAY, MONDAY + 180.0, None, MONDAY + 480.0),
        IncidentTimes("late", MONDAY + WEEK_S, MONDAY + WEEK_S + 600.0),
        IncidentTimes("seats", MONDAY + 5.0, MONDAY),  # an onset within the window that showed it
    ]
    whole, first, second, seats, _ = measure_response(found)
    assert (whole.model, whole.week, whole.incidents) == ("late", None, 3)
    assert (whole.detect, whole.acknowledge, whole.resolve) == (
        Delay(180.0, 3), Delay(30.0, 1), Delay(450.0, 2),
    )  # fmt: skip
    assert (first.week, first.detect) == (MONDAY, Delay(120.0, 2))
    assert (second.week, second.detect, second.resolve) == (
        MONDAY + WEEK_S, Delay(600.0, 1), Delay(None, 0),
    )  # fmt: skip
    assert (seats.model, seats.detect) == ("seats", Delay(0.0, 1))


def test_an_acknowledgement_at_the_epoch_is_one() -> None:
    whole, _ = measure_response([IncidentTimes("late", 0.0, 0.0, 0.0, 0.0)])
    assert (whole.acknowledge.count, whole.resolve.count) == (1, 1)
