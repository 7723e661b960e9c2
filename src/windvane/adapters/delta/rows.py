"""Reading rows one after the other, in an order in which a reader can go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb

from windvane.adapters.delta.questions import shaped_prediction
from windvane.adapters.delta.table_folder import (
    TableFolder,
    connect,
    in_span,
    of_model,
    quoted,
    reading,
    utc,
)
from windvane.core.task import Contract
from windvane.ports.event_log import LogSpan, RowKind, RowPlace

_AT_ONCE = 1_000
_DAY_S = 86_400.0
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
    SELECT * FROM predictions
    WHERE model = $model AND ts >= make_timestamptz($start) AND ts < make_timestamptz($end)
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
    FROM outcomes o JOIN names ON o.tenant = names.tenant AND o.prediction_id = names.named
    WHERE o.model = $model
    GROUP BY names.tenant, names.prediction_id, o.row
)
SELECT found.*, truth.outcome, truth.outcome_ts
FROM found JOIN truth USING (tenant, prediction_id, row)
"""
_PLAIN = """
SELECT * FROM {table}
WHERE model = $model AND ts >= make_timestamptz($start) AND ts < make_timestamptz($end)
AND ($tenant = '' OR tenant = $tenant)
"""


def read_rows(
    tables: TableFolder,
    kind: RowKind,
    model: str,
    contract: Contract,
    start: float,
    end: float,
    tenant: str,
    after: RowPlace | None,
    limit: int,
    within_s: float,
) -> Iterator[tuple[RowPlace, dict[str, Any]]]:
    scored = kind == "scored"
    table = "predictions" if scored else kind
    mine = of_model(model) + ([f"tenant = {quoted(tenant)}"] if tenant else [])
    if not tables.any_file(table, mine + in_span(start, end)):
        return
    with connect() as c:
        if not tables.show(c, table, mine + in_span(start, end)):
            return
        # Outcomes come later than the span; a machine's clock may be behind, but not by a day.
        since = [f"day >= '{utc(max(0.0, start - _DAY_S)).date()}'"]
        if scored and not tables.show(c, "outcomes", mine + since):
            return
        name, row = _NAMED[kind]
        given: dict[str, Any] = {
            "model": model, "start": round(start * 1e6), "end": round(end * 1e6),
            "tenant": tenant, "limit": limit,
        }  # fmt: skip
        beyond = ""
        if after is not None:
            beyond = f"WHERE (epoch_us(ts), {name}, {row}) > ($after_ts, $after_id, $after_row)"
            given |= {"after_ts": after.ts_us, "after_id": after.id, "after_row": after.row}
        hidden = "spool, position, day, bucket, model"
        hidden += ", contract" if table == "predictions" else ""
        query = (
            f"SELECT * EXCLUDE ({hidden}) REPLACE (epoch(ts) AS ts), "
            f"epoch_us(ts) AS place_ts, {name} AS place_id, {row} AS place_row "
            f"FROM ({_SCORED if scored else _PLAIN.format(table=table)}) {beyond} "
            "ORDER BY place_ts, place_id, place_row LIMIT $limit"
        )
        for held in _within(c, query, given, within_s):
            place = RowPlace(held.pop("place_ts"), held.pop("place_id"), held.pop("place_row"))
            yield place, shaped_prediction(held, contract) if table == "predictions" else held


def _within(
    connection: duckdb.DuckDBPyConnection, query: str, given: dict[str, Any], within_s: float
) -> Iterator[dict[str, Any]]:
    with reading(connection, within_s):
        cursor = connection.execute(query, given)
        names = [column[0] for column in cursor.description or []]
        found = cursor.fetchmany(_AT_ONCE)
    while found:
        for values in found:
            yield dict(zip(names, values, strict=True))
        found = cursor.fetchmany(_AT_ONCE)


def read_span(tables: TableFolder, model: str, tenant: str) -> LogSpan:
    counted: dict[str, tuple[Any, ...]] = {}
    mine = of_model(model) + ([f"tenant = {quoted(tenant)}"] if tenant else [])
    with connect() as c:
        for name in ("predictions", "outcomes"):
            counted[name] = (0, None, None)
            if tables.show(c, name, mine):
                ((counted[name]),) = c.execute(
                    f"SELECT count(*), epoch(min(ts)), epoch(max(ts)) FROM {name} "
                    "WHERE model = ? AND (? = '' OR tenant = ?)",
                    [model, tenant, tenant],
                ).fetchall()
    predictions, first, last = counted["predictions"]
    return LogSpan(predictions, counted["outcomes"][0], first, last)
