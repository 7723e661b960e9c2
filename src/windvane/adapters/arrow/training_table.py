"""A CSV or Parquet file as training data: types are declared, never guessed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from windvane.adapters.arrow.batches import Batch, TableFile
from windvane.adapters.arrow.cells import FeatureReader
from windvane.adapters.arrow.csv_file import CsvFile
from windvane.adapters.arrow.faults import BadTable, CellFault, TypeFault, quoted
from windvane.adapters.arrow.labels import LabelReader, label_columns
from windvane.adapters.arrow.parquet_file import ParquetFile
from windvane.adapters.arrow.times import TimeReader, shown_time
from windvane.core.errors import did_you_mean
from windvane.core.signature import FeatureSpec
from windvane.core.task import Contract
from windvane.ports.learner import TrainingData

_OTHERS = (
    (b"PK\x03\x04", "a spreadsheet or an archive"),
    (b"ARROW1", "an Arrow file"),
    (b"\xff\xfe", "a text in UTF-16"),
    (b"\xfe\xff", "a text in UTF-16"),
    (b"SQLite format 3", "a database"),
)


def read_training_table(
    path: Path, contract: Contract, label: str, time: str, without: Collection[str] = ()
) -> TrainingData:
    """The features of ``contract``, the labels of its task and the times.

    ``label`` is a column, or several between commas for a task with several numbers a row. A
    feature of a view that is left out (``without``) may be absent: it is None in every row. Rows
    without a label or a time are left out and counted. Raises BadTable.
    """
    table = open_table(path, [*contract.names, *label_columns(label, ()), label, time])
    labels = label_columns(label, table.names)
    _check_names(path, table.names)
    absent = frozenset(
        spec.name
        for spec in contract.features
        if spec.view in without and spec.name not in table.names
    )
    features = [spec for spec in contract.features if spec.name not in absent]
    for name in [*(spec.name for spec in features), *labels, time]:
        if name not in table.names:
            hint = did_you_mean(name, table.names)
            raise BadTable(f"{path.name} has no column {quoted(name)}", hint=hint)
    for spec in features:
        if spec.name in labels and spec.view not in without:
            raise BadTable(
                f"{path.name}: the label {quoted(spec.name)} is a feature of the model, which "
                "would learn nothing else",
                hint="give --label another column",
            )
    reading = _Reading(path, contract, features, labels, time)
    for batch in table.batches([*{*(spec.name for spec in features), *labels, time}]):
        reading.add(batch)
    return reading.done(absent, table.notes)


def open_table(path: Path, wanted: Sequence[str]) -> TableFile:
    """By what the file is; its name only says what it should be. Raises BadTable."""
    if path.is_dir():
        raise BadTable(f"{path.name} is a folder", hint="give one CSV or Parquet file")
    if not path.is_file():
        raise BadTable(f"there is no file {path}")
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise BadTable(f"{path.name} cannot be read: {error.strerror}") from error
    if start.startswith(b"PAR1") or path.suffix.lower() in (".parquet", ".pq"):
        return ParquetFile(path)
    for magic, what in _OTHERS:
        if start.startswith(magic):
            raise BadTable(f"{path.name} is {what}", hint="save it as CSV in UTF-8, or Parquet")
    return CsvFile(path, wanted)


def _check_names(path: Path, names: Sequence[str]) -> None:
    seen = set[str]()
    for name in names:
        if name and name in seen:
            raise BadTable(
                f"{path.name} has two columns {quoted(name)}",
                hint="which one is meant is not known",
            )
        seen.add(name)


class _Reading:
    """What was read so far."""

    def __init__(
        self, path: Path, contract: Contract, features: Sequence[FeatureSpec],
        labels: Sequence[str], time: str,
    ) -> None:  # fmt: skip
        self._file = path.name
        self._contract = contract
        self._readers = [FeatureReader(spec) for spec in features]
        self._columns: list[list[Any]] = [[] for _ in features]
        self._label_columns, self._time_column = labels, time
        self._label_reader, self._time_reader = LabelReader(contract, labels), TimeReader(time)
        self._labels: list[Any] = []
        self._times: list[float] = []
        self._numbers: list[int] = []
        self._rows = self._unlabelled = self._untimed = 0

    def add(self, batch: Batch) -> None:
        if not batch.rows:
            return
        together = ", ".join(self._label_columns)
        held = [batch.columns[name] for name in self._label_columns]
        labels = self._read(batch, together, "", lambda: self._label_reader.read(held))
        stamps = batch.columns[self._time_column]
        times = self._read(
            batch, self._time_column, "a time", lambda: self._time_reader.read(stamps)
        )
        keep = [one is not None and at is not None for one, at in zip(labels, times, strict=True)]
        self._rows += batch.rows
        self._unlabelled += labels.count(None)
        self._untimed += sum(
            at is None and one is not None for one, at in zip(labels, times, strict=True)
        )
        kept = list(compress(range(batch.rows), keep))
        whole = len(kept) == batch.rows
        self._labels += compress(labels, keep)
        self._times += compress(times, keep)
        self._numbers += [batch.first + index for index in kept]
        for reader, values in zip(self._readers, self._columns, strict=True):
            cells = batch.columns[reader.spec.name]
            if not whole:
                cells = cells.take(kept) if hasattr(cells, "take") else list(compress(cells, keep))
            found = self._read(
                batch, reader.spec.name, reader.spec.type.value,
                lambda reader=reader, cells=cells: reader.read(cells), kept,
            )  # fmt: skip
            values.extend(found)

    def _read(
        self, batch: Batch, column: str, wanted: str, read: Any, kept: Sequence[int] | None = None
    ) -> list[Any]:
        try:
            return read()
        except CellFault as fault:
            place = batch.place(fault.index if kept is None else kept[fault.index])
            declared = f"; the model's file says {wanted}" if wanted and kept is not None else ""
            raise BadTable(
                f"{self._file}, {place}, column {quoted(column)}: {fault.message}{declared}",
                hint=fault.hint or None,
            ) from fault
        except TypeFault as fault:
            side = f"the model's file says {wanted}" if kept is not None else f"{wanted} is needed"
            raise BadTable(
                f"{self._file}: column {quoted(column)} holds {fault.held}, {side}",
                hint=fault.hint,
            ) from fault

    def done(self, absent: frozenset[str], notes: Sequence[str]) -> TrainingData:
        if not self._rows:
            raise BadTable(f"{self._file} has a header and no rows")
        odd = self._label_reader.odd()
        if odd:
            raise BadTable(
                f"{self._file}: {odd}", hint="name all: predicts: {positive: …, classes: [...]}"
            )
        if not self._labels:
            names, what = list(self._label_columns), "a label"
            if self._untimed:
                names, what = [*names, self._time_column], "a label and a time"
            listed = ", ".join(map(quoted, names))
            raise BadTable(f"{self._file}: none of {self._rows:,} rows has {what} ({listed})")
        columns: dict[str, Any] = {}
        read = dict(zip([r.spec.name for r in self._readers], self._columns, strict=True))
        for name in self._contract.names:
            columns[name] = [None] * len(self._labels) if name in absent else read[name]
        return TrainingData(
            columns,
            np.array(self._labels, np.float64),
            np.array(self._times, np.float64),
            numbers=np.array(self._numbers, np.int64),
            unlabelled=self._unlabelled,
            untimed=self._untimed,
            absent=absent,
            notes=(*notes, *self._notes(absent)),
        )

    def _notes(self, absent: frozenset[str]) -> list[str]:
        found = [*self._label_reader.notes, *self._time_reader.notes()]
        found.append(f"times from {shown_time(min(self._times))} to {shown_time(max(self._times))}")
        for count, what in ((self._unlabelled, "label"), (self._untimed, "time")):
            if count:
                found.append(f"{count:,} of {self._rows:,} rows have no {what} and are left out")
        for reader in self._readers:
            for word, count in reader.doubtful.items():
                if count:
                    found.append(
                        f"{reader.spec.name}: {count:,} cells are the text {word!r}; only an empty "
                        "cell is null there"
                    )
        found += [f"{name} is absent: none in every row" for name in sorted(absent)]
        return found
