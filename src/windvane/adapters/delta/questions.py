"""The questions that Windvane asks its log, in DuckDB's SQL."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.adapters.delta.damage import passing_over_damaged
from windvane.adapters.delta.table_folder import (
    Pruning,
    TableFolder,
    as_dicts,
    before,
    connect,
    files_of,
    in_span,
    of_model,
    quoted,
    reading,
    utc,
)
from windvane.adapters.delta.tables import FEATURE_MAPS, OUTPUT_NUMBERS, TABLES, output_map
from windvane.core.signature import OutputSpec, kind_of
from windvane.core.task import Contract, Task, make_task
from windvane.ports.event_log import WRONG_OUTCOMES, LabelDelays, OutcomeCounts, ScoredRows
from windvane.ports.events import dedupe_key

_FEATURES = "features."
_DAY_S = 86_400.0
_KEY_DAYS = 31
_FAR_S = 32_503_680_000.0  # the year 3000
# An outcome names a prediction by our id, or by the client's where that stands for one only of all
# that are in the log: whether it does must not depend on which span is asked about.
_NAMED = """
WITH found AS (
    SELECT * FROM predictions
    WHERE model = $model AND day BETWEEN $first_day AND $last_day AND ts >= $start AND ts < $end
    AND {present}
),
sent AS (SELECT DISTINCT tenant, prediction_id AS named FROM outcomes WHERE model = $model),
asked AS (
    SELECT DISTINCT f.tenant, f.request_id AS named
    FROM found f JOIN sent s ON f.tenant = s.tenant AND f.request_id = s.named
    WHERE f.request_id <> ''
),
meant AS (
    SELECT a.tenant, a.named, p.prediction_id
    FROM predictions p JOIN asked a ON p.tenant = a.tenant AND p.request_id = a.named
    WHERE p.model = $model
    UNION
    SELECT a.tenant, a.named, p.prediction_id
    FROM predictions p JOIN asked a ON p.tenant = a.tenant AND p.prediction_id = a.named
    WHERE p.model = $model
),
names AS (
    SELECT DISTINCT f.tenant, f.prediction_id AS named, f.prediction_id
    FROM found f JOIN sent s ON f.tenant = s.tenant AND f.prediction_id = s.named
    UNION
    SELECT tenant, named, any_value(prediction_id) FROM meant
    GROUP BY tenant, named HAVING count(*) = 1
)
"""
_JOINED = (
    _NAMED
    + """,
truth AS (
    SELECT names.tenant, names.prediction_id, o.row, min(o.ts) AS first_ts,
        last(o.value ORDER BY o.ts, o.position, o.spool) AS value
    FROM outcomes o JOIN names ON o.tenant = names.tenant AND o.prediction_id = names.named
    WHERE o.model = $model
    GROUP BY names.tenant, names.prediction_id, o.row
)
SELECT p.routed, p.answered, p.arm, p.rollout, epoch(p.ts) AS ts_,
    CASE WHEN p.unit = '' THEN 0 ELSE hash(p.tenant, p.unit) END AS unit_,
    p.tenant AS tenant_, truth.value AS label_, {values}
FROM found p JOIN truth USING (tenant, prediction_id, row)
WHERE epoch(truth.first_ts) - epoch(p.ts) <= $within AND could_be_label(truth.value)
    AND truth.first_ts >= $labelled_from AND truth.first_ts < $labelled_until
{newest}
"""
)
_DELAYS = (
    _NAMED
    + """,
came AS (
    SELECT names.tenant, names.prediction_id, o.row, min(epoch(o.ts)) AS first_ts
    FROM outcomes o JOIN names ON o.tenant = names.tenant AND o.prediction_id = names.named
    WHERE o.model = $model AND o.ts < $seen
    GROUP BY names.tenant, names.prediction_id, o.row
)
SELECT p.tenant, CAST(floor((epoch(p.ts) - $first) / $cohort_s) AS INTEGER) AS cohort,
    CASE WHEN came.first_ts IS NULL THEN -1
        ELSE len(list_filter($edges, lambda edge: edge < came.first_ts - epoch(p.ts))) END AS bin,
    count(*)
