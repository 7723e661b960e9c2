"""Files of rows for people to label: CSV or Parquet, by the ending of their names."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from windvane.apps.cli.import_events import BadEventsFile, Imported, batches
from windvane.usecases.import_labels import BadLabels, GivenLabel
from windvane.usecases.sample_labels import MOST_DRAWN, BadSample, LabelSample
from windvane.usecases.sheet_cells import Moment, cell

ENDINGS = (".csv", ".parquet")
_NEEDED = ("sample", "prediction_id", "row", "inclusion_probability", "label")
_ABOUT = ("tenant", "version", "request_id")
_AT_ONCE = 10_000


def check_output(path: Path) -> None:
    """Raises BadSample where no file of rows can begin there."""
    if path.suffix not in ENDINGS:
        raise BadSample(f"--output {path.name} ends with neither .csv nor .parquet")
    if path.exists():
        raise BadSample(
            f"--output {path} is there already, perhaps with labels", hint="name another file"
        )


def write_sample(path: Path, sample: LabelSample) -> None:
    """One line a row, with an empty label. Raises BadSample where it cannot be written."""
    rows = [_line(sample, i) for i in range(len(sample.rows))]
    names = list(dict.fromkeys(name for row in rows for name in row)) or list(_NEEDED)
    try:
        if path.suffix == ".csv":
            with path.open("x", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow([cell(name) for name in names])
                writer.writerows([cell(row.get(name)) for name in names] for row in rows)
        else:
            _write_parquet(path, names, rows)
    except OSError as error:
        raise BadSample(f"{path} cannot be written: {error.strerror}", hint="") from error


def _line(sample: LabelSample, i: int) -> Mapping[str, Any]:
    drawn = sample.rows[i]
    row = drawn.row
    return {
        "sample": sample.record.id,
        "prediction_id": row["prediction_id"],
        "row": row["row"],
        "inclusion_probability": drawn.chance,
        "label": None,
        "time": Moment(row["ts"]),
        **{name: row.get("answered" if name == "version" else name) for name in _ABOUT},
        **{f"outputs.{name}": held for name, held in row["outputs"].items()},
        **{f"features.{name}": held for name, held in row["features"].items()},
    }


def _write_parquet(path: Path, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: list[Any] = []
    for name in names:
        held = [row.get(name) for row in rows]
        if name == "label":
            columns.append(pa.array(held, pa.string()))
            continue
        if name == "time":
            held = [None if one is None else round(float(one) * 1e6) for one in held]
            columns.append(pa.array(held, pa.timestamp("us", "UTC")))
            continue
        try:
            columns.append(pa.array(held))
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # values of several kinds, as of two contracts
            texts = [None if one is None else str(cell(one)) for one in held]
            columns.append(pa.array(texts, pa.string()))
    pq.write_table(pa.table(columns, names=list(names)), path)


def read_labels(path: Path) -> list[GivenLabel]:
    """The lines of a file, labelled or not. Raises BadLabels."""
    if path.suffix not in ENDINGS:
        raise BadLabels(f"{path.name} ends with neither .csv nor .parquet")
    out: list[GivenLabel] = []
    try:
        for first, lines, rows in batches(path, _NEEDED, _AT_ONCE, Imported()):
            places = [f"line {line}" for line in lines]
            places = places or [f"row {i}" for i in range(first, first + len(rows))]
            out += [_given(place, row) for place, row in zip(places, rows, strict=True)]
            if len(out) > MOST_DRAWN:
                raise BadLabels(f"{path.name} has more than {MOST_DRAWN:,} rows", hint="")
    except BadEventsFile as error:
        raise BadLabels(error.message) from error
    if not out:
        raise BadLabels(f"{path.name} has no row")
    return out


def _given(place: str, row: Mapping[str, Any]) -> GivenLabel:
    try:
        number, chance = int(row["row"]), float(row["inclusion_probability"])
    except (TypeError, ValueError) as error:
        raise BadLabels(
            f"{place}: `row` and `inclusion_probability` must be numbers, as they were"
        ) from error
    name = str(row["prediction_id"] or "")
    # As a text was written that a spreadsheet would have taken for a formula.
    name = name[1:] if name.startswith("'") and cell(name[1:]) == name else name
    return GivenLabel(place, str(row["sample"] or ""), name, number, chance, row["label"])
