"""Events as rows of typed tables: predictions, refusals and outcomes of all models."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, groupby
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from windvane.core.signature import OutputSpec, RowPacker, kind_of
from windvane.core.task import Contract, make_task
from windvane.ports.event_log import LogEntry
from windvane.ports.events import Event, OutcomeSeen, Predicted, Refused, RouteTaken, column_values

TABLES = ("predictions", "refusals", "outcomes")
PARTITIONS = ("day", "bucket")
ORDER = ("model", "tenant", "ts")
"""How the rows of a file are sorted, so that statistics tell which parts of it a reader needs."""
BUCKETS = 16
FEATURE_MAPS = {
    "double": "features_number",
    "string": "features_text",
    "bool": "features_bool",
    "list": "features_list",
    "binary": "features_binary",
}
"""The map that has a feature, by what its kind says of its column."""
OUTPUT_NUMBERS, OUTPUT_LISTS = "outputs_number", "outputs_list"
_TIME = pa.timestamp("us", tz="UTC")
_ITEMS: Mapping[str, pa.DataType] = {
    "features_number": pa.float64(),
    "features_text": pa.string(),
    "features_bool": pa.bool_(),
    "features_list": pa.list_(pa.float64()),
    "features_binary": pa.binary(),
    OUTPUT_NUMBERS: pa.float64(),
    OUTPUT_LISTS: pa.list_(pa.float64()),
}
_PLACE = {"spool": pa.string(), "position": pa.int64()}
_ROW = [
    ("day", pa.string()),
    ("bucket", pa.int32()),
    ("model", pa.string()),
    ("tenant", pa.string()),
    ("ts", _TIME),
]
_PREDICTIONS = [
    *_ROW,
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
    *_PLACE.items(),
    *((name, pa.map_(pa.string(), items)) for name, items in _ITEMS.items()),
]
_REFUSALS = [
    *_ROW,
    ("prediction_id", pa.string()),
    ("request_id", pa.string()),
    ("code", pa.string()),
    ("message", pa.string()),
    ("sample", pa.string()),
    ("key", pa.string()),
    *_PLACE.items(),
]
_OUTCOMES = [
    *_ROW,
    ("event_id", pa.string()),
    ("prediction_id", pa.string()),
    ("row", pa.int32()),
    ("value", pa.list_(pa.float64())),
    ("key", pa.string()),
    *_PLACE.items(),
]
SCHEMAS = {
    "predictions": pa.schema(_PREDICTIONS),
    "refusals": pa.schema(_REFUSALS),
    "outcomes": pa.schema(_OUTCOMES),
}
_TS = attrgetter("event.ts")
_EVENT = attrgetter("event")


def bucket_of(model: str) -> int:
    """Which of the partitions of a day has a model: CRC-32, which Spark, Trino and others have."""
    return zlib.crc32(model.encode()) % BUCKETS


def table_of(entry: LogEntry) -> str:
    match entry.event:
        case Predicted():
            return "predictions"
        case Refused():
            return "refusals"
        case OutcomeSeen():
            return "outcomes"


def to_arrow(name: str, entries: Sequence[LogEntry], contracts: Mapping[str, Contract]) -> pa.Table:
    """One table's rows in the order of its files; of entries that are equal in that, in theirs."""
    entries = _in_order(entries)
    schema = SCHEMAS[name]
    if name == "predictions":
        return _table(schema, *_predictions(entries, contracts))
    return _table(schema, entries, {})


def _in_order(entries: Sequence[LogEntry]) -> list[LogEntry]:
    """By ``ORDER``. A spool is in the order of time already, so one sort by all three would cost
    several times what this does."""
    alike: dict[tuple[str, str], list[LogEntry]] = {}
    for entry in entries:
        event = entry.event
        place = (event.model, event.tenant)
        held = alike.get(place)
        if held is None:
            alike[place] = [entry]
        else:
            held.append(entry)
    out: list[LogEntry] = []
    for place in sorted(alike):
        out += sorted(alike[place], key=_TS)
    return out


def _predictions(
    entries: Sequence[LogEntry], contracts: Mapping[str, Contract]
) -> tuple[list[LogEntry], dict[str, Any]]:
    """The entry of each row, and what is not the same for all rows of an entry.

    Column by column, over all contracts: a dict for each row would cost more than all the rest,
    and so would a table for each of a thousand models.
    """
    owners: list[LogEntry] = []
    routes: list[RouteTaken] = []
    units: list[str] = []
    places: list[int] = []
    explanations: list[str | None] = []
    maps = {column: _MapColumn(items) for column, items in _ITEMS.items()}
    for contract_id, alike in groupby(entries, attrgetter("event.contract")):
        values: list[Sequence[Any]] = []
        outputs: list[Sequence[Any]] = []
        for entry in alike:
            event = entry.event
            assert isinstance(event, Predicted)
            rows = event.rows
            if rows == 1:
                routes.append(event.routes[0])
                owners.append(entry)
                places.append(0)
                units.append(event.units)
                explanations.append(event.explanations or None)
                values.append(event.features)
                outputs.append(event.outputs)
            else:
                routes += event.routes_of()
                owners += [entry] * rows
                places += range(rows)
                units += column_values(event.units, rows)
                explanations += [text or None for text in event.explanations_of()]
                values += _transposed(event.features, rows)
                outputs += _transposed(event.outputs, rows)
        _add_maps(maps, contracts[contract_id], values, outputs)
    return owners, {
        "row": places,
        "unit": units,
        "explanation": explanations,
        **{name: list(map(attrgetter(name), routes)) for name in RouteTaken.__struct_fields__},
        **{name: column.finish(len(owners)) for name, column in maps.items()},
    }


