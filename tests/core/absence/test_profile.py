"""What is usual at an hour of the week."""

from __future__ import annotations

from collections.abc import Callable

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


WEEK = 168 * HOUR
Plan = Callable[[int], float]


def nightly(hour: int) -> float:
    return 10_000.0 if hour % 24 == 3 else 0.0


def of_weeks(weeks: int, plan: Plan) -> HourProfile:
    """From a Monday on, and a day more: hours join a day later."""
    profile = HourProfile()
    for hour in range(weeks * 168 + 24):
        profile = profile.with_hour(MONDAY + hour * HOUR, plan(hour))
    return profile


def found_after(profile: HourProfile, first: int, plan: Plan, hours: int) -> list[int]:
    """The hours from ``first`` on at whose ends something was usual in the day before."""
    found: list[int] = []
    for hour in range(first, first + hours):
        profile = profile.with_hour(MONDAY + hour * HOUR, plan(hour))
        if profile.expected_in_last_day(100.0 * profile.last_day) > 0.0:
            found.append(hour)
    return found


def nothing(hour: int) -> float:
    return 0.0


@pytest.mark.parametrize(
    "plan",
    [
        nightly,
        lambda hour: 10_000.0 if hour % 24 in (3, 4) else 0.0,
        lambda hour: 10_000.0 if hour % 24 in (9, 13) else 0.0,
        lambda hour: 10_000.0 if hour % 24 == (3 + hour // 24 % 2) else 1.0,  # late, and a trickle
        lambda hour: 10_000.0 if hour % 24 == 3 and hour // 24 % 7 < 5 else 0.0,
    ],
)
def test_a_day_without_what_every_earlier_one_had_is_known_two_hours_later(plan: Plan) -> None:
    first = 5 * 168 + 24  # a Tuesday at 0:00; the last batch was Monday's
    profile = of_weeks(5, plan)
    assert profile.expected(MONDAY + first * HOUR, MONDAY + (first + 24) * HOUR) <= 24.0
    assert found_after(profile, first, plan, 14 * 24) == []
    found = found_after(profile, first, nothing, 24)
    assert found
    assert found[0] % 24 <= 15
    assert profile.watched


def test_days_that_may_be_empty_are_no_news() -> None:
    working = lambda hour: nightly(hour) if hour // 24 % 7 < 5 else 0.0  # noqa: E731
    holiday = lambda hour: 0.0 if hour // 24 == 23 else nightly(hour)  # noqa: E731
    weekly = lambda hour: nightly(hour) if hour // 24 % 7 == 6 else 0.0  # noqa: E731
    first = 5 * 168 + 24
    saturday = of_weeks(5, working)
    for hour in range(first, first + 4 * 24):
        saturday = saturday.with_hour(MONDAY + hour * HOUR, working(hour))
    assert found_after(saturday, first + 4 * 24, nothing, 2 * 24) == []
    assert found_after(of_weeks(5, holiday), first, nothing, 24) == []
    assert found_after(of_weeks(5, weekly), first, nothing, 14 * 24) == []
    assert not of_weeks(5, weekly).watched


def test_a_day_is_news_once_four_weeks_are_known() -> None:
    assert found_after(of_weeks(3, nightly), 3 * 168 + 24, nothing, 24) == []
    assert not of_weeks(3, nightly).watched
    assert found_after(of_weeks(4, nightly), 4 * 168 + 24, nothing, 24) != []


def test_a_day_of_which_a_part_was_not_seen_is_not_judged() -> None:
    profile, first = of_weeks(5, nightly), 5 * 168 + 24
    for hour in range(first, first + 24):
        if hour != first + 12:
            profile = profile.with_hour(MONDAY + hour * HOUR, 0.0)
    assert profile.day_ends is None
    assert profile.expected_in_last_day(0.0) == 0.0
