"""How much comes in each hour of a week, learned from the last weeks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

HOUR_S = 3_600.0
_HOURS = 168
_DAY_HOURS = 24
# The epoch was a Thursday; a week begins on Monday here, so that its weekend is its end.
_EPOCH_HOUR = 72
_WEEKEND = 5 * _DAY_HOURS
_WEEKS = 5
_WAIT_S = 86_400.0
# How many weeks must be known before a day without anything is news, and by how many hours what
# comes once a day may be late or early.
_FULL_WEEKS = 4
_LATE_HOURS = 2


@dataclass(frozen=True, slots=True)
class HourProfile:
    """Counts of each hour of the week (Monday 0:00 UTC first) in up to five weeks, oldest first.

    An hour's level is the lower median of its weeks: one outage, or one flood, changes it little.
    Hours ``waiting`` (start in s, count) join a day later: a silence must not be what is usual
    before it is found.
    """

    weeks: tuple[tuple[float, ...], ...] = ((),) * _HOURS
    waiting: tuple[tuple[float, float], ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing is expected at any hour any more."""
        return not any(any(held) for held in self.weeks) and not any(n for _, n in self.waiting)

    def with_hour(self, start: float, count: float) -> HourProfile:
        """A whole hour that began at ``start`` (s)."""
        waiting = (*self.waiting, (start, round(count, 2)))
        weeks = list(self.weeks)
        for began, came in waiting:
            if began <= start - _WAIT_S:
                cell = _cell(began)
                weeks[cell] = (*weeks[cell], came)[-_WEEKS:]
        return HourProfile(tuple(weeks), tuple(w for w in waiting if w[0] > start - _WAIT_S))

    def expected(self, start: float, end: float) -> float:
        """At least how much usually comes in [start, end) (s).

        Of each hour the least of its own level and its neighbours': the first hour of a morning is
        no silence, and neither is a clock that is put forward. Nothing at an hour of which
        nothing is known.
        """
        return sum(span / HOUR_S * self._least(hour) for hour, span in hours_of(start, end))

    @property
    def watched(self) -> bool:
        """Whether anything is expected at some hour, or on some day."""
        if any(self._least(hour * HOUR_S) for hour in range(_HOURS)):
            return True
        return any(self._least_day(hour * HOUR_S, 0.0) for hour in range(_HOURS))

    @property
    def day_ends(self) -> float | None:
        """When the last 24 hours ended (s), if each of them was seen whole."""
        starts = [start for start, _ in self.waiting]
        if len(starts) < _DAY_HOURS or starts[-1] - starts[0] != (_DAY_HOURS - 1) * HOUR_S:
            return None
        return starts[-1] + HOUR_S

    @property
    def last_day(self) -> float:
        """How much came in the last 24 hours, as far as they were seen."""
        return sum(count for _, count in self.waiting)

    def expected_in_last_day(self, more_than: float) -> float:
        """How much came at least on every earlier day of the kind of the last 24 hours: of those
        that ended at the same time of a working day, or of any day where they end on a weekend.

        What comes once a day is no hour's, for it may be an hour late: of each day it is the
        least of what came without some two of its first and last hours. 0.0 where it is not
        ``more_than``, where a day of these had nothing, and before four weeks are known.
        """
        ends = self.day_ends
        return 0.0 if ends is None else self._least_day(ends, more_than)

    def _least_day(self, ends: float, more_than: float) -> float:
        last = _cell(ends - HOUR_S)
        days = range(7 if last >= _WEEKEND else 5)
        least = float("inf")
        for day in days:
            first = day * _DAY_HOURS + last % _DAY_HOURS + 1 - _DAY_HOURS
            cells = [self.weeks[(first + i) % _HOURS] for i in range(_DAY_HOURS)]
            known = min(len(cell) for cell in cells)
            if known < _FULL_WEEKS:
                return 0.0
            for back in range(1, known + 1):
                counts = [cell[-back] for cell in cells]
                for i in range(_LATE_HOURS + 1):
                    least = min(least, sum(counts[i : _DAY_HOURS - _LATE_HOURS + i]))
                if least <= more_than:
                    return 0.0
        return least

    def _least(self, hour: float) -> float:
        return min(self._level(_cell(hour + beside)) for beside in (-HOUR_S, 0.0, HOUR_S))

    def _level(self, cell: int) -> float:
        """Of an hour of the week; before it was ever seen, the least of the same hour on the
        working days, or on the days of the weekend, that were."""
        held = self.weeks[cell]
        if held:
            return sorted(held)[(len(held) - 1) // 2]
        weekend = cell >= _WEEKEND
        days = range(_WEEKEND if weekend else 0, _HOURS if weekend else _WEEKEND, _DAY_HOURS)
        seen = [n for day in days for n in self.weeks[day + cell % _DAY_HOURS]]
        return min(seen, default=0.0)


@dataclass(frozen=True, slots=True)
class OpenHour:
    """The hour under way: since when it is counted, up to when, and how much came (s)."""

    since: float = 0.0
    until: float = 0.0
    count: float = 0.0

    def after(
        self, profile: HourProfile, start: float, end: float, count: float
    ) -> tuple[OpenHour, HourProfile]:
        """With what came in the window [start, end); hours that are over join the profile, but
        for those of which a part was not seen."""
        held = self if start == self.until else OpenHour(start, start)
        for hour, span in hours_of(start, end):
            part = count * span / (end - start)
            whole = OpenHour(held.since, held.until + span, held.count + part)
            if whole.until < hour + HOUR_S:
                held = whole
                continue
            if whole.since <= hour:
                profile = profile.with_hour(hour, whole.count)
            held = OpenHour(whole.until, whole.until)
        return held, profile


def hours_of(start: float, end: float) -> Iterator[tuple[float, float]]:
    """(start of the hour, seconds of it) of each hour that [start, end) touches."""
    at = start
    while at < end:
        hour = at // HOUR_S * HOUR_S
        until = min(hour + HOUR_S, end)
        yield hour, until - at
        at = until


def _cell(at: float) -> int:
    return int(at // HOUR_S + _EPOCH_HOUR) % _HOURS
