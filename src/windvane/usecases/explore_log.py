"""A page of a model's log for a person: from the newest row back, as much of it as they may see.

Who is shown values of requests goes on record, in the audit of the tenants whose requests they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windvane.core.authorization import redact_row
from windvane.core.task import make_task
from windvane.ports.clock import Clock
from windvane.ports.control_store import Access, ControlStore
from windvane.ports.event_log import EventLog, LogKind, RowFilter, RowPlace
from windvane.usecases.read_history import parse_row_place, write_row_place
from windvane.usecases.read_model_file import ModelFile

VIEWED = "viewed"
"""The audit's word for a look at values."""
MOST_ROWS = 500
_HOUR_S = 3_600.0
_OUTCOMES = ("outcome", "value")


@dataclass(frozen=True, slots=True)
class LogQuestion:
    """Rows of ``kind`` in [since, until) (s) that fit ``where``; ``before`` is "" for the newest,
    else the ``next`` of the page before."""

    kind: LogKind
    since: float
    until: float
    where: RowFilter
    before: str = ""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class LogPage:
    """Rows as they may be shown, newest first; ``next`` continues with older ones, "" where there
    are none. All from ``searched_to`` (s) on was looked at. ``values``: with those of requests."""

    rows: Sequence[Mapping[str, Any]]
    next: str
    searched_to: float
    values: bool


def explore_log(
    store: ControlStore,
    log: EventLog,
    clock: Clock,
    file: ModelFile,
    asked: LogQuestion,
    *,
    actor: str,
    values: bool,
    within_s: float,
) -> LogPage:
    """``values``: whether ``actor`` may see those of requests. A look that cannot be recorded is
    refused. Raises BadPlace, LogTooSlow, LogUnavailable, StoreUnavailable."""
    limit = min(asked.limit, MOST_ROWS)
    found = log.newest(
        asked.kind, file.model, file.contract, asked.since, asked.until, asked.where,
        before=parse_row_place(asked.before), limit=limit, within_s=within_s,
    )  # fmt: skip
    rows = [
        _told(file, redact_row(row, file.pii, file.unit, values=values)) for _, row in found.rows
    ]
    if values and rows:
        record_viewed(store, clock, file.model, actor, rows)
    following = ""
    if found.more:
        # Of a page that is not full whole days were searched without finding more.
        full = len(found.rows) >= limit
        oldest = RowPlace(round(found.searched_to * 1e6), "", -1)
        following = write_row_place(found.rows[-1][0] if full else oldest)
    return LogPage(rows, following, found.searched_to, values)


def _told(file: ModelFile, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """With outcomes as people write them."""
    task = make_task(file.contract.task)
    told = {name: task.told_label(row[name]) for name in _OUTCOMES if row.get(name) is not None}
    return {**row, **told}


def record_viewed(
    store: ControlStore, clock: Clock, model: str, actor: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    """One line a tenant and hour: a page that follows the log adds to it."""
    now = clock.now()
    tenants = Counter(str(row.get("tenant", "")) for row in rows)
    seen = [
        Access(tenant, actor, model, VIEWED, now // _HOUR_S * _HOUR_S, shown, now, now)
        for tenant, shown in sorted(tenants.items())
    ]
    with store.begin([]) as tx:
        tx.add_access(seen)
