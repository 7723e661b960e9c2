"""Events as rows of typed tables: predictions, refusals and outcomes of each model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import pyarrow as pa

from windvane.core.signature import RowPacker, kind_of
from windvane.core.task import Contract, make_task
from windvane.ports.event_log import LogEntry
from windvane.ports.events import OutcomeSeen, Predicted, Refused, RouteTaken, column_values

TABLES = ("predictions", "refusals", "outcomes")
FEATURE = "feature_"
OUTPUT = "output_"
_TIME = pa.timestamp("us", tz="UTC")
_PLACE = [("spool", pa.string()), ("position", pa.int64())]
_ARROW = {
    "double": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "list": pa.list_(pa.float64()),
    "binary": pa.binary(),
}
_PLAIN = re.compile(r"[a-z][a-z0-9_]{0,99}")

_PREDICTIONS = [
    ("day", pa.string()),
    ("ts", _TIME),
    ("tenant", pa.string()),
    ("prediction_id", pa.string()),
    ("request_id", pa.string()),
    ("row", pa.int32()),
    ("unit", pa.string()),
    ("routed", pa.string()),
    ("answered", pa.string()),
    ("arm", pa.string()),
    ("rollout", pa.string()),
    ("contract", pa.string()),
    ("latency_us", pa.int64()),
    ("flags", pa.list_(pa.string())),
    ("explanation", pa.string()),
    ("key", pa.string()),
    *_PLACE,
]
_REFUSALS = [
    ("day", pa.string()),
    ("ts", _TIME),
    ("tenant", pa.string()),
    ("prediction_id", pa.string()),
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
    ("prediction_id", pa.string()),
    ("row", pa.int32()),
    ("value", pa.list_(pa.float64())),
    ("key", pa.string()),
    *_PLACE,
]


def column_name(prefix: str, name: str) -> str:
    """What a feature's or an output's column is called: its own name where that is plain, else
    a readable part of it and a hash. Spark takes no spaces and brackets, and to it and to DuckDB
    ``X`` and ``x`` are one column."""
    if _PLAIN.fullmatch(name):
        return prefix + name
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60]
    return f"{prefix}{plain}_{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


def table_of(entry: LogEntry) -> str:
    match entry.event:
        case Predicted():
            return "predictions"
        case Refused():
            return "refusals"
        case OutcomeSeen():
            return "outcomes"


def to_arrow(name: str, entries: Sequence[LogEntry], contracts: Mapping[str, Contract]) -> pa.Table:
    """One table's rows; predictions of several contracts share the union of their columns."""
    if name != "predictions":
        fields = _REFUSALS if name == "refusals" else _OUTCOMES
        return _table(fields, {column: _of_events(column, entries) for column, _ in fields})
    alike: dict[str, list[LogEntry]] = {}
    for entry in entries:
        alike.setdefault(entry.event.contract, []).append(entry)
    parts = [_predictions(found, contracts[contract]) for contract, found in alike.items()]
    return parts[0] if len(parts) == 1 else pa.concat_tables(parts, promote_options="default")


def _predictions(entries: Sequence[LogEntry], contract: Contract) -> pa.Table:
    """Column by column: a dict for each row would cost more than all the rest."""
    fields = dict(_PREDICTIONS)
    owners: list[LogEntry] = []
    places: list[int] = []
    routes: list[RouteTaken] = []
    units: list[str] = []
    explanations: list[str | None] = []
    values: list[Sequence[Any]] = []
    outputs: list[Sequence[Any]] = []
    for entry in entries:
        event = entry.event
        assert isinstance(event, Predicted)
        owners += [entry] * event.rows
        places += range(event.rows)
        routes += event.routes_of()
        units += column_values(event.units, event.rows)
        explanations += [text or None for text in event.explanations_of()]
        if event.rows == 1:
            values.append(event.features)
            outputs.append(event.outputs)
        else:
            values += _transposed(event.features, event.rows)
            outputs += _transposed(event.outputs, event.rows)
    columns: dict[str, Any] = {"row": places, "unit": units, "explanation": explanations}
    for column in fields:
        if column in RouteTaken.__struct_fields__:
            columns[column] = list(map(attrgetter(column), routes))
        elif column not in columns:
            columns[column] = _of_events(column, owners)
    for spec, found in zip(contract.features, _features(values, contract), strict=True):
        name = column_name(FEATURE, spec.name)
        fields[name] = _ARROW[kind_of(spec).column]
        columns[name] = found
    specs = make_task(contract.task).outputs
    for spec, found in zip(specs, zip(*outputs, strict=True), strict=True):
        name = column_name(OUTPUT, spec.name)
        kind: pa.DataType = pa.float64()
        for _ in spec.shape:
            kind = pa.list_(kind)
        fields[name], columns[name] = kind, found
    return _table(list(fields.items()), columns)


def _transposed(columns: Sequence[Any], rows: int) -> list[Sequence[Any]]:
    return list(zip(*(column_values(column, rows) for column in columns), strict=True))


def _features(values: Sequence[Sequence[Any]], contract: Contract) -> Iterable[Any]:
    """Each feature's values. Where all are numbers and none is missing they are packed: Arrow
    takes a column of floats from memory far faster than from objects."""
    if all(kind_of(spec).column == "double" for spec in contract.features):
        matrix = RowPacker(len(contract.features)).whole(values)
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
        case "value":
            held = [entry.event.value for entry in entries if isinstance(entry.event, OutcomeSeen)]
            return [one if isinstance(one, list) else [one] for one in held]
        case "prediction_id" if entries and not isinstance(entries[0].event, OutcomeSeen):
            return [entry.event.event_id for entry in entries]
        case _:
            return list(map(attrgetter(f"event.{column}"), entries))


def _table(fields: Sequence[tuple[str, pa.DataType]], columns: Mapping[str, Any]) -> pa.Table:
    arrays = {name: pa.array(columns[name], kind) for name, kind in fields if name != "day"}
    day = arrays["ts"].cast(pa.date32()).cast(pa.string())
    return pa.table({"day": day, **arrays})
