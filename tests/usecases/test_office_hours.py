"""When the office is open next, in its own time."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.usecases.office_hours import make_office_hours, next_opening

WEEKDAYS = ["mon", "tue", "wed", "thu", "fri"]
BERLIN = make_office_hours(WEEKDAYS, "09:00", "17:00", "Europe/Berlin")


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-01-07T10:00", "2026-01-07T10:00"),  # a Wednesday
        ("2026-01-07T07:59", "2026-01-07T08:00"),
        ("2026-01-07T16:00", "2026-01-08T08:00"),
        ("2026-01-09T20:00", "2026-01-12T08:00"),  # over the weekend
        ("2026-03-27T20:00", "2026-03-30T07:00"),  # over the change of the clocks
    ],
)
def test_the_next_opening(now: str, opens: str) -> None:
    assert next_opening(BERLIN, at(now)) == at(opens)


@given(st.floats(0, 4e9))
def test_it_is_never_past_nor_a_week_away_and_open_then(wall: float) -> None:
    found = next_opening(BERLIN, wall)
    assert wall <= found <= wall + 4 * 86_400.0
    assert next_opening(BERLIN, found) == found
    assert next_opening(None, wall) == wall


@pytest.mark.parametrize(
    ("days", "begins", "ends", "zone"),
    [
        (["mon", "lundi"], "09:00", "17:00", "UTC"), ([], "09:00", "17:00", "UTC"),
        (["mon"], "9", "17:00", "UTC"), (["mon"], "17:00", "09:00", "UTC"),
        (["mon"], "09:00", "17:00", "Mars/Olympus"), (["mon"], "09:00", "17:00", "../etc/passwd"),
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(days: list[str], begins: str, ends: str, zone: str) -> None:
    with pytest.raises(ValueError, match=r"days|times|before|timezone"):
        make_office_hours(days, begins, ends, zone)
