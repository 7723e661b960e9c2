"""Tables whose types nobody declared, a column at a time: files, folders of Parquet, and whatever
hands over its columns as Arrow's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.dataset as pds
import pyarrow.types as of
from numpy.typing import NDArray

from windvane.adapters.arrow.cells import NULL_WORDS, is_text, plain_array
from windvane.adapters.arrow.csv_file import CsvFile
from windvane.adapters.arrow.faults import BadTable, CellFault, TypeFault, quoted
from windvane.adapters.arrow.times import TimeReader
from windvane.adapters.arrow.training_table import open_table
from windvane.core.signature import FeatureType
from windvane.ports.frames import BadFrame, FrameColumn

_MOST_FILES = 10_000
_WORDS = sorted({w for one in NULL_WORDS for w in (one, one.upper(), one.title(), "NaN", "NaT")})
_compute: Any = pc


class ArrowFrame:
    """A table by what gives its columns, ``read`` (names) -> Arrow table, and its schema."""

    def __init__(
        self, place: str, schema: Any, rows: int, read: Callable[[Sequence[str]], Any]
    ) -> None:
        self.place = place
        self.rows = rows
        self._names: list[str] = list(schema.names)
        self._read = read
        seen = set[str]()
        for name in self.names:
            if name in seen:
                raise BadFrame(
                    f"{place} has two columns {quoted(name)}",
                    hint="which one is meant is not known",
                )
            seen.add(name)

    @property
    def names(self) -> Sequence[str]:
        return self._names

    def column(self, name: str) -> FrameColumn:
        return _column(self._array(name))

    def times(self, name: str) -> NDArray[np.float64]:
        array = plain_array(self._array(name))
        fast = _moments(array)
        if fast is not None:
            return fast
        try:
            found = TimeReader(name).read(array)
        except CellFault as fault:
            message = f"{self.place}, row {fault.index + 1:,}, column {quoted(name)}: {fault}"
            raise BadFrame(message, hint=fault.hint or None) from fault
        except TypeFault as fault:
            raise BadFrame(
                f"{self.place}: column {quoted(name)} holds {fault.held}, a time is needed",
                hint=fault.hint,
            ) from fault
        return np.array([np.nan if at is None else at for at in found], np.float64)

    def _array(self, name: str) -> Any:
        try:
            column = self._read([name]).column(0)
            return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        except (pa.ArrowException, OSError) as error:
            raise BadFrame(f"{self.place}: column {quoted(name)} cannot be read: {error}") from (
                error
            )


def open_frame(path: Path, delta: Callable[[Path], Any] | None = None) -> ArrowFrame:
    """A Parquet or CSV file, a folder of Parquet files, or a Delta table, which ``delta`` opens
    as a data set of Arrow's. Raises BadFrame."""
    if path.is_dir():
        if (path / "_delta_log").is_dir():
            if delta is None:
                raise BadFrame(f"{path} is a Delta table, and deltalake is not installed")
            return _data_set(str(path), delta(path))
        files = sorted(
            one for one in path.rglob("*.parquet") if not one.name.startswith((".", "_"))
        )
        if not files:
            raise BadFrame(f"in {path} is no Parquet file and no Delta table")
        if len(files) > _MOST_FILES:
            raise BadFrame(f"in {path} are {len(files):,} files, {_MOST_FILES:,} are the most")
        return _parquet(str(path), files)
    try:
        found = open_table(path, [])
    except BadTable as error:
        hint = None if error.advice == BadTable.hint else error.advice
        raise BadFrame(error.message, hint=hint) from error
    if isinstance(found, CsvFile):
        return _csv(path, found)
    return _parquet(str(path), [path])


def frame_of(table: Any, place: str) -> ArrowFrame:
    """Of a pandas or polars DataFrame, an Arrow table, or anything else that hands itself over as
    a stream of Arrow's. Raises BadFrame."""
    if hasattr(table, "columns") and hasattr(table, "index") and hasattr(table, "iloc"):
        names = [str(name) for name in table.columns]

        def series(wanted: Sequence[str]) -> Any:
            held = [_series(table.iloc[:, names.index(name)]) for name in wanted]
            return pa.Table.from_arrays(held, names=list(wanted))

        nothing: Any = pa.null()
        return ArrowFrame(place, pa.schema([(n, nothing) for n in names]), len(table), series)
    try:
        held = table if isinstance(table, pa.Table) else pa.table(table)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise BadFrame(f"{place} is a {type(table).__name__}, and no table") from error
    return ArrowFrame(place, held.schema, held.num_rows, held.select)


