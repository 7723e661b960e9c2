"""When somebody is in the office."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from windvane.usecases.read_calendar import OfficeCalendar

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_AHEAD_DAYS = 62  # a month may be closed, and what is due then is told all the same


@dataclass(frozen=True, slots=True)
class OfficeHours:
    """Local times of ``days`` (mon to sun), ``begins`` to ``ends``, in ``zone``."""

    days: frozenset[str]
    begins: dt.time
    ends: dt.time
    zone: ZoneInfo


def make_office_hours(days: Sequence[str], begins: str, ends: str, zone: str) -> OfficeHours:
    """Raises ValueError, in words, for what is no day, no time or no zone."""
    for day in days:
        if day not in _DAYS:
            raise ValueError(f"days: {day[:20]!r} is none of {', '.join(_DAYS)}")
    if not days:
        raise ValueError("days: none is given")
    try:
        begin, end = dt.time.fromisoformat(begins), dt.time.fromisoformat(ends)
    except ValueError:
        raise ValueError(f"{begins[:20]!r} to {ends[:20]!r} are no times such as 09:00") from None
    if begin.tzinfo is not None or end.tzinfo is not None or begin >= end:
        raise ValueError(f"{begins[:20]!r} must be before {ends[:20]!r}, of the same day")
    try:
        found = ZoneInfo(zone)
    except (OSError, ValueError, LookupError):
        raise ValueError(f"timezone: {zone[:40]!r} is not known") from None
    return OfficeHours(frozenset(days), begin, end, found)


def next_opening(
    office: OfficeHours | None, wall: float, calendar: OfficeCalendar | None = None
) -> float:
    """The earliest time from ``wall`` on (s) at which the office is open, by its hours and outside
    of what the ``calendar`` has as closed; ``wall`` itself where it is now, or where there are no
    hours, or where it is closed for longer than is looked ahead."""
    if office is None:
        return wall
    here = dt.datetime.fromtimestamp(wall, office.zone)
    for ahead in range(_AHEAD_DAYS):
        day = here.date() + dt.timedelta(days=ahead)
        if _DAYS[day.weekday()] not in office.days:
            continue
        begins = dt.datetime.combine(day, office.begins, office.zone).timestamp()
        ends = dt.datetime.combine(day, office.ends, office.zone).timestamp()
        at = max(wall, begins)
        while calendar is not None and (until := calendar.closed_until(at)) > at:
            at = until
        if at < ends:
            return at
    return wall
