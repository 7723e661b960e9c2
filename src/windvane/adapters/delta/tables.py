"""Events as rows of typed tables: predictions, refusals and outcomes of each model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import pyarrow as pa

from windvane.core.execution import RowPacker
from windvane.ports.event_log import LogEntry
from windvane.ports.events import OutcomeSeen, Predicted, Refused, Row

TABLES = ("predictions", "refusals", "outcomes")
FEATURE = "feature_"
_ARROW = {"number": pa.float64(), "integer": pa.float64(), "category": pa.string()}
_TIME = pa.timestamp("us", tz="UTC")
_PLACE = [("spool", pa.string()), ("position", pa.int64())]

_PREDICTIONS = [
    ("day", pa.string()),
    ("ts", _TIME),
    ("tenant", pa.string()),
    ("request_id", pa.string()),
    ("row", pa.int32()),
    ("unit", pa.string()),
    ("routed", pa.string()),
    ("answered", pa.string()),
    ("arm", pa.string()),
    ("rollout", pa.string()),
    ("layout_id", pa.string()),
    ("output", pa.float64()),
    ("latency_us", pa.int64()),
    ("flags", pa.list_(pa.string())),
    ("key", pa.string()),
    *_PLACE,
]
_REFUSALS = [
    ("day", pa.string()),
    ("ts", _TIME),
    ("tenant", pa.string()),
    ("request_id", pa.string()),
    ("code", pa.string()),
    ("message", pa.string()),
    ("sample", pa.string()),
    ("key", pa.string()),
    *_PLACE,
]
_OUTCOMES = [
    ("day", pa.string()),
    ("ts", _TIME),
    ("tenant", pa.string()),
    ("event_id", pa.string()),
    ("request_id", pa.string()),
    ("row", pa.int32()),
    ("value", pa.float64()),
    ("key", pa.string()),
    *_PLACE,
]


def table_of(entry: LogEntry) -> str:
    match entry.event:
        case Predicted():
            return "predictions"
        case Refused():
            return "refusals"
        case OutcomeSeen():
            return "outcomes"


def to_arrow(
    name: str, entries: Sequence[LogEntry], schemas: Mapping[str, Sequence[tuple[str, str]]]
) -> pa.Table:
    """One table's rows; predictions of several layouts share the union of their columns."""
    if name != "predictions":
        fields = _REFUSALS if name == "refusals" else _OUTCOMES
        return _table(fields, {column: _of_events(column, entries) for column, _ in fields})
    layouts: dict[str, list[LogEntry]] = {}
    for entry in entries:
        layouts.setdefault(entry.event.layout_id, []).append(entry)
    parts = [_predictions(found, schemas[layout]) for layout, found in layouts.items()]
    return parts[0] if len(parts) == 1 else pa.concat_tables(parts, promote_options="default")


def _predictions(entries: Sequence[LogEntry], schema: Sequence[tuple[str, str]]) -> pa.Table:
    """Column by column: a dict for each row would cost more than all the rest."""
    fields = dict(_PREDICTIONS)
    rows: list[Row] = []
    owners: list[LogEntry] = []
    places: list[int] = []
    for entry in entries:
        event = entry.event
        assert isinstance(event, Predicted)
        rows += event.rows
        owners += [entry] * len(event.rows)
        places += range(len(event.rows))
    columns: dict[str, Any] = {"row": places}
    for column in fields:
        if column in Row.__struct_fields__:
            columns[column] = list(map(attrgetter(column), rows))
        elif column not in columns:
            columns[column] = _of_events(column, owners)
    for (column, kind), values in zip(schema, _features(rows, schema), strict=True):
        fields[FEATURE + column] = _ARROW[kind]
        columns[FEATURE + column] = values
    return _table(list(fields.items()), columns)


def _features(rows: Sequence[Row], schema: Sequence[tuple[str, str]]) -> Iterable[Any]:
    """Each feature's values. Where all are numbers and none is missing they are packed: Arrow
    takes a column of floats from memory far faster than from objects."""
    values = [row.values for row in rows]
    if not any(kind == "category" for _, kind in schema):
        matrix = RowPacker(len(schema)).whole(values)
        if matrix is not None:
            return matrix.T
    return zip(*values, strict=True)


def _of_events(column: str, entries: Sequence[LogEntry]) -> list[Any]:
    match column:
        case "day":
            return []
        case "spool" | "position":
            return list(map(attrgetter(column), entries))
        case "ts":
            return [round(entry.event.ts * 1e6) for entry in entries]
        case _:
            return list(map(attrgetter(f"event.{column}"), entries))


def _table(fields: Sequence[tuple[str, pa.DataType]], columns: Mapping[str, Any]) -> pa.Table:
    arrays = {name: pa.array(columns[name], kind) for name, kind in fields if name != "day"}
    day = arrays["ts"].cast(pa.date32()).cast(pa.string())
    return pa.table({"day": day, **arrays})
