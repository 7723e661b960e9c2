"""Read an iCalendar file: who is on call, and when the office is closed.

Source of the format: RFC 5545, of which events with a beginning and an end are read, repeated daily
or weekly. What else changes when an event happens is refused, so that nobody is on call by mistake.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from zoneinfo import ZoneInfo

from windvane.core.errors import WindvaneError

MOST_BYTES = 1 << 20
CLOSED = "closed"
"""Summary of an event in which nobody is in the office, in any case of letters."""
_MOST_EVENTS = 2_000
_MOST_LINES = 100_000
_LONGEST_LINE = 8_192
_LONGEST = dt.timedelta(days=31)
_MOST_TIMES = 1_000
_CENTURY = 36_525
_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_REFUSED = ("RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID", "DURATION")
_ONCE = ("DTSTART", "DTEND", "SUMMARY", "RRULE", "STATUS")
_RULE = ("FREQ", "INTERVAL", "UNTIL", "COUNT", "BYDAY", "WKST")


class BadCalendar(WindvaneError):
    """A calendar that cannot be read, or that says what is not understood."""

    code: ClassVar[str] = "NOT-102"
    hint = "docs/howto/connect-notifications.md#who-is-on-call says what is read of a calendar"


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """``summary`` from ``begins`` to ``ends``, local times of ``zone``. Where ``every_days`` is not
    0 it happens again each so many days (of weeks: on ``weekdays``, Monday 0), last on the day
    ``last`` (None: for ever)."""

    summary: str
    begins: dt.datetime
    ends: dt.datetime
    zone: ZoneInfo
    every_days: int = 0
    weekdays: frozenset[int] = frozenset()
    last: dt.date | None = None

    def active_until(self, wall: float) -> float | None:
        """When the one ends that goes on at ``wall`` (s); None where none does. It keeps its local
        times, whatever the clocks do."""
        today = dt.datetime.fromtimestamp(wall, self.zone).date()
        first = self.begins.date()
        if not self.every_days:
            days: Sequence[dt.date] = (first,)
        else:
            back = (self.ends - self.begins).days + 2
            days = [today - dt.timedelta(days=n) for n in range(-1, back)]
        found = [end for day in days if self.happens(day) for begin, end in [self._on(day)]
                 if begin <= wall < end]  # fmt: skip
        return max(found, default=None)

    def _on(self, day: dt.date) -> tuple[float, float]:
        moved = dt.datetime.combine(day, self.begins.time())
        ends = moved + (self.ends - self.begins)
        return (
            moved.replace(tzinfo=self.zone).timestamp(),
            ends.replace(tzinfo=self.zone).timestamp(),
        )

    def happens(self, day: dt.date) -> bool:
        """Whether one begins on that local day."""
        first = self.begins.date()
        if day == first:
            return not self.weekdays or day.weekday() in self.weekdays
        if not self.every_days or day < first or (self.last is not None and day > self.last):
            return False
        if not self.weekdays:
            return (day - first).days % self.every_days == 0
        return day.weekday() in self.weekdays and (
            (_monday(day) - _monday(first)).days % self.every_days == 0
        )


@dataclass(frozen=True, slots=True)
class OfficeCalendar:
    """Events of a file; none where there is no file."""

    events: tuple[CalendarEvent, ...] = ()

    def on_call(self, wall: float) -> tuple[str, ...]:
        """Channels of who is on call at ``wall`` (s), each once, as the file has them."""
        found = [
            e.summary
            for e in self.events
            if e.summary != CLOSED and e.active_until(wall) is not None
        ]
        return tuple(dict.fromkeys(found))

    def closed_until(self, wall: float) -> float:
        """``wall`` where the office is not closed then (s), else when that ends."""
        ends = [e.active_until(wall) for e in self.events if e.summary == CLOSED]
        return max((end for end in ends if end is not None), default=wall)


def read_calendar(text: str, zone: ZoneInfo, channels: Collection[str]) -> OfficeCalendar:
    """Times without a zone and whole days are of ``zone``. The summary of an event is one of
    ``channels``, or `CLOSED`. Raises BadCalendar, which names the line."""
    if len(text) > MOST_BYTES:
        raise BadCalendar(f"{len(text):,} characters, {MOST_BYTES:,} are the most")
    found: list[CalendarEvent] = []
    fields: dict[str, tuple[int, Mapping[str, str], str]] | None = None
    inside: list[str] = []
    began = 0
    for number, name, given, value in _lines(text):
        if name == "BEGIN":
            inside.append(value.upper())
            if value.upper() == "VEVENT":
                fields, began = {}, number
        elif name == "END":
            if not inside or inside.pop() != value.upper():
                raise BadCalendar(f"line {number}: END:{value[:40]} ends nothing")
            if value.upper() == "VEVENT" and fields is not None:
                if len(found) >= _MOST_EVENTS:
                    raise BadCalendar(f"line {number}: {_MOST_EVENTS:,} events are the most")
                if fields.get("STATUS", (0, {}, ""))[2].upper() != "CANCELLED":
                    found.append(_event(began, fields, zone, channels))
                fields = None
        elif fields is not None and inside[-1] == "VEVENT":
            if name in _REFUSED:
                raise BadCalendar(
                    f"line {number}: {name} is not read: write an event for each time"
                )
            if name in _ONCE:
                if name in fields:
                    raise BadCalendar(f"line {number}: a second {name} in one event")
                fields[name] = (number, given, value)
    if inside or "BEGIN:VCALENDAR" not in text[:4_096].upper():
        raise BadCalendar("it is no whole calendar: BEGIN:VCALENDAR to END:VCALENDAR is needed")
    return OfficeCalendar(tuple(found))


def _lines(text: str) -> Iterator[tuple[int, str, Mapping[str, str], str]]:
    """Number, name, parameters and value of each line; folded ones are joined."""
    held: tuple[int, str] | None = None
    lines = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))
    if len(lines) > _MOST_LINES:
        raise BadCalendar(f"{len(lines):,} lines, {_MOST_LINES:,} are the most")
    for number, line in enumerate([*lines, "END-OF-FILE:"], start=1):
        if line[:1] in (" ", "\t") and held is not None:
            held = (held[0], held[1] + line[1:])
            if len(held[1]) > _LONGEST_LINE:
                raise BadCalendar(f"line {held[0]}: more than {_LONGEST_LINE:,} characters")
            continue
        if held is not None and held[1].strip():
            yield _property(*held)
        held = (number, line)


def _property(number: int, line: str) -> tuple[int, str, Mapping[str, str], str]:
    found = re.fullmatch(r'([A-Za-z0-9-]+)((?:;[A-Za-z0-9-]+=(?:"[^"]*"|[^";:]*))*):(.*)', line)
    if found is None:
        raise BadCalendar(f"line {number}: this is no NAME:VALUE")
    given: dict[str, str] = {}
    for name, value in re.findall(r';([A-Za-z0-9-]+)=("[^"]*"|[^";:]*)', found[2]):
        given[name.upper()] = value.strip('"')
    return number, found[1].upper(), given, found[3]


def _event(
    began: int,
    fields: Mapping[str, tuple[int, Mapping[str, str], str]],
    zone: ZoneInfo,
    channels: Collection[str],
) -> CalendarEvent:
    for name in ("DTSTART", "DTEND", "SUMMARY"):
        if name not in fields:
            raise BadCalendar(f"line {began}: the event has no {name}")
    number, _, summary = fields["SUMMARY"]
    summary = re.sub(r"\\([\\;,])", r"\1", summary).strip()
    if summary.lower() == CLOSED:
        summary = CLOSED
    elif summary not in channels:
        known = ", ".join(sorted(channels)[:10])
        raise BadCalendar(
            f"line {number}: SUMMARY {summary[:40]!r} is neither {CLOSED!r} nor a channel ({known})"
        )
    begins, of, whole = _time(*fields["DTSTART"], zone)
    ends, end_of, end_whole = _time(*fields["DTEND"], zone)
    if whole != end_whole:
        raise BadCalendar(f"line {began}: DTSTART and DTEND: one is a day, the other a time")
    if end_of.key != of.key:  # the end as the beginning's clocks show it
        ends = ends.replace(tzinfo=end_of).astimezone(of).replace(tzinfo=None)
    if not begins < ends <= begins + _LONGEST:
        days = _LONGEST.days
        raise BadCalendar(f"line {began}: DTEND must be after DTSTART, by {days} days at most")
    event = CalendarEvent(summary, begins, ends, of)
    return event if "RRULE" not in fields else _repeated(event, *fields["RRULE"])


def _time(
    number: int, given: Mapping[str, str], value: str, zone: ZoneInfo
) -> tuple[dt.datetime, ZoneInfo, bool]:
    """The local time, of which zone, and whether it is a whole day."""
    of = zone
    if "TZID" in given:
        try:
            of = ZoneInfo(given["TZID"].removeprefix("/"))
        except (OSError, ValueError, LookupError):
            raise BadCalendar(f"line {number}: TZID {given['TZID'][:40]!r} is not known") from None
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?", value)
    try:
        if found is not None and _FIRST_YEAR <= int(found[1]) <= _LAST_YEAR:
            year, month, day, hour, minute, second = (int(n or 0) for n in found.groups()[:6])
            time = dt.time(hour, minute, second)  # its zone is kept beside it
            local = dt.datetime.combine(dt.date(year, month, day), time)
            return local, ZoneInfo("UTC") if found[7] else of, found[4] is None
    except ValueError:
        pass
    raise BadCalendar(f"line {number}: {value[:40]!r} is no time such as 20261201T220000")


def _repeated(
    event: CalendarEvent, number: int, given: Mapping[str, str], value: str
) -> CalendarEvent:
    del given
    where = f"line {number}: RRULE"
    rule: dict[str, str] = {}
    for part in filter(None, value.upper().split(";")):
        name, _, said = part.partition("=")
        if name not in _RULE or name in rule:
            raise BadCalendar(f"{where}: {name[:20]} is not read, or there twice")
        rule[name] = said
    freq = rule.get("FREQ", "")
    if freq not in ("DAILY", "WEEKLY") or (freq == "DAILY" and "BYDAY" in rule):
        raise BadCalendar(f"{where}: FREQ=DAILY, or FREQ=WEEKLY with or without BYDAY, is read")
    if rule.get("WKST", "MO") != "MO":
        raise BadCalendar(f"{where}: WKST={rule['WKST'][:10]} is not read: weeks begin on Monday")
    if "UNTIL" in rule and "COUNT" in rule:
        raise BadCalendar(f"{where}: UNTIL or COUNT, not both")
    interval = _number(where, "INTERVAL", rule.get("INTERVAL", "1"))
    weekdays: frozenset[int] = frozenset()
    if freq == "WEEKLY":
        named = rule.get("BYDAY", _DAYS[event.begins.weekday()]).split(",")
        if not set(named) <= set(_DAYS):
            raise BadCalendar(f"{where}: BYDAY is a list of {', '.join(_DAYS)}")
        weekdays = frozenset(_DAYS.index(day) for day in named)
        if event.begins.weekday() not in weekdays:
            raise BadCalendar(f"{where}: DTSTART is on none of its days")
    every = interval * (7 if freq == "WEEKLY" else 1)
    made = CalendarEvent(
        event.summary,
        event.begins,
        event.ends,
        event.zone,
        every,
        weekdays,
        _until(where, rule, event),
    )
    if "COUNT" not in rule:
        return made
    last = last_of(made, _number(where, "COUNT", rule["COUNT"]))
    return CalendarEvent(
        made.summary, made.begins, made.ends, made.zone, every, weekdays, last
    )  # fmt: skip


def _until(where: str, rule: Mapping[str, str], event: CalendarEvent) -> dt.date | None:
    """The last day on which it begins, by the event's own clocks."""
    if "UNTIL" not in rule:
        return None
    number = int(re.findall(r"\d+", where)[0])
    until, zone, whole = _time(number, {}, rule["UNTIL"], event.zone)
    if whole:
        return until.date()
    local = until.replace(tzinfo=zone).astimezone(event.zone).replace(tzinfo=None)
    begins = event.begins.time()
    return local.date() if local.time() >= begins else local.date() - dt.timedelta(days=1)


def last_of(event: CalendarEvent, count: int) -> dt.date:
    """The day of the last of so many, at most a century on."""
    first = event.begins.date()
    if not event.weekdays:
        return first + dt.timedelta(days=min(event.every_days * (count - 1), _CENTURY))
    weeks, offsets = event.every_days // 7, sorted(event.weekdays)
    # Of the first week only the days from the first on.
    before = sum(day < first.weekday() for day in offsets)
    week, place = divmod(before + count - 1, len(offsets))
    days = min(week * weeks * 7 + offsets[place] - first.weekday(), _CENTURY)
    return first + dt.timedelta(days=days)


def _number(where: str, name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= _MOST_TIMES:
        raise BadCalendar(f"{where}: {name} is {text[:20]!r}, 1 to {_MOST_TIMES:,} is needed")
    return int(text)


def _monday(day: dt.date) -> dt.date:
    return day - dt.timedelta(days=day.weekday())
