"""Rows from the newest back, a day at a time, so that a page of a long log costs one day of it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

import duckdb

from windvane.adapters.delta.questions import shaped_prediction
from windvane.adapters.delta.table_folder import (
    Pruning,
    TableFolder,
    as_dicts,
    connect,
    files_of,
    in_span,
    of_model,
    quoted,
    reading,
    utc,
)
from windvane.adapters.delta.tables import bucket_of
from windvane.core.task import Contract
from windvane.ports.event_log import LogKind, LogTooSlow, NewestRows, RowFilter, RowPlace

_DAY_S = 86_400.0
# What of a row names it, beside its time; and what is left out of it.
_NAMED: Mapping[LogKind, tuple[str, str]] = {
    "predictions": ("prediction_id", '"row"'),
    "refusals": ("prediction_id", "0"),
    "outcomes": ("event_id", '"row"'),
}
_HIDDEN = "spool, position, day, bucket, model"
# The terms that a kind of row has; of any other filter it has no row.
_TERMS: Mapping[LogKind, Mapping[str, str]] = {
    "predictions": {
        "tenant": "tenant = $tenant",
        "request": "(prediction_id = $request OR request_id = $request)",
        "version": "(routed = $version OR answered = $version)",
    },
    "refusals": {
        "tenant": "tenant = $tenant",
        "request": "(prediction_id = $request OR request_id = $request)",
        "code": "code = $code",
    },
    "outcomes": {"tenant": "tenant = $tenant", "request": "prediction_id = $request"},
}
# A client's own id stands for a prediction where it stands for one only.
_TRUTH = """
WITH page AS (SELECT unnest($tenants) AS tenant, unnest($ids) AS prediction_id,
    unnest($requests) AS request_id),
own AS (
    SELECT p.tenant, p.request_id, any_value(p.prediction_id) AS prediction_id
    FROM predictions p JOIN (SELECT DISTINCT tenant, request_id FROM page) asked
    ON p.tenant = asked.tenant AND p.request_id = asked.request_id
    WHERE p.model = $model AND p.request_id <> ''
    GROUP BY p.tenant, p.request_id HAVING count(DISTINCT p.prediction_id) = 1
),
names AS (
    SELECT DISTINCT tenant, prediction_id AS named, prediction_id FROM page
    UNION SELECT tenant, request_id, prediction_id FROM own
)
SELECT names.tenant, names.prediction_id, o.row,
    last(o.value ORDER BY o.ts, o.position, o.spool), epoch(max(o.ts))
FROM outcomes o JOIN names ON o.tenant = names.tenant AND o.prediction_id = names.named
WHERE o.model = $model
GROUP BY names.tenant, names.prediction_id, o.row
"""


def read_newest(
    tables: TableFolder,
    kind: LogKind,
    model: str,
    contract: Contract,
    start: float,
    end: float,
    where: RowFilter,
    before: RowPlace | None,
    limit: int,
    within_s: float,
) -> NewestRows:
    wanted = {
        name: value
        for name in ("tenant", "request", "version", "code")
        if (value := getattr(where, name))
    }
    if set(wanted) - set(_TERMS[kind]):
        return NewestRows([], start, more=False)
    ends = time.monotonic() + within_s
    found: list[tuple[RowPlace, dict[str, Any]]] = []
    searched_to = end
    with connect() as c:
        with reading(c, within_s):
            days = _days(tables, kind, model, start, end, before)
        for day in days:
            try:
                left_s = ends - time.monotonic()
                if left_s <= 0.0:
                    raise LogTooSlow(f"the log was not read within {within_s:g} s")
                with reading(c, left_s):
                    found += _of_day(
                        c, tables, kind, model, day, start, end, wanted, before, limit - len(found)
                    )
            except LogTooSlow as error:
                if searched_to == end:
                    raise LogTooSlow(f"the log gave no row within {within_s:g} s") from error
                return _told(c, tables, kind, model, contract, found, searched_to, True, within_s)
            searched_to = max(start, _midnight(day))
            if len(found) >= limit:
                searched_to = max(start, found[-1][0].ts_us / 1e6)
                return _told(c, tables, kind, model, contract, found, searched_to, True, within_s)
        return _told(c, tables, kind, model, contract, found, start, False, within_s)


def _told(
    c: duckdb.DuckDBPyConnection,
    tables: TableFolder,
    kind: LogKind,
    model: str,
    contract: Contract,
    found: list[tuple[RowPlace, dict[str, Any]]],
    searched_to: float,
    more: bool,
    within_s: float,
) -> NewestRows:
    if kind != "predictions":
        return NewestRows(found, searched_to, more)
    with reading(c, within_s):
        known = _outcomes_of(c, tables, model, [row for _, row in found])
    rows: list[tuple[RowPlace, dict[str, Any]]] = []
    for place, row in found:
        value, at = known.get((row["tenant"], row["prediction_id"], row["row"]), (None, None))
        shaped = shaped_prediction(row, contract)
        rows.append((place, {**shaped, "outcome": value, "outcome_ts": at}))
    return NewestRows(rows, searched_to, more)


def _days(
    tables: TableFolder, kind: LogKind, model: str, start: float, end: float,
    before: RowPlace | None,
) -> list[str]:  # fmt: skip
    """Those that may have rows, the newest first: known from the table's own list."""
    table = tables.open(kind)
    if table is None:
        return []
    last = min(end, before.ts_us / 1e6 + 1e-6) if before is not None else end
    first_day, last_day = str(utc(start).date()), str(utc(max(start, last)).date())
    files = files_of(table)
    days, buckets = files["partition.day"].to_pylist(), files["partition.bucket"].to_pylist()
    mine = bucket_of(model)
    held = {
        day
        for day, bucket in zip(days, buckets, strict=True)
        if bucket == mine and first_day <= day <= last_day
    }
    return sorted(held, reverse=True)


