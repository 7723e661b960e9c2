"""How large the log becomes at the rate of the last days, and when its disk would be full."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DAY_S = 86_400.0
_RATE_DAYS = 7
"""The latest whole days that the longer of the two rates is the mean of."""
_HOUR_S = 3_600.0
_NO_TRAFFIC = 0.01


@dataclass(frozen=True, slots=True)
class LogSize:
    """What the log's files hold of a table, a day (since the epoch, UTC) and a model; ``model``
    is "" where nobody asked of which. ``first`` (s) is no later than its first row; None where
    the files do not say."""

    table: str
    day: int
    model: str
    rows: int
    bytes: int
    first: float | None = None

    @property
    def since(self) -> float:
        return self.day * DAY_S if self.first is None else max(self.first, self.day * DAY_S)


@dataclass(frozen=True, slots=True)
class TableGrowth:
    """One table, or one model's part of it: bytes held now, bytes and rows that a day adds, and
    the bytes where it levels off, once as much is removed as is added."""

    table: str
    model: str
    kept_days: float
    held_bytes: int
    bytes_a_day: float
    rows_a_day: float
    level_bytes: float


@dataclass(frozen=True, slots=True)
class LogForecast:
    """``measured_days``: how many days the rates may be of, those with traffic; under 1 on the
    first day, 0 where nothing is known yet. ``free_bytes``: None where the log has no disk of its
    own. ``full_in_days``: at that rate and retention; None where it never is, or nobody knows.
    ``code`` is "" where nothing is wrong with it."""

    tables: Sequence[TableGrowth]
    models: Sequence[TableGrowth]
    measured_days: float
    held_bytes: int
    bytes_a_day: float
    level_bytes: float
    level_in_days: float
    free_bytes: int | None
    full_in_days: int | None
    code: str
    why: str


def forecast(
    sizes: Sequence[LogSize],
    now: float,
    kept_days: Mapping[str, float],
    free_bytes: int | None,
    warn_days: float,
) -> LogForecast:
    """``now``: business time in seconds; ``kept_days`` of each table. A rate is the larger of the
    last day's and of the last ``_RATE_DAYS`` whole days': traffic that grew is not to be averaged
    away. Whole days are removed, when all of a day is too old. What is removed stays on the disk
    for a day more, and so do small files that were rewritten: of both there is to be room.
    """
    span = _Measured.of(sizes, now)
    tables = [
        _growth(table, "", [s for s in sizes if s.table == table], span, kept)
        for table, kept in kept_days.items()
    ]
    named = sorted({(s.table, s.model) for s in sizes if s.model})
    models = [
        _growth(table, model, [s for s in sizes if (s.table, s.model) == (table, model)], span,
                kept_days[table])
        for table, model in named if table in kept_days
    ]  # fmt: skip
    held = sum(one.held_bytes for one in tables)
    rate = sum(one.bytes_a_day for one in tables)
    level = sum(one.level_bytes for one in tables)
    level_in = max((one.kept_days + 1 for one in tables if one.bytes_a_day), default=0.0)
    full = None if free_bytes is None else _full_in(sizes, tables, span, held + free_bytes)
    code, why = "", f"the log holds {_size(held)}; {_size(rate)} a day level off at {_size(level)}"
    if full is not None:
        why = f"the disk is full in {full} days: the log holds {_size(held)}, {_size(rate)} are "
        why += f"added a day, {_size(free_bytes or 0)} are free"
        code = "HLT-405" if full < warn_days else ""
    return LogForecast(
        tables, models, span.days, held, rate, level, level_in, free_bytes, full, code, why
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    """From the first row of the traffic that there is now, a week ago at the earliest, until
    ``now``."""

    first: float
    now: float

    @classmethod
    def of(cls, sizes: Sequence[LogSize], now: float) -> _Measured:
        """A day that holds next to nothing, such as a few imported rows, is not what traffic
        began with."""
        today = int(now // DAY_S)
        held: dict[int, int] = {}
        for one in sizes:
            if today - _RATE_DAYS <= one.day <= today:
                held[one.day] = held.get(one.day, 0) + one.bytes
        least = _NO_TRAFFIC * max(held.values(), default=0)
        begun = next((day for day in sorted(held) if held[day] >= least), today)
        since = [one.since for one in sizes if one.day == begun]
        return cls(min(min(since, default=now), now), now)

    @property
    def today(self) -> int:
        return int(self.now // DAY_S)

    @property
    def days(self) -> float:
        whole = self.today - self.first / DAY_S
        return whole if whole >= 1.0 else (self.now - self.first) / DAY_S

    def rate(self, by_day: Mapping[int, int]) -> float:
        """A day."""
        began = self.today * DAY_S
        day_s = min(DAY_S, max(_HOUR_S, self.now - self.first))
        known_s = max(0.0, began - max(self.first, began - DAY_S))
        before_s = min(known_s, max(0.0, DAY_S - (self.now - began)))
        latest = float(by_day.get(self.today, 0))
        if known_s:
            latest += by_day.get(self.today - 1, 0) * before_s / known_s
        week_s = began - max(self.first, began - _RATE_DAYS * DAY_S)
        if week_s < DAY_S:
            return latest * DAY_S / day_s
        week = sum(by_day.get(self.today - ago, 0) for ago in range(1, _RATE_DAYS + 1))
        return max(latest * DAY_S / day_s, week * DAY_S / week_s)


def _growth(
    table: str, model: str, sizes: Sequence[LogSize], span: _Measured, kept_days: float
) -> TableGrowth:
    held, rows = Counter[int](), Counter[int]()
    for one in sizes:
        held[one.day] += one.bytes
        rows[one.day] += one.rows
    rate = span.rate(held)
    # On average half of the oldest day is older than it need be, and half of today is there.
    return TableGrowth(
        table, model, kept_days, held.total(), rate, span.rate(rows), rate * (kept_days + 1.0)
    )


def _full_in(
    sizes: Sequence[LogSize], tables: Sequence[TableGrowth], span: _Measured, room: int
) -> int | None:
    """The first day from now on which more is on the disk than there is room for; None for never.
    What waits on it to be removed now is no part of the room already."""
    today = span.today
    last = max((one.kept_days for one in tables), default=0.0)
    oldest = {
        one.table: min((s.day for s in sizes if s.table == one.table and s.bytes), default=today)
        for one in tables
    }
    rewritten_now = min(1.0, span.days)
    for ahead in range(1, math.ceil(last) + 4):
        held = 0.0
        for one in tables:
            held += one.bytes_a_day * min(ahead, one.kept_days + 1.0)
            first = today + ahead - one.kept_days - 1.0
            held += sum(s.bytes for s in sizes if s.table == one.table and s.day >= first)
            removed = first > oldest[one.table]
            removed_now = oldest[one.table] <= today - one.kept_days
            waiting = (1.0 - rewritten_now) + (removed and not removed_now)
            held += one.bytes_a_day * waiting
        if held > room:
            return ahead
    return None


def _size(size: float) -> str:
    for unit, of in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= of:
            return f"{size / of:,.1f} {unit}"
    return f"{size / 1e3:,.1f} kB"
