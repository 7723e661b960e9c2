"""What is usual at an hour of the week."""

from __future__ import annotations

import pytest

from windvane.core.absence import HourProfile, OpenHour

HOUR = 3_600.0
MONDAY = 345_600.0  # 1970-01-05


def learned(hours: int, per_hour: float = 10.0, window_s: float = HOUR) -> HourProfile:
    hour, profile, at = OpenHour(), HourProfile(), MONDAY
    while at < MONDAY + hours * HOUR:
        hour, profile = hour.after(profile, at, at + window_s, per_hour * window_s / HOUR)
        at += window_s
    return profile


@pytest.mark.parametrize("window_s", [60.0, 900.0, HOUR, 3 * HOUR, 24 * HOUR])
def test_windows_of_any_length_make_the_same_profile(window_s: float) -> None:
    profile = learned(15 * 24, window_s=window_s)
    at = MONDAY + 15 * 24 * HOUR
    assert profile.expected(at, at + window_s) == pytest.approx(10.0 * window_s / HOUR, rel=0.01)
    assert profile == learned(15 * 24)


def test_an_hour_is_usual_a_day_later() -> None:
    at = MONDAY + 24 * HOUR
    assert learned(24).expected(at + 12 * HOUR, at + 13 * HOUR) == 0.0
    assert learned(38).expected(at + 12 * HOUR, at + 13 * HOUR) == 10.0


def test_a_weekend_is_not_known_by_working_days() -> None:
    saturday = MONDAY + 5 * 24 * HOUR
    profile = learned(5 * 24)
    assert profile.expected(saturday - 12 * HOUR, saturday - 11 * HOUR) == 10.0
    assert profile.expected(saturday + 12 * HOUR, saturday + 13 * HOUR) == 0.0


def test_a_part_of_an_hour_is_not_learned() -> None:
    hour, profile = OpenHour().after(HourProfile(), MONDAY + 1_800.0, MONDAY + 2 * HOUR, 30.0)
    hour, profile = hour.after(profile, MONDAY + 3 * HOUR, MONDAY + 4 * HOUR, 7.0)  # one is missing
    assert [start for start, _ in profile.waiting] == [MONDAY + HOUR, MONDAY + 3 * HOUR]


def test_one_outage_and_one_flood_change_nothing() -> None:
    profile, week = HourProfile(), 168 * HOUR
    for i, count in enumerate([10.0, 0.0, 10.0, 9_000.0, 10.0]):
        for h in range(168):
            profile = profile.with_hour(MONDAY + i * week + h * HOUR, count)
    at = MONDAY + 5 * week
    profile = profile.with_hour(at + 30 * HOUR, 10.0)
    assert profile.expected(at, at + HOUR) == 10.0


def test_it_is_bounded() -> None:
    profile = learned(12 * 168)
    assert max(len(held) for held in profile.weeks) == 5
    assert len(profile.waiting) <= 24


def test_who_sent_nothing_for_weeks_is_expected_no_more() -> None:
    profile, at = learned(200), MONDAY + 200 * HOUR
    for i in range(7 * 168):
        profile = profile.with_hour(at + i * HOUR, 0.0)
    assert profile.empty
