"""How large the log becomes at the rate of the last days, and when its disk would be full."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DAY_S = 86_400.0
RATE_DAYS = 7
"""The latest whole days that the rate is the mean of."""


@dataclass(frozen=True, slots=True)
class LogSize:
    """What the log's files hold of a table, a day (since the epoch, UTC) and a model; ``model``
    is "" where nobody asked of which."""

    table: str
    day: int
    model: str
    rows: int
    bytes: int


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
    """``measured_days``: how many days the rate is of; under 1 on the first day, 0 where nothing
    is known yet. ``free_bytes``: None where the log has no disk of its own. ``full_in_days``: at
    that rate and retention; None where it never is, or nobody knows. ``code`` is "" where nothing
    is wrong with it."""

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
    """``now``: business time in seconds; ``kept_days`` of each table. Whole days are removed, when
    all of a day is too old; what is removed stays on the disk for a day more, which is not counted.
    """
    today = int(now // DAY_S)
    days, first = _measured(sizes, now, today)
    recent = [one for one in sizes if first <= one.day < first + max(1, int(days))]
    tables = [
        _growth(table, "", [s for s in sizes if s.table == table],
                [s for s in recent if s.table == table], days, kept)
        for table, kept in kept_days.items()
    ]  # fmt: skip
    named = sorted({(s.table, s.model) for s in recent if s.model})
    models = [
        _growth(table, model, [s for s in sizes if (s.table, s.model) == (table, model)],
                [s for s in recent if (s.table, s.model) == (table, model)], days,
                kept_days[table])
        for table, model in named if table in kept_days
    ]  # fmt: skip
    held = sum(one.held_bytes for one in tables)
    rate = sum(one.bytes_a_day for one in tables)
    level = sum(one.level_bytes for one in tables)
    level_in = max((one.kept_days + 1 for one in tables if one.bytes_a_day), default=0.0)
    full = None if free_bytes is None else _full_in(sizes, tables, today, held + free_bytes)
    code, why = "", f"the log holds {_size(held)}; {_size(rate)} a day level off at {_size(level)}"
    if full is not None:
        why = f"the disk is full in {full} days: the log holds {_size(held)}, {_size(rate)} are "
        why += f"added a day, {_size(free_bytes or 0)} are free"
        code = "HLT-405" if full < warn_days else ""
    return LogForecast(
        tables, models, days, held, rate, level, level_in, free_bytes, full, code, why
    )


def _measured(sizes: Sequence[LogSize], now: float, today: int) -> tuple[float, int]:
    """How many days are measured, and the first one."""
    days = [one.day for one in sizes if one.day <= today]
    first = max(min(days, default=today), today - RATE_DAYS)
    if first < today:
        return float(today - first), first
    return (now / DAY_S - today if days else 0.0), today


def _growth(
    table: str, model: str, all_of: Sequence[LogSize], recent: Sequence[LogSize], days: float,
    kept_days: float,
) -> TableGrowth:  # fmt: skip
    rate = sum(one.bytes for one in recent) / days if days else 0.0
    rows = sum(one.rows for one in recent) / days if days else 0.0
    held = sum(one.bytes for one in all_of)
    # On average half of the oldest day is older than it need be, and half of today is there.
    return TableGrowth(table, model, kept_days, held, rate, rows, rate * (kept_days + 1.0))


def _full_in(
    sizes: Sequence[LogSize], tables: Sequence[TableGrowth], today: int, room: int
) -> int | None:
    """The first day from now on which more is held than there is room for; None for never."""
    last = max((one.kept_days for one in tables), default=0.0)
    for ahead in range(1, math.ceil(last) + 2):
        held = 0.0
        for one in tables:
            held += one.bytes_a_day * min(ahead, one.kept_days + 1.0)
            oldest = today + ahead - one.kept_days - 1.0
            held += sum(s.bytes for s in sizes if s.table == one.table and s.day >= oldest)
        if held > room:
            return ahead
    return None


def _size(size: float) -> str:
    for unit, of in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= of:
            return f"{size / of:,.1f} {unit}"
    return f"{size / 1e3:,.1f} kB"