FROM found p LEFT JOIN came USING (tenant, prediction_id, row)
GROUP BY ALL ORDER BY ALL
"""
)
_NEWEST = "ORDER BY p.ts DESC, p.prediction_id, p.row LIMIT $limit"
# Of a client's id that stands for several predictions nobody can say which was meant.
_STATES = """
WITH sent AS (
    SELECT tenant, prediction_id AS named, row, min(ts) AS first_ts, count(DISTINCT value) AS told,
        last(value ORDER BY ts, position, spool) AS value
    FROM outcomes WHERE model = $model AND ts < $end
    GROUP BY tenant, prediction_id, row HAVING max(ts) >= $start
),
wanted AS (SELECT DISTINCT tenant, named FROM sent),
made AS (
    SELECT p.tenant, w.named, p.prediction_id, p.row, p.ts
    FROM {predictions} p JOIN wanted w ON p.tenant = w.tenant AND p.prediction_id = w.named
    WHERE p.model = $model
    UNION
    SELECT p.tenant, w.named, p.prediction_id, p.row, p.ts
    FROM {predictions} p JOIN wanted w ON p.tenant = w.tenant AND p.request_id = w.named
    WHERE p.model = $model
),
known AS (
    SELECT tenant, named, count(DISTINCT prediction_id) AS predictions,
        bool_or(prediction_id = named) AS ours
    FROM made GROUP BY tenant, named
),
rows_made AS (
    SELECT m.tenant, m.named, m.row, min(m.ts) AS ts FROM made m JOIN known USING (tenant, named)
    WHERE m.prediction_id = m.named OR NOT known.ours
    GROUP BY ALL
)
SELECT tenant,
    CASE WHEN known.predictions > 1 AND NOT known.ours THEN 'ambiguous'
        WHEN rows_made.ts IS NULL THEN 'unknown'
        WHEN epoch(first_ts) - epoch(rows_made.ts) > $within THEN 'late'
        ELSE 'joined' END AS state,
    value, told > 1 AS revised, count(*) AS labels
FROM sent LEFT JOIN known USING (tenant, named) LEFT JOIN rows_made USING (tenant, named, row)
GROUP BY ALL ORDER BY ALL
"""
_REFUSED = f"""
SELECT tenant, count(*) FROM refusals
WHERE model = $model AND ts >= $start AND ts < $end AND code IN {WRONG_OUTCOMES}
GROUP BY tenant
"""
_NO_PREDICTIONS = (
    "(SELECT '' AS model, '' AS tenant, '' AS prediction_id, '' AS request_id, 0 AS row, "
    "TIMESTAMPTZ '1970-01-01' AS ts WHERE false)"
)

_NO_OUTCOMES = (
    "CREATE VIEW outcomes AS SELECT '' AS model, '' AS tenant, '' AS prediction_id, 0 AS row, "
    "TIMESTAMPTZ '1970-01-01' AS ts WHERE false"
)


def read_recent_keys(tables: TableFolder, positions: Mapping[str, int], limit: int) -> list[str]:
    first = _day_of_latest(tables, limit)
    if not first:
        return []
    recent: dict[str, Pruning] = {name: [f"day >= {quoted(first)}"] for name in TABLES}
    return passing_over_damaged(
        tables, recent, lambda damaged: _keys_since(tables, recent, positions, limit, damaged)
    )


def _keys_since(
    tables: TableFolder,
    recent: Mapping[str, Pruning],
    positions: Mapping[str, int],
    limit: int,
    damaged: Mapping[str, Collection[str]],
) -> list[str]:
    parts: list[str] = []
    with connect() as c:
        for name in TABLES:
            if tables.show(c, name, recent[name], damaged.get(name, ())):
                named = "event_id" if name == "outcomes" else "prediction_id"
                parts.append(
                    f"SELECT DISTINCT tenant, model, '{name[0].upper()}' AS kind, "
                    f"{named} AS named, spool, position, ts FROM {name}"
                )
        if not parts:
            return []
        c.execute("CREATE TABLE checkpoints (spool VARCHAR, reached BIGINT)")
        if positions:
            c.executemany("INSERT INTO checkpoints VALUES (?, ?)", list(positions.items()))
        rows = c.execute(
            f"SELECT tenant, model, kind, named FROM ({' UNION ALL '.join(parts)}) e "
            "JOIN checkpoints USING (spool) "
            "WHERE e.position < checkpoints.reached ORDER BY ts DESC LIMIT ?",
            [limit],
        ).fetchall()
    return [dedupe_key(*row) for row in rows]


def _day_of_latest(tables: TableFolder, rows: int) -> str:
    """The day from which on there are about so many rows, or the last month that has any; "" for
    an empty log. Known from the tables' own lists, without a look into a file."""
    held: Counter[str] = Counter()
    for _, table in tables.open_all():
        actions = files_of(table)
        days, counts = actions["partition.day"].to_pylist(), actions["num_records"].to_pylist()
        for day, count in zip(days, counts, strict=True):
            held[day] += count or 0
    first = ""
    for day in sorted(held, reverse=True)[:_KEY_DAYS]:
        first = day
        rows -= held[day]
        if rows <= 0:
            break
    return first