def _transposed(columns: Sequence[Any], rows: int) -> list[Sequence[Any]]:
    return list(zip(*(column_values(column, rows) for column in columns), strict=True))


def _add_maps(
    maps: Mapping[str, _MapColumn],
    contract: Contract,
    values: Sequence[Sequence[Any]],
    outputs: Sequence[Sequence[Any]],
) -> None:
    held = [FEATURE_MAPS[kind_of(spec).column] for spec in contract.features]
    names = [spec.name for spec in contract.features]
    for column in FEATURE_MAPS.values():
        places = [i for i, of in enumerate(held) if of == column]
        maps[column].add([names[i] for i in places], _only(values, places, len(names)))
    specs = make_task(contract.task).outputs
    for column in (OUTPUT_NUMBERS, OUTPUT_LISTS):
        places = [i for i, spec in enumerate(specs) if output_map(spec) == column]
        found = _only(outputs, places, len(specs))
        if any(len(specs[i].shape) > 1 for i in places):
            found = [[None if one is None else np.ravel(one) for one in row] for row in found]
        maps[column].add([specs[i].name for i in places], found)


def output_map(spec: OutputSpec) -> str:
    return OUTPUT_LISTS if spec.shape else OUTPUT_NUMBERS


def _only(
    rows: Sequence[Sequence[Any]], places: Sequence[int], width: int
) -> Sequence[Sequence[Any]]:
    """Some columns of rows that are ``width`` wide."""
    if len(places) == width:
        return rows
    if not places:
        return [()] * len(rows)
    if len(places) == 1:
        (place,) = places
        return [(row[place],) for row in rows]
    pick: Callable[[Any], Sequence[Any]] = itemgetter(*places)
    return list(map(pick, rows))


class _MapColumn:
    """A column of maps, whose keys repeat from row to row."""

    def __init__(self, items: pa.DataType) -> None:
        self._type = items
        self._places: dict[str, int] = {}
        self._sizes: list[NDArray[np.int32]] = []
        self._keys: list[NDArray[np.int32]] = []
        self._numbers: list[NDArray[np.float64]] = []
        self._others: list[Any] = []

    def add(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Rows that have these names, and a value or None for each."""
        self._sizes.append(np.full(len(rows), len(names), np.int32))
        if not names or not rows:
            return
        places = [self._places.setdefault(name, len(self._places)) for name in names]
        self._keys.append(np.tile(np.array(places, np.int32), len(rows)))
        if pa.types.is_float64(self._type):  # no event has a NaN: it stands for None here
            self._numbers.append(RowPacker(len(names))(rows).ravel())
        else:
            self._others += chain.from_iterable(rows)

    def finish(self, rows: int) -> pa.MapArray:
        sizes = np.concatenate(self._sizes) if self._sizes else np.zeros(rows, np.int32)
        offsets = np.zeros(rows + 1, np.int32)
        np.cumsum(sizes, out=offsets[1:])
        if not self._keys:
            keys, items = pa.array([], pa.string()), pa.array([], self._type)
        else:
            keys = pa.array(list(self._places), pa.string()).take(
                pa.array(np.concatenate(self._keys))
            )
            if self._numbers:
                items = pa.array(np.concatenate(self._numbers), from_pandas=True)
            else:
                items = pa.array(self._others, self._type)
        return pa.MapArray.from_arrays(pa.array(offsets), keys, items)


def _of_events(column: str, events: Sequence[Event]) -> Any:
    match column:
        case "ts":
            seconds = np.fromiter(map(attrgetter("ts"), events), np.float64, len(events))
            return pa.array(np.rint(seconds * 1e6).astype(np.int64)).cast(_TIME)
        case "value":
            held = [event.value for event in events if isinstance(event, OutcomeSeen)]
            return [one if isinstance(one, list) else [one] for one in held]
        case "prediction_id" if events and not isinstance(events[0], OutcomeSeen):
            return [event.event_id for event in events]
        case _:
            return list(map(attrgetter(column), events))


def _table(schema: pa.Schema, entries: Sequence[LogEntry], columns: Mapping[str, Any]) -> pa.Table:
    arrays: dict[str, Any] = {}
    events = list(map(_EVENT, entries))
    for field in schema:
        if field.name in PARTITIONS:
            continue
        found = columns.get(field.name)
        if found is None:
            found = (
                list(map(attrgetter(field.name), entries))
                if field.name in _PLACE
                else _of_events(field.name, events)
            )
        arrays[field.name] = found if isinstance(found, pa.Array) else pa.array(found, field.type)
    models = arrays["model"].dictionary_encode()
    buckets = pa.array([bucket_of(name) for name in models.dictionary.to_pylist()], pa.int32())
    arrays["bucket"] = buckets.take(models.indices)
    arrays["day"] = arrays["ts"].cast(pa.date32()).cast(pa.string())
    return pa.table([arrays[field.name] for field in schema], schema=schema)
