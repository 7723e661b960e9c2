"""Who is on call and when the office is closed, by a calendar that keeps its local times."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from usecases.harness import MODEL, Harness
from usecases.test_notify_people import Desk, fail

from windvane.adapters.files import WatchedFile
from windvane.usecases.office_hours import make_office_hours, next_opening
from windvane.usecases.read_calendar import (
    MOST_BYTES,
    BadCalendar,
    CalendarEvent,
    OfficeCalendar,
    last_of,
    read_calendar,
)

BERLIN = ZoneInfo("Europe/Berlin")
ZONE = "".join(
    f"{line}\r\n"
    for line in ("BEGIN:VTIMEZONE", "TZID:x", "BEGIN:STANDARD", "DTSTART:19701025T030000",
                 "RRULE:FREQ=YEARLY", "END:STANDARD", "END:VTIMEZONE")
)  # fmt: skip
CHANNELS = ("ana", "bea", "pager", "second")


def calendar(*events: str, zone: ZoneInfo = BERLIN) -> OfficeCalendar:
    return read_calendar(written(*events), zone, CHANNELS)


def written(*events: str) -> str:
    inside = "".join(f"BEGIN:VEVENT\r\n{event.strip()}\r\nEND:VEVENT\r\n" for event in events)
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{inside}END:VCALENDAR\r\n"


def event(begins: str, ends: str, summary: str = "ana", *more: str, of: str = "") -> str:
    at = f";TZID={of}" if of else ""
    return "\r\n".join([f"DTSTART{at}:{begins}", f"DTEND{at}:{ends}", f"SUMMARY:{summary}", *more])


def night(*more: str) -> str:
    return event("20261201T220000", "20261202T060000", *more)


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def test_an_event_lasts_from_its_beginning_to_before_its_end() -> None:
    found = calendar(event("20261201T220000", "20261202T060000"))
    assert found.on_call(at("2026-12-01T21:59:59")) == ()
    assert found.on_call(at("2026-12-01T22:00")) == ("ana",)
    assert found.on_call(at("2026-12-02T05:59:59")) == ("ana",)
    assert found.on_call(at("2026-12-02T06:00")) == ()


@pytest.mark.parametrize("day", ["2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25"])
def test_a_nightly_shift_keeps_its_local_times_when_the_clocks_change(day: str) -> None:
    """In Berlin they go forward on 29 March and back on 25 October 2026, at night."""
    found = calendar(
        event("20260101T220000", "20260102T060000", "ana", "RRULE:FREQ=DAILY", of="Europe/Berlin"),
        zone=ZoneInfo("UTC"),
    )
    begins = at(f"{day}T22:00")
    next_day = (dt.date.fromisoformat(day) + dt.timedelta(days=1)).isoformat()
    ends = at(f"{next_day}T06:00")
    assert (ends - begins) / 3_600.0 == {"2026-03-28": 7.0, "2026-10-24": 9.0}.get(day, 8.0)
    for wall, on_call in ((begins - 1.0, ()), (begins, ("ana",)), (ends - 1.0, ("ana",)),
                          (ends, ())):  # fmt: skip
        assert found.on_call(wall) == on_call, wall - begins


def test_utc_is_utc_in_winter_and_in_summer() -> None:
    found = calendar(event("20260101T090000Z", "20260101T100000Z", "ana", "RRULE:FREQ=DAILY"))
    for day in ("2026-01-15", "2026-07-15"):
        assert found.on_call(at(f"{day}T09:30", ZoneInfo("UTC"))) == ("ana",)
        assert found.on_call(at(f"{day}T10:30", ZoneInfo("UTC"))) == ()


def test_weeks_of_two_people_take_turns() -> None:
    rule = "RRULE:FREQ=WEEKLY;INTERVAL=2"
    found = calendar(
        event("20261130T090000", "20261207T090000", "ana", rule),
        event("20261207T090000", "20261214T090000", "bea", rule),
    )
    for week in range(8):
        wall = at("2026-12-02T12:00") + week * 7 * 86_400.0
        assert found.on_call(wall) == (("ana", "bea")[week % 2],)


def test_days_of_the_week_until_and_count() -> None:
    days = "RRULE:FREQ=WEEKLY;BYDAY=MO,WE"
    until = calendar(event("20261130T090000", "20261130T170000", "ana",
                           f"{days};UNTIL=20261207T080000Z"))  # fmt: skip
    count = calendar(event("20261130T090000", "20261130T170000", "ana", f"{days};COUNT=3"))
    for found in (until, count):
        seen = [day for day in range(30) if found.on_call(at("2026-11-30T12:00") + day * 86_400.0)]
        assert seen == [0, 2, 7]


def test_closed_days_move_what_is_for_office_hours() -> None:
    office = make_office_hours(["mon", "tue", "wed", "thu", "fri"], "09:00", "17:00",
                               "Europe/Berlin")  # fmt: skip
    closed = calendar(event("20261224", "20261228", "Closed"))
    friday = at("2026-12-23T18:00")
    assert next_opening(office, friday) == at("2026-12-24T09:00")
    assert next_opening(office, friday, closed) == at("2026-12-28T09:00")
    half = calendar(event("20261224T120000", "20261228T000000", "closed"))
    assert next_opening(office, friday, half) == at("2026-12-24T09:00")
    assert next_opening(office, at("2026-12-24T13:00"), half) == at("2026-12-28T09:00")
    assert closed.on_call(at("2026-12-25T09:00")) == (), "closed is nobody's channel"


def test_folded_and_quoted_lines_and_foreign_parts_are_read_over() -> None:
    text = written(
        'DTSTART;TZID="Europe/Berlin":20261201T220000\r\nDTEND;TZID="Europe/Berlin":202612\r\n'
        " 02T060000\r\nSUMMARY:an\r\n a\r\nBEGIN:VALARM\r\nTRIGGER:-PT15M\r\nEND:VALARM"
    ).replace("VERSION:2.0\r\n", "VERSION:2.0\r\n" + ZONE)
    for lines in (text, text.replace("\r\n", "\n"), "\ufeff" + text):
        found = read_calendar(lines, ZoneInfo("UTC"), CHANNELS)
        assert found.on_call(at("2026-12-02T05:00")) == ("ana",)


def test_what_was_cancelled_does_not_happen() -> None:
    found = calendar(night("ana", "STATUS:CANCELLED"))
    assert found == OfficeCalendar()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (night("carl"), "line 6: SUMMARY 'carl'"),
        (event("20261201T220000", "20261201T220000"), "DTEND must be after DTSTART"),
        (event("20261201T220000", "20270201T220000"), "by 31 days at most"),
        (event("20261201", "20261202T060000"), "one is a day"),
        (event("20261301T220000", "20261202T060000"), "line 4: '20261301T220000' is no time"),
        (event("99991231T220000", "99991231T230000"), "is no time"),
        (event("20261201T220000", "20261202T060000", of="Mars/Base"), "TZID 'Mars/Base'"),
        ("DTSTART:20261201T220000\r\nSUMMARY:ana", "the event has no DTEND"),
        ("DTSTART:20261201T220000\r\nDURATION:PT8H\r\nSUMMARY:ana", "DURATION is not read"),
        (night("ana", "EXDATE:20261208T220000"), "EXDATE"),
        (night("ana", "RRULE:FREQ=MONTHLY"), "line 7: RRULE"),
        (night("ana", "RRULE:FREQ=DAILY;BYMONTH=1"), "BYMONTH"),
        (night("ana", "RRULE:FREQ=DAILY;INTERVAL=0"), "INTERVAL"),
        (night("ana", "RRULE:FREQ=WEEKLY;BYDAY=1MO"), "BYDAY"),
        (night("ana", "RRULE:FREQ=WEEKLY;BYDAY=MO"), "none of"),
        (night("ana", "RRULE:FREQ=DAILY;COUNT=2;UNTIL=20270101"),
         "not both"),
        (night("ana", "SUMMARY:bea"), "a second SUMMARY"),
        ("no colon", "this is no NAME:VALUE"),
        ("END:VCALENDAR", "ends nothing"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_its_line(wrong: str, said: str) -> None:
    with pytest.raises(BadCalendar) as raised:
        calendar(wrong)
    assert said in raised.value.message


def test_a_file_that_is_cut_or_too_large_is_refused() -> None:
    whole = written(event("20261201T220000", "20261202T060000"))
    for text in ("", whole[: len(whole) // 2], whole.replace("BEGIN:VCALENDAR", "")):
        with pytest.raises(BadCalendar):
            read_calendar(text, BERLIN, CHANNELS)
    with pytest.raises(BadCalendar, match="are the most"):
        read_calendar("x" * (MOST_BYTES + 1), BERLIN, CHANNELS)
    with pytest.raises(BadCalendar, match="2,000 events"):
        calendar(*[event("20261201T220000", "20261202T060000")] * 2_001)


@given(st.text(max_size=300))
def test_no_text_does_anything_but_be_refused(text: str) -> None:
    for body in (text, written(text)):
        try:
            read_calendar(body, BERLIN, CHANNELS)
        except BadCalendar:
            continue


def test_a_file_is_read_again_when_it_changes_and_a_bad_one_keeps_the_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "oncall.ics"
    watched = WatchedFile(
        path, lambda text: read_calendar(text, BERLIN, CHANNELS), OfficeCalendar(), MOST_BYTES
    )
    assert watched() == OfficeCalendar()
    path.write_text(written(event("20261201T220000", "20261202T060000")))
    wall = at("2026-12-02T05:00")
    assert watched().on_call(wall) == ("ana",)
    path.write_text("broken")
    assert watched().on_call(wall) == ("ana",)
    assert watched().on_call(wall) == ("ana",)
    assert caplog.text.count("what was read before holds") == 2, "once a change"
    path.write_text(written(event("20261201T220000", "20261202T060000", "bea")))
    assert watched().on_call(wall) == ("bea",)


def test_who_is_on_call_is_paged_first_and_stays_in_the_order(harness: Harness) -> None:
    desk = Desk(harness)
    harness.clock.wall_at = at("2026-12-01T22:00")
    shift = calendar(event("20261201T213000", "20261201T220400", "second"))

    class OnCall(Desk):
        @property
        def outlets(self):  # type: ignore[no-untyped-def]
            return replace(super().outlets, calendar=lambda: shift)

    desk = OnCall(harness)
    fail(harness)
    desk.after(0.0)
    assert (desk.second.titles, desk.pager.titles) == ([f"[high] {MODEL}"], [])
    desk.after(301.0)
    assert desk.pager.titles == [f"[high] {MODEL}"], "the shift ended meanwhile"
    desk.after(601.0)
    assert desk.mail.titles == [f"[high] {MODEL}"]
    assert len(desk.second.titles) == 1


@pytest.mark.parametrize("days", ["MO", "MO,WE,SU", "WE"])
@pytest.mark.parametrize("interval", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_the_last_of_so_many_is_the_day_on_which_it_happens_that_often(
    days: str, interval: int, count: int
) -> None:
    begins = dt.datetime(2026, 3, 4 if "WE" in days else 2, 9)
    week = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
    named = frozenset(week.index(day) for day in days.split(","))
    zone = ZoneInfo("UTC")
    event = CalendarEvent("x", begins, begins + dt.timedelta(hours=8), zone, 7 * interval, named)
    last = last_of(event, count)
    happened = [
        day
        for n in range((last - begins.date()).days + 1)
        if event.happens(day := begins.date() + dt.timedelta(days=n))
    ]
    assert (len(happened), happened[-1]) == (count, last)


def test_a_rule_that_reaches_far_is_read_at_once() -> None:
    begins = dt.datetime(2026, 3, 2, 9)
    event = CalendarEvent("x", begins, begins, ZoneInfo("UTC"), 1_000)
    assert last_of(event, 1_000) > dt.date(2120, 1, 1)
