"""Events as rows of typed tables: predictions, refusals and outcomes of each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from windvane.ports.event_log import LogEntry
from windvane.ports.events import OutcomeSeen, Predicted, Refused

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
        return _build(fields, [_flat(entry) for entry in entries])
    features: dict[str, pa.DataType] = {}
    rows: list[dict[str, Any]] = []
    for entry in entries:
        event = entry.event
        assert isinstance(event, Predicted)
        schema = schemas[event.layout_id]
        features |= {FEATURE + column: _ARROW[kind] for column, kind in schema}
        shared = _flat(entry)
        for i, row in enumerate(event.rows):
            named = {
                FEATURE + column: value
                for (column, _), value in zip(schema, row.values, strict=True)
            }
            rows.append(
                {
                    **shared,
                    **named,
                    "row": i,
                    "unit": row.unit,
                    "routed": row.routed,
                    "answered": row.answered,
                    "arm": row.arm,
                    "output": row.output,
                    "flags": row.flags,
                }
            )
    return _build([*_PREDICTIONS, *features.items()], rows)


def _flat(entry: LogEntry) -> dict[str, Any]:
    event = entry.event
    row = {name: getattr(event, name) for name in event.__struct_fields__ if name != "rows"}
    row["ts"] = round(event.ts * 1e6)
    return {**row, "spool": entry.spool, "position": entry.position}


def _build(fields: Sequence[tuple[str, pa.DataType]], rows: list[dict[str, Any]]) -> pa.Table:
    columns: dict[str, Any] = {}
    for name, kind in fields:
        if name == "day":
            continue
        columns[name] = pa.array([row.get(name) for row in rows], kind)
    day = columns["ts"].cast(pa.date32()).cast(pa.string())
    return pa.table({"day": day, **columns})
