"""Reading rows one after the other, in an order in which a reader can go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import duckdb

from windvane.ports.event_log import LogSpan, LogTooSlow, RowKind, RowPlace

_AT_ONCE = 1_000
# What of a row names it, beside its time.
_NAMED = {
    "predictions": ("prediction_id", '"row"'),
    "scored": ("prediction_id", '"row"'),
    "refusals": ("prediction_id", "0"),
    "outcomes": ("event_id", '"row"'),
}
# An outcome names a prediction by our id, or by the client's where that stands for one only.
_SCORED = """
WITH found AS (
    SELECT * FROM read_parquet($predictions, union_by_name=true)
    WHERE ts >= make_timestamptz($start) AND ts < make_timestamptz($end)
    AND ($tenant = '' OR tenant = $tenant)
),
names AS (
    SELECT DISTINCT tenant, prediction_id AS named, prediction_id FROM found
    UNION
    SELECT tenant, request_id, any_value(prediction_id) FROM found WHERE request_id <> ''
    GROUP BY tenant, request_id HAVING count(DISTINCT prediction_id) = 1
),
truth AS (
    SELECT names.tenant, names.prediction_id, o.row,
        last(o.value ORDER BY o.ts, o.position, o.spool) AS outcome,
        epoch(max(o.ts)) AS outcome_ts
    FROM read_parquet($outcomes, union_by_name=true) o
    JOIN names ON o.tenant = names.tenant AND o.prediction_id = names.named
    GROUP BY names.tenant, names.prediction_id, o.row
)
SELECT found.*, truth.outcome, truth.outcome_ts
FROM found JOIN truth USING (tenant, prediction_id, row)
"""
_PLAIN = """
SELECT * FROM read_parquet($files, union_by_name=true)
WHERE ts >= make_timestamptz($start) AND ts < make_timestamptz($end)
AND ($tenant = '' OR tenant = $tenant)
"""


def read_rows(
    connection: duckdb.DuckDBPyConnection,
    kind: RowKind,
    files: Mapping[str, Sequence[str]],
    start: float,
    end: float,
    tenant: str,
    after: RowPlace | None,
    limit: int,
    within_s: float,
    shaped: Callable[[dict[str, Any]], dict[str, Any]],
) -> Iterator[tuple[RowPlace, dict[str, Any]]]:
    """``files`` of the tables that the kind needs, by their names."""
    name, row = _NAMED[kind]
    given: dict[str, Any] = {
        "start": round(start * 1e6), "end": round(end * 1e6), "tenant": tenant, "limit": limit,
    }  # fmt: skip
    if kind == "scored":
        given |= {"predictions": files["predictions"], "outcomes": files["outcomes"]}
    else:
        given["files"] = files[kind]
    beyond = ""
    if after is not None:
        beyond = f"WHERE (epoch_us(ts), {name}, {row}) > ($after_ts, $after_id, $after_row)"
        given |= {"after_ts": after.ts_us, "after_id": after.id, "after_row": after.row}
    hidden = "spool, position, day"
    if kind in ("predictions", "scored"):
        hidden += ", contract"
    query = (
        f"SELECT * EXCLUDE ({hidden}) REPLACE (epoch(ts) AS ts), "
        f"epoch_us(ts) AS place_ts, {name} AS place_id, {row} AS place_row "
        f"FROM ({_SCORED if kind == 'scored' else _PLAIN}) {beyond} "
        "ORDER BY place_ts, place_id, place_row LIMIT $limit"
    )
    late = threading.Timer(within_s, connection.interrupt)
    late.start()
    try:
        cursor = connection.execute(query, given)
        names = [column[0] for column in cursor.description or []]
        found = cursor.fetchmany(_AT_ONCE)
    except duckdb.InterruptException as error:
        raise LogTooSlow(f"the log gave no row within {within_s:g} s") from error
    finally:
        late.cancel()
    while found:
        for values in found:
            held = dict(zip(names, values, strict=True))
            place = RowPlace(held.pop("place_ts"), held.pop("place_id"), held.pop("place_row"))
            yield place, shaped(held)
        found = cursor.fetchmany(_AT_ONCE)


def read_span(
    connection: duckdb.DuckDBPyConnection, files: Mapping[str, Sequence[str]], tenant: str
) -> LogSpan:
    counted: dict[str, tuple[Any, ...]] = {}
    for name in ("predictions", "outcomes"):
        found = None
        if files[name]:
            found = connection.execute(
                "SELECT count(*), epoch(min(ts)), epoch(max(ts)) FROM read_parquet(?, "
                "union_by_name=true) WHERE ? = '' OR tenant = ?",
                [files[name], tenant, tenant],
            ).fetchone()
        counted[name] = found or (0, None, None)
    predictions, first, last = counted["predictions"]
    return LogSpan(predictions, counted["outcomes"][0], first, last)
