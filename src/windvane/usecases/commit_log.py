"""Rows that are counted and that the log does not have yet, and when it gets them.

A commit for each batch would be one a second for each table; so rows gather. They wait in memory
only as far as they also lie in the spool, which is released up to where the log is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from windvane.core.errors import WindvaneError
from windvane.core.sketch import SketchError
from windvane.ports.control_store import RowRejected
from windvane.ports.event_log import EventLog, LogEntry, LogRows
from windvane.usecases.event_contracts import EventModel

# What an event may raise that is bad itself; what a store, a log or a disk raises that is out, is
# none of these.
UNFIT: tuple[type[Exception], ...] = (
    RowRejected, msgspec.MsgspecError, ValueError, TypeError, LookupError, ArithmeticError,
    AttributeError, RecursionError, SketchError,
)  # fmt: skip
MOST_REFUSED = 10
"""One after the other; then it is not the events."""
_MOST_ROWS = 1_000_000
_MOST_PASSED = 1_000


@dataclass(frozen=True, slots=True)
class CommitPolicy:
    """Commits follow each other after ``every_s`` seconds, or as soon as ``max_bytes`` of rows, or
    ``max_spool_bytes`` of a spool, wait; and before a window closes that they belong to."""

    every_s: float = 60.0
    max_bytes: int = 64 << 20
    max_spool_bytes: int = 128 << 20


@dataclass(slots=True)
class _Spool:
    start: int
    end: int
    rows: list[LogRows] = field(default_factory=list[LogRows])
    closes_at: float = math.inf
    passed: int = 0


class PendingRows:
    """Of all spools of a machine; what waits is committed together."""

    def __init__(self, policy: CommitPolicy) -> None:
        self._policy = policy
        self._spools: dict[str, _Spool] = {}
        self._watermarks: dict[str, float] = {}  # what they would be if they waited for nothing
        self._bytes = self._rows = 0
        self._committed_at = -math.inf
        self._closing = False

    def __len__(self) -> int:
        """Spools that have something that waits."""
        return len(self._spools)

    def add(self, rows: LogRows, start: int, closes_at: float, passed: int = 0) -> None:
        """What lies from ``start`` to the end of ``rows``, and must be in the log before business
        time ``closes_at`` is over. ``passed``: how many spans of what waits are passed over."""
        held = self._spools.setdefault(rows.spool, _Spool(start, start))
        held.end = rows.end
        held.passed = passed
        held.closes_at = min(held.closes_at, closes_at)
        if rows.rows:
            held.rows.append(rows)
            self._bytes += rows.bytes
            self._rows += rows.rows

    def hold_watermark(self, spool: str, held: float, wanted: float, closes_at: float) -> float:
        """``wanted``, or ``held`` where a window would close whose rows the log has not: then
        they are due."""
        self._watermarks[spool] = max(self._watermarks.get(spool, 0.0), wanted)
        if spool in self._spools:
            closes_at = min(closes_at, self._spools[spool].closes_at)
        if wanted < closes_at:
            return wanted
        self._closing = True
        return held

    def full(self) -> bool:
        return (
            self._bytes >= self._policy.max_bytes
            or self._rows >= _MOST_ROWS
            or any(
                s.end - s.start >= self._policy.max_spool_bytes or s.passed >= _MOST_PASSED
                for s in self._spools.values()
            )
        )

    def due(self, wall: float) -> bool:
        """Whether they are to be committed at ``wall`` (s): the first after a while is at once."""
        if not self._spools:
            return False
        age_s = wall - self._committed_at
        return self._closing or self.full() or not 0.0 <= age_s < self._policy.every_s

    def rows(self) -> Sequence[LogRows]:
        return [rows for held in self._spools.values() for rows in held.rows]

    def ends(self) -> Mapping[str, int]:
        """By spool, up to where they reach."""
        return {spool: held.end for spool, held in self._spools.items()}

    def watermarks(self) -> Mapping[str, float]:
        """By spool, what it may be once they are committed."""
        return {spool: self._watermarks.get(spool, 0.0) for spool in self._spools}

    def committed(self, wall: float) -> None:
        """Nothing waits any more."""
        self._spools.clear()
        self._watermarks.clear()
        self._bytes = self._rows = 0
        self._closing = False
        self._committed_at = wall


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """An event that the log refuses by itself."""

    spool: str
    position: int
    error: Exception


def prepare_each(
    prepare: Callable[[int, Sequence[LogEntry]], LogRows],
    spool: str,
    end: int,
    entries: Sequence[LogEntry],
) -> tuple[list[LogRows], list[RefusedRow]]:
    """Rows in order up to ``end``, without what the log refuses by itself. ``prepare`` has the
    log make rows of entries below a position."""
    try:
        return [prepare(end, entries)], []
    except UNFIT as error:
        if len(entries) <= 1:
            return [prepare(end, [])], [RefusedRow(spool, one.position, error) for one in entries]
    middle = len(entries) // 2
    first = prepare_each(prepare, spool, entries[middle].position, entries[:middle])
    second = prepare_each(prepare, spool, end, entries[middle:])
    return [*first[0], *second[0]], [*first[1], *second[1]]


def commit_rows(
    log: EventLog, rows: Sequence[LogRows], ends: Mapping[str, int]
) -> list[RefusedRow]:
    """Commit them together; where the log refuses that, each half of them by itself, in order.
    Raises what the log raises where it is out, or refuses one after the other."""
    try:
        log.commit(rows, ends)
    except UNFIT:
        return _Halving(log).commit_each(rows)
    return []


@dataclass
class _Halving:
    log: EventLog
    in_a_row: int = 0

    def commit_each(self, rows: Sequence[LogRows]) -> list[RefusedRow]:
        return [refused for one in rows for refused in self._commit(one)]

    def _commit(self, rows: LogRows) -> list[RefusedRow]:
        try:
            self.log.commit([rows], {rows.spool: rows.end})
        except UNFIT as error:
            positions = rows.positions()
            if len(positions) > 1:
                return self.commit_each(rows.halves())
            self.in_a_row += 1
            if not positions or self.in_a_row > MOST_REFUSED:
                raise
            return [RefusedRow(rows.spool, positions[0], error)]
        self.in_a_row = 0
        return []


def closes_at(
    models: Mapping[str, EventModel],
    times: Mapping[str, Sequence[float]],
    judged: Mapping[str, float],
) -> float:
    """When the first window closes that has events of these times by model; infinity for none. A
    window that is judged, by model, waits for nobody; one that is over may wait for others."""
    first = math.inf
    for model, found in times.items():
        held = models[model]
        starts = np.unique(np.array(found) // held.window_s) * held.window_s
        open_ones = starts[starts >= judged.get(model, 0.0)]
        closes = open_ones + held.window_s + held.grace_s
        first = min(first, float(np.min(closes, initial=math.inf)))
    return first


def by_code(
    bad: Sequence[tuple[int, WindvaneError]], longest: int
) -> dict[str, list[tuple[int, str]]]:
    """Positions and messages; a line of the log for each event would be a flood."""
    out: dict[str, list[tuple[int, str]]] = {}
    for position, fault in bad:
        out.setdefault(fault.code, []).append((position, fault.message[:longest]))
    return out