def _series(column: Any) -> Any:
    """Of pandas. Values of several types are taken as their texts."""
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array([None if v is None else str(v) for v in column.tolist()], pa.string())


def _parquet(place: str, files: Sequence[Path]) -> ArrowFrame:
    try:
        return _data_set(place, pds.dataset([str(one) for one in files], format="parquet"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadFrame(f"{place} is no Parquet file, or it is damaged") from error


def _data_set(place: str, found: Any) -> ArrowFrame:
    def read(wanted: Sequence[str]) -> Any:
        # As expressions: a dot in a column's name is no path.
        return found.to_table(columns={name: _compute.field(name) for name in wanted})

    try:
        rows = found.count_rows()
    except (pa.ArrowException, OSError) as error:
        raise BadFrame(f"{place} is damaged: {error}") from error
    return ArrowFrame(place, found.schema, rows, read)


def _csv(path: Path, found: CsvFile) -> ArrowFrame:
    parsing = pcsv.ParseOptions(
        delimiter=found.separator, newlines_in_values=True, ignore_empty_lines=True
    )
    converting = pcsv.ConvertOptions(
        null_values=_WORDS, strings_can_be_null=False,
        true_values=["true", "True", "TRUE"], false_values=["false", "False", "FALSE"],
    )  # fmt: skip
    try:
        table = pcsv.read_csv(str(path), pcsv.ReadOptions(block_size=16 << 20), parsing, converting)
    except (pa.ArrowException, OSError) as error:
        try:  # the reader that knows its lines says what is wrong, and where
            for _ in found.batches([]):
                pass
        except BadTable as told:
            raise BadFrame(told.message, hint=told.advice) from error
        raise BadFrame(f"{path.name} cannot be read: {error}") from error
    return ArrowFrame(str(path), table.schema, table.num_rows, table.select)


def _column(given: Any) -> FrameColumn:
    array = given.storage if isinstance(given, pa.ExtensionArray) else given
    kind = array.type
    if of.is_null(kind) or array.null_count == len(array):
        return FrameColumn(None, numbers=np.full(len(array), np.nan))
    if of.is_dictionary(kind) and is_text(kind.value_type):
        return _names(array)
    array = plain_array(array)
    kind = array.type
    if is_text(kind):
        return _names(array.dictionary_encode())
    if of.is_boolean(kind):
        return FrameColumn(FeatureType.BOOLEAN, _numbers(array.cast(pa.int8())))
    if of.is_integer(kind) or of.is_floating(kind) or of.is_decimal(kind):
        return FrameColumn(FeatureType.NUMBER, _numbers(array))
    moments = _moments(array)
    if moments is not None:
        return FrameColumn(FeatureType.DATETIME, moments)
    return FrameColumn(None, held=str(kind))


def _numbers(array: Any) -> NDArray[np.float64]:
    """What is not finite is no value."""
    found = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    values = np.asarray(found, np.float64)
    bad = np.isinf(values)
    return np.where(bad, np.nan, values) if bad.any() else values


def _moments(array: Any) -> NDArray[np.float64] | None:
    """Times as s since the epoch; None for what holds none."""
    kind = array.type
    if of.is_date(kind):
        array = array.cast(pa.timestamp("ms"))
    elif not of.is_timestamp(kind):
        return None
    whole = array.cast(pa.timestamp("us", tz=array.type.tz), safe=False).cast(pa.int64())
    return _numbers(whole) / 1e6


def _names(array: Any) -> FrameColumn:
    """An empty text is no name."""
    labels = cast("list[str | None]", array.dictionary.to_pylist())
    empty = [i for i, label in enumerate(labels) if not label]
    found = array.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    if empty:
        found = np.where(np.isin(found, empty), np.int32(-1), found)
    if not (found >= 0).any():
        return FrameColumn(None, numbers=np.full(len(found), np.nan))
    return FrameColumn(FeatureType.CATEGORY, codes=found, labels=[label or "" for label in labels])