def count_rows(tables: TableFolder, model: str) -> dict[str, int]:
    out: dict[str, int] = {}
    with connect() as c:
        for name in TABLES:
            out[name] = 0
            if tables.show(c, name, of_model(model)):
                ((out[name],),) = c.execute(
                    f"SELECT count(*) FROM {name} WHERE model = ?", [model]
                ).fetchall()
    return out


def read_samples(
    tables: TableFolder,
    model: str,
    contract: Contract,
    start: float,
    end: float,
    where: Mapping[str, Any],
    limit: int,
) -> list[dict[str, Any]]:
    kinds = {spec.name: FEATURE_MAPS[kind_of(spec).column] for spec in contract.features}
    terms, values = "", list[Any]()
    for name, value in where.items():
        feature = name.removeprefix(_FEATURES)
        if name == feature:
            terms += f' AND "{name}" IS NOT DISTINCT FROM ?'
            values.append(value)
        else:
            held = kinds.get(feature, OUTPUT_NUMBERS)
            terms += f" AND {held}[CAST(? AS VARCHAR)] IS NOT DISTINCT FROM ?"
            values += [feature, value]
    pruning = of_model(model) + in_span(start, end)
    if not tables.any_file("predictions", pruning):
        return []
    with connect() as c:
        if not tables.show(c, "predictions", pruning):
            return []
        cursor = c.execute(
            "SELECT * EXCLUDE (spool, position, contract, day, bucket, model) "
            "REPLACE (epoch(ts) AS ts) FROM predictions "
            f"WHERE model = ? AND ts >= ? AND ts < ?{terms} "
            "ORDER BY ts, prediction_id, row LIMIT ?",
            [model, utc(start), utc(end), *values, limit],
        )
        return [shaped_prediction(row, contract) for row in as_dicts(cursor)]


def shaped_prediction(row: dict[str, Any], contract: Contract) -> dict[str, Any]:
    """Features and outputs apart from what is known about the row: one may be called as another."""
    features: dict[str, Any] = {}
    for column in FEATURE_MAPS.values():
        features |= row.pop(column) or {}
    outputs = {column: row.pop(column) or {} for column in ("outputs_number", "outputs_list")}
    specs = make_task(contract.task).outputs
    return {
        **row,
        "features": {s.name: features[s.name] for s in contract.features if s.name in features},
        "outputs": {
            spec.name: _shaped(outputs[output_map(spec)][spec.name], spec)
            for spec in specs
            if spec.name in outputs[output_map(spec)]
        },
    }


def _shaped(held: Any, spec: OutputSpec) -> Any:
    """Lists in lists as the task has them; the log has them flat."""
    if len(spec.shape) < 2 or held is None or len(held) != math.prod(spec.shape):
        return held
    return np.reshape(np.array(held, np.float64), spec.shape).tolist()


