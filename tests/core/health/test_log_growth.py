"""The log's growth, its level, and the day on which the disk is full."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.health import DAY_S, LogSize, forecast

TODAY = 20_000
NOW = (TODAY + 0.5) * DAY_S
KEPT = {"predictions": 90.0, "outcomes": 400.0}


def days(table: str, ages: range, size: int, model: str = "a", rows: int = 10) -> list[LogSize]:
    return [LogSize(table, TODAY - age, model, rows, size) for age in ages]


def test_the_rate_is_of_the_last_seven_whole_days() -> None:
    sizes = [
        *days("predictions", range(1, 8), 1_000_000),
        *days("predictions", range(8, 20), 50_000_000, ""),
        *days("predictions", range(1), 400_000, rows=4),
    ]
    found = forecast(sizes, NOW, KEPT, None, 14.0)
    assert (found.bytes_a_day, found.measured_days) == (1e6, 7.0)
    assert found.held_bytes == 7_400_000 + 12 * 50_000_000
    assert found.level_bytes == 91e6
    assert found.level_in_days == 91.0
    assert (found.full_in_days, found.code) == (None, "")
    assert [(m.model, m.bytes_a_day, m.rows_a_day) for m in found.models] == [("a", 1e6, 10.0)]


GB = 10**9


def constant(begun: float, now: float, rate: float) -> list[LogSize]:
    """Files of traffic at one rate (bytes a day) since ``begun`` (days)."""
    out: list[LogSize] = []
    for day in range(int(begun), int(now) + 1):
        since, until = max(begun, float(day)), min(now, day + 1.0)
        if until > since:
            size = round(rate * (until - since))
            out.append(LogSize("predictions", day, "a", 1, size, since * DAY_S))
    return out


@given(st.floats(0.0, 24.0), st.floats(1.0, 24.0 * 12))
def test_a_constant_rate_is_told_whenever_it_began_and_is_looked_at(
    hour: float, later_h: float
) -> None:
    begun = TODAY + hour / 24
    now = begun + later_h / 24
    found = forecast(constant(begun, now, 10 * GB), now * DAY_S, KEPT, 100 * GB, 14.0)
    assert found.bytes_a_day == pytest.approx(10 * GB, rel=0.01)
    assert found.full_in_days in {9, 10, 11}
    assert found.code == "HLT-405"


def test_the_first_minutes_do_not_count_for_a_day() -> None:
    begun = TODAY + 0.4
    now = begun + 60.0 / DAY_S
    found = forecast(constant(begun, now, 10 * GB), now * DAY_S, KEPT, None, 14.0)
    assert 0 < found.bytes_a_day < 10 * GB


def test_traffic_that_grew_is_not_averaged_away() -> None:
    before = [LogSize("predictions", TODAY - ago, "a", 1, GB) for ago in range(2, 10)]
    grown = [
        LogSize("predictions", TODAY - 1, "a", 1, 20 * GB),
        LogSize("predictions", TODAY, "a", 1, 10 * GB),
    ]
    found = forecast([*before, *grown], NOW, KEPT, 150 * GB, 14.0)
    assert found.bytes_a_day == 20 * GB
    assert (found.full_in_days, found.code) == (8, "HLT-405")


@pytest.mark.parametrize("ago", [1, 3, 6, 7, 100])
def test_a_few_rows_of_long_ago_are_not_what_traffic_began_with(ago: int) -> None:
    old = LogSize("predictions", TODAY - ago, "a", 1, 500, (TODAY - ago + 0.2) * DAY_S)
    for now in (TODAY + 0.5, TODAY + 1.5):
        sizes = [old, *constant(TODAY + 0.25, now, 10 * GB)]
        found = forecast(sizes, now * DAY_S, KEPT, 100 * GB, 14.0)
        assert found.bytes_a_day == pytest.approx(10 * GB, rel=0.01)


def test_there_is_room_for_what_is_removed_a_day_later() -> None:
    """91 days are held when it levels off, and the day before waits to be removed."""
    sizes = days("predictions", range(1, 8), 1_000_000)
    assert forecast(sizes, NOW, KEPT, 84_500_000, 14.0).full_in_days == 85
    assert forecast(sizes, NOW, KEPT, 85_500_000, 14.0).full_in_days is None
    began = constant(TODAY + 0.0, TODAY + 0.1, 1e6)
    held = sum(one.bytes for one in began)
    for room, full in ((92.5e6, True), (93.5e6, False)):
        found = forecast(began, (TODAY + 0.1) * DAY_S, KEPT, round(room) - held, 14.0)
        assert (found.full_in_days is not None) == full


def test_a_day_without_events_counts_too() -> None:
    found = forecast(days("predictions", range(4, 5), 4_000_000), NOW, KEPT, None, 14.0)
    assert (found.bytes_a_day, found.measured_days) == (1e6, 4.0)


def test_the_first_day_is_measured_so_far() -> None:
    found = forecast(days("predictions", range(1), 500_000), NOW, KEPT, None, 14.0)
    assert (found.bytes_a_day, found.measured_days) == (1e6, 0.5)


def test_an_empty_log_grows_by_nothing() -> None:
    found = forecast([], NOW, KEPT, 5, 14.0)
    assert (found.bytes_a_day, found.measured_days, found.full_in_days) == (0.0, 0.0, None)
    assert found.code == ""


@pytest.mark.parametrize(
    ("free", "full", "code"),
    [(3_500_000, 4, "HLT-405"), (20_500_000, 21, ""), (82_000_000, 83, ""), (85_500_000, None, "")],
)
def test_the_disk_is_full_before_it_levels_off_or_never(
    free: int, full: int | None, code: str
) -> None:
    sizes = days("predictions", range(1, 8), 1_000_000)
    found = forecast(sizes, NOW, KEPT, free, 14.0)
    assert (found.full_in_days, found.code) == (full, code)
    if full is not None:
        assert f"full in {full} days" in found.why


def test_what_is_about_to_be_removed_makes_room() -> None:
    """A log that is as large as it ever will be is full at no time, however little is free."""
    sizes = days("predictions", range(1, 92), 1_000_000)
    assert forecast(sizes, NOW, KEPT, 1_500_000, 14.0).full_in_days is None


@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 10**9)), max_size=30),
    st.integers(0, 10**12), st.floats(0.5, 120.0),
)  # fmt: skip
def test_it_is_full_only_where_it_is_to_hold_more_than_there_is_room_for(
    held: list[tuple[int, int]], free: int, kept: float
) -> None:
    sizes = [LogSize("predictions", TODAY - age, "", 1, size) for age, size in held]
    found = forecast(sizes, NOW, {"predictions": kept}, free, 14.0)
    most = found.bytes_a_day * (kept + 3.0) + found.held_bytes
    if found.full_in_days is not None:
        assert most > found.held_bytes + free
        assert found.full_in_days <= kept + 4.0
    more = forecast(sizes, NOW, {"predictions": kept}, free + 10**9, 14.0)
    assert more.full_in_days is None or more.full_in_days >= (found.full_in_days or 10**9)
