"""`windvane import-events`: a file of predictions that were made elsewhere, told in batches."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from windvane.client import ApiError, Client, Feature, events_of
from windvane.core.errors import WindvaneError, did_you_mean
from windvane.core.signature import FeatureSpec, FeatureType, kind_of

_MOST_SHOWN = 5
_MAX_FIELD = 1 << 24


class BadEventsFile(WindvaneError):
    """The file of predictions cannot be read, or lacks a column."""

    code: ClassVar[str] = "IMP-101"
    hint = "a CSV or Parquet file with a column for each feature, the outputs and an id"


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is what. ``outputs`` by the output's name, or one column under ""."""

    id: str
    outputs: Mapping[str, str]
    time: str | None = None
    unit: str | None = None
    version: str | None = None
    latency_ms: str | None = None

    @property
    def named(self) -> list[str]:
        single = [self.time, self.unit, self.version, self.latency_ms]
        return [self.id, *self.outputs.values(), *(name for name in single if name)]


@dataclass(slots=True)
class Imported:
    """How far it is: rows that were taken, and those that were not with the reason, of which a
    few are kept as texts."""

    sent: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list[str])
    position: int = 0
    size: int = 0

    def refuse(self, row: int, why: str) -> None:
        self.refused += 1
        if len(self.problems) < _MOST_SHOWN:
            self.problems.append(f"row {row}: {why}")


def import_file(
    client: Client,
    model: str,
    path: Path,
    columns: Columns,
    features: Sequence[Feature],
    batch: int,
) -> Iterator[Imported]:
    """Send the rows of ``path``; yields after each batch. A bad row does not stop the others.

    Sending the same file again does no harm: an event is known by its id. Raises BadEventsFile,
    and ApiError where nothing can be sent.
    """
    state = Imported(size=path.stat().st_size if path.is_file() else 0)
    specs = [FeatureSpec(f.name, "", FeatureType(f.type), nullable=True) for f in features]
    outputs: Any = columns.outputs.get("") or dict(columns.outputs)
    wanted = [*(s.name for s in specs), *columns.named]
    for first, _, rows in batches(path, wanted, batch, state):
        good: list[tuple[int, dict[str, Any]]] = []
        for i, row in enumerate(rows, first):
            try:
                plain = _typed(row, specs, columns) if path.suffix != ".parquet" else row
                (event,) = events_of(
                    [plain], id=columns.id, features=[s.name for s in specs], outputs=outputs,
                    version=columns.version, unit=columns.unit, time=columns.time,
                    latency_ms=columns.latency_ms,
                )  # fmt: skip
            except (ValueError, ApiError) as error:
                state.refuse(i, error.message if isinstance(error, ApiError) else str(error))
            else:
                good.append((i, event))
        _send(client, model, good, state)
        yield state


def _send(
    client: Client, model: str, rows: Sequence[tuple[int, dict[str, Any]]], state: Imported
) -> None:
    """Those that the gateway names as wrong are left out, and the others sent again."""
    while rows:
        try:
            client.send_events(model, [event for _, event in rows])
        except ApiError as error:
            wrong = {p.row: p for p in error.problems if 0 <= p.row < len(rows)}
            if error.status != 422 or not wrong:
                raise
            for at, problem in wrong.items():
                state.refuse(rows[at][0], f"{problem.code} {problem.message}")
            rows = [row for at, row in enumerate(rows) if at not in wrong]
        else:
            state.sent += len(rows)
            return


def _typed(
    row: Mapping[str, str], specs: Sequence[FeatureSpec], columns: Columns
) -> dict[str, Any]:
    """Texts as the model's features declare them: a category `01` is no number. Raises
    ValueError."""
    out: dict[str, Any] = {}
    for spec in specs:
        text = row[spec.name]
        try:
            out[spec.name] = text if spec.type in _TEXTS else kind_of(spec).parse(spec, text)
        except ValueError as error:
            if text != "":
                raise ValueError(f"{spec.name}: {error}") from error
        if text == "":
            out[spec.name] = None
    for name in columns.named:
        out[name] = row[name] or None
    for name in columns.outputs.values():
        out[name] = _value(row[name])
    for name in (columns.time, columns.latency_ms):
        if name and row[name]:
            out[name] = _number_or_text(row[name])
    return out


# Sent as they are written: the gateway reads a time and an image itself.
_TEXTS = {FeatureType.CATEGORY, FeatureType.TEXT, FeatureType.DATETIME, FeatureType.IMAGE}


def _value(text: str) -> Any:
    """A number, a list or an object as JSON has it; else a label."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def batches(
    path: Path, wanted: Sequence[str], size: int, state: Imported
) -> Iterator[tuple[int, list[int], list[dict[str, Any]]]]:
    """The number of the first row, counted from 1, on which line of the file each begins (none
    where a file has no lines), and rows with at least the columns wanted."""
    if not path.is_file():
        raise BadEventsFile(f"no file {path}")
    read = _parquet if path.suffix == ".parquet" else _csv
    first = 1
    try:
        for lines, rows in read(path, wanted, size, state):
            yield first, lines, rows
            first += len(rows)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadEventsFile(f"{path.name} cannot be read: {error}") from error
    state.position = state.size


def _csv(
    path: Path, wanted: Sequence[str], size: int, state: Imported
) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    before = csv.field_size_limit(_MAX_FIELD)  # one of the process: as it was, afterwards
    try:
        yield from _csv_rows(path, wanted, size, state)
    finally:
        csv.field_size_limit(before)


def _csv_rows(
    path: Path, wanted: Sequence[str], size: int, state: Imported
) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    with path.open("rb") as raw:
        lines = (line.decode("utf-8-sig" if not i else "utf-8") for i, line in enumerate(raw))
        reader = csv.DictReader(lines, strict=True, restval="")
        _check(path, wanted, list(reader.fieldnames or ()))
        rows: list[dict[str, Any]] = []
        begins: list[int] = []
        for row in reader:
            rows.append(row)
            begins.append(reader.line_num - sum(str(cell).count("\n") for cell in row.values()))
            if len(rows) >= size:
                state.position = raw.tell()
                yield begins, rows
                begins, rows = [], []
        if rows:
            yield begins, rows


def _parquet(
    path: Path, wanted: Sequence[str], size: int, state: Imported
) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check(path, wanted, file.schema_arrow.names)
            total = max(1, file.metadata.num_rows)
            rows_read = 0
            for part in file.iter_batches(size, columns=list(dict.fromkeys(wanted))):
                rows_read += part.num_rows
                state.position = round(state.size * rows_read / total)
                yield [], part.to_pylist()
    except pa.ArrowException as error:
        raise BadEventsFile(f"{path.name} cannot be read: {error}") from error


def _check(path: Path, wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            hint = did_you_mean(name, known)
            raise BadEventsFile(f"{path.name} has no column {name!r}", hint=hint)