def _midnight(day: str) -> float:
    return dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC).timestamp()


def _of_day(
    c: duckdb.DuckDBPyConnection,
    tables: TableFolder,
    kind: LogKind,
    model: str,
    day: str,
    start: float,
    end: float,
    wanted: Mapping[str, str],
    before: RowPlace | None,
    limit: int,
) -> list[tuple[RowPlace, dict[str, Any]]]:
    first = max(start, _midnight(day))
    last = min(end, first + _DAY_S)
    pruning: Pruning = [*of_model(model), f"day = {quoted(day)}", *in_span(first, last)[2:]]
    if "tenant" in wanted:
        pruning.append(f"tenant = {quoted(wanted['tenant'])}")
    if not tables.show(c, kind, pruning):
        return []
    name, row = _NAMED[kind]
    given: dict[str, Any] = {
        "model": model, "start": round(start * 1e6), "end": round(end * 1e6), "limit": limit,
        "day": day, **wanted,
    }  # fmt: skip
    terms = [
        "model = $model", "day = $day", "ts >= make_timestamptz($start)",
        "ts < make_timestamptz($end)", *(_TERMS[kind][one] for one in wanted),
    ]  # fmt: skip
    if before is not None:
        terms.append(f"(epoch_us(ts), {name}, {row}) < ($before_ts, $before_id, $before_row)")
        given |= {"before_ts": before.ts_us, "before_id": before.id, "before_row": before.row}
    hidden = _HIDDEN + (", contract, explanation" if kind == "predictions" else "")
    query = (
        f"SELECT * EXCLUDE ({hidden}) REPLACE (epoch(ts) AS ts), "
        f"epoch_us(ts) AS place_ts, {name} AS place_id, {row} AS place_row "
        f"FROM {kind} WHERE {' AND '.join(terms)} "
        "ORDER BY place_ts DESC, place_id DESC, place_row DESC LIMIT $limit"
    )
    return [
        (RowPlace(held.pop("place_ts"), held.pop("place_id"), held.pop("place_row")), held)
        for held in as_dicts(c.execute(query, given))
    ]


def _outcomes_of(
    c: duckdb.DuckDBPyConnection, tables: TableFolder, model: str, rows: list[dict[str, Any]]
) -> dict[tuple[str, str, int], tuple[list[float], float]]:
    """The latest outcome of each row that has one."""
    if not rows:
        return {}
    # A machine's clock may be behind that of the one that predicted, but not by a day.
    earliest = min(row["ts"] for row in rows) - _DAY_S
    since: Pruning = [*of_model(model), f"day >= '{utc(max(0.0, earliest)).date()}'"]
    if not tables.show(c, "outcomes", since) or not tables.show(c, "predictions", since):
        return {}
    given = {
        "model": model,
        "tenants": [row["tenant"] for row in rows],
        "ids": [row["prediction_id"] for row in rows],
        "requests": [row["request_id"] or "" for row in rows],
    }
    held = c.execute(_TRUTH, given).fetchall()
    return {(tenant, named, row): (value, at) for tenant, named, row, value, at in held}