def read_refusals(
    tables: TableFolder, model: str, tenant: str, start: float, end: float, limit: int
) -> list[dict[str, Any]]:
    pruning = [*of_model(model), f"tenant = {quoted(tenant)}", *in_span(start, end)]
    with connect() as c:
        if not tables.show(c, "refusals", pruning):
            return []
        cursor = c.execute(
            "SELECT epoch(ts) AS ts, tenant, prediction_id, request_id, code, message, sample "
            "FROM refusals WHERE model = ? AND tenant = ? AND ts >= ? AND ts < ? "
            "ORDER BY ts, prediction_id LIMIT ?",
            [model, tenant, utc(start), utc(end), limit],
        )
        return as_dicts(cursor)


def read_scored(
    tables: TableFolder,
    model: str,
    contract: Contract,
    start: float,
    end: float,
    arrive_within_s: float | None,
    limit: int | None,
    within_s: float | None,
    labelled: tuple[float, float] | None,
    features: Sequence[str],
) -> list[ScoredRows]:
    task = make_task(contract.task)
    # A machine's clock may be behind that of the one that predicted, but not by a day.
    since: Pruning = [f"day >= '{utc(start - _DAY_S).date()}'"]
    values, present = list[str](), list[str]()
    given: dict[str, Any] = {
        "model": model,
        "start": utc(start),
        "end": utc(end),
        "first_day": str(utc(start).date()),
        "last_day": str(utc(max(start, end)).date()),
        "within": math.inf if arrive_within_s is None else arrive_within_s,
        "labelled_from": utc(labelled[0] if labelled else 0.0),
        "labelled_until": utc(labelled[1] if labelled else _FAR_S),
    }
    for i, spec in enumerate(task.outputs):
        held = f"{output_map(spec)}[CAST($output{i} AS VARCHAR)]"
        given[f"output{i}"] = spec.name
        values.append(f"p.{held}")
        present.append(
            f"len({held}) = {math.prod(spec.shape)}" if spec.shape else f"{held} IS NOT NULL"
        )
    kinds = {spec.name: FEATURE_MAPS[kind_of(spec).column] for spec in contract.features}
    for i, name in enumerate(features):
        given[f"feature{i}"] = name
        values.append(f"p.{kinds[name]}[CAST($feature{i} AS VARCHAR)]")
    if not tables.any_file("predictions", of_model(model) + in_span(start, end)):
        return []
    if not tables.any_file("outcomes", of_model(model) + since):
        return []
    with connect() as c, reading(c, within_s):
        if not tables.show(c, "outcomes", of_model(model) + since):
            return []
        tables.show(c, "predictions", of_model(model))
        if limit is not None:
            given["limit"] = limit
        query = _JOINED.format(
            values=", ".join(values),
            present=" AND ".join(present),
            newest="ORDER BY ALL" if limit is None else _NEWEST,
        )
        c.create_function(
            "could_be_label", lambda value: _could_be_label(task, value), ["DOUBLE[]"], "BOOLEAN"
        )
        found = c.execute(query, given).fetchall()
    groups: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for row in found:
        groups.setdefault(row[:4], []).append(row[4:])
    return [_scored(place, rows, task.outputs, features) for place, rows in groups.items()]


def _could_be_label(task: Task, value: list[float]) -> bool:
    return task.could_be_label(value[0] if len(value) == 1 else value)


def _scored(
    place: tuple[str, ...],
    rows: list[tuple[Any, ...]],
    specs: tuple[OutputSpec, ...],
    features: Sequence[str],
) -> ScoredRows:
    # A contract that grew has labels of two lengths: those of most rows are told.
    width = Counter(len(row[3]) for row in rows).most_common(1)[0][0]
    columns = list(zip(*(row for row in rows if len(row[3]) == width), strict=True))
    times, units = np.array(columns[0], np.float64), np.array(columns[1], np.uint64)
    tenants, labels = np.array(columns[2], np.str_), np.array(columns[3], np.float64)
    outputs = [
        np.array(column, np.float64).reshape(-1, *spec.shape)
        for spec, column in zip(specs, columns[4 : 4 + len(specs)], strict=True)
    ]
    values = zip(features, columns[4 + len(specs) :], strict=True)
    labels = labels[:, 0] if width == 1 else labels
    routed, answered, arm, rollout = place
    return ScoredRows(
        routed, answered, arm, rollout, times, units, tenants, outputs, labels,
        {name: _held_once(column) for name, column in values},
    )  # fmt: skip


def _held_once(column: Sequence[Any]) -> NDArray[np.object_]:
    """Each name is one object, however many rows have it."""
    known: dict[Any, Any] = {}
    return np.array([known.setdefault(value, value) for value in column], np.object_)


def read_label_delays(
    tables: TableFolder,
    model: str,
    start: float,
    cohort_s: float,
    cohorts: int,
    seen_until: float,
    edges: Sequence[float],
    within_s: float | None,
) -> list[LabelDelays]:
    end = start + cohorts * cohort_s
    since: Pruning = [f"day >= '{utc(start - _DAY_S).date()}'"]
    given: dict[str, Any] = {
        "model": model,
        "start": utc(start),
        "end": utc(end),
        "first_day": str(utc(start).date()),
        "last_day": str(utc(max(start, end)).date()),
        "seen": utc(seen_until),
        "first": start,
        "cohort_s": cohort_s,
        "edges": list(edges),
    }
    if not tables.any_file("predictions", of_model(model) + in_span(start, end)):
        return []
    with connect() as c, reading(c, within_s):
        tables.show(c, "predictions", of_model(model))
        if not tables.show(c, "outcomes", of_model(model) + since):
            c.execute(_NO_OUTCOMES)
        found = c.execute(_DELAYS.format(present="true"), given).fetchall()
    held: dict[tuple[str, int], list[int]] = {}
    for tenant, cohort, at, rows in found:
        # A sum of floats may put the last instant into a cohort that is not there.
        counts = held.setdefault((tenant, min(cohort, cohorts - 1)), [0] * (len(edges) + 2))
        counts[at] += rows
    return [
        LabelDelays(tenant, cohort, sum(counts), tuple(counts[:-1]))
        for (tenant, cohort), counts in sorted(held.items())
    ]


def read_outcome_counts(
    tables: TableFolder,
    model: str,
    contract: Contract,
    start: float,
    end: float,
    arrive_within_s: float | None,
    within_s: float | None,
) -> list[OutcomeCounts]:
    task = make_task(contract.task)
    given = {"model": model, "start": utc(start), "end": utc(end)}
    pruning = of_model(model) + in_span(start, end)
    told: dict[str, Counter[str]] = {}
    if not any(tables.any_file(name, pruning) for name in ("outcomes", "refusals")):
        return []
    with connect() as c, reading(c, within_s):
        if tables.any_file("outcomes", pruning):
            # The first value may be from before: whether it was late goes by that one.
            tables.show(c, "outcomes", of_model(model) + before(end))
            known = tables.show(c, "predictions", of_model(model))
            query = _STATES.format(predictions="predictions" if known else _NO_PREDICTIONS)
            within = math.inf if arrive_within_s is None else arrive_within_s
            found = c.execute(query, {**given, "within": within}).fetchall()
            for tenant, state, value, revised, labels in found:
                counted = told.setdefault(tenant, Counter())
                counted[_state(task, state, value)] += labels
                counted["revised"] += labels if revised else 0
        if tables.show(c, "refusals", pruning):
            for tenant, requests in c.execute(_REFUSED, given).fetchall():
                told.setdefault(tenant, Counter())["refused"] = requests
    names = [field.name for field in fields(OutcomeCounts) if field.name != "tenant"]
    return [
        OutcomeCounts(tenant, **{name: counted[name] for name in names})
        for tenant, counted in sorted(told.items())
    ]


def _state(task: Task, state: str, value: list[float]) -> str:
    fits = _could_be_label(task, value)
    return state if fits or state in ("unknown", "ambiguous") else "out_of_range"
