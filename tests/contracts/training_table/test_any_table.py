"""Whatever a table holds reads back equal, as CSV and as Parquet."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from contracts.training_table.tables import AT, DAY, cell, contract, csv_file, parquet_file
from hypothesis import given
from hypothesis import strategies as st

from windvane.adapters.arrow import BadTable, read_training_table
from windvane.core.signature import FeatureSpec, FeatureType

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = FLOATS | st.integers(-(2**53), 2**53).map(float) | st.sampled_from([0.0, -0.0, 5e-324])
LETTERS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
WORDS = LETTERS | st.sampled_from(["NA", "null", " ", "a,b", 'a"b', "a\r\nb", "0x10", "yes", "\r"])
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))

VALUES: dict[FeatureType, st.SearchStrategy[Any]] = {
    FeatureType.NUMBER: NUMBERS,
    FeatureType.INTEGER: st.integers(-(2**63), 2**63 - 1),
    FeatureType.BOOLEAN: st.booleans(),
    FeatureType.CATEGORY: WORDS,
    FeatureType.DATETIME: TIMES,
    FeatureType.TEXT: WORDS,
    FeatureType.VECTOR: st.lists(NUMBERS, min_size=3, max_size=3),
    FeatureType.IMAGE: st.binary(min_size=1, max_size=20),
}
ARROW: dict[FeatureType, pa.DataType] = {
    FeatureType.NUMBER: pa.float64(),
    FeatureType.INTEGER: pa.int64(),
    FeatureType.BOOLEAN: pa.bool_(),
    FeatureType.CATEGORY: pa.string(),
    FeatureType.DATETIME: pa.timestamp("us", "UTC"),
    FeatureType.TEXT: pa.string(),
    FeatureType.VECTOR: pa.list_(pa.float64(), 3),
    FeatureType.IMAGE: pa.binary(),
}
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8
).filter(lambda name: name not in ("y", "t", "\ufeff") and name[0] != "\ufeff")


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[FeatureSpec], dict[str, list[Any]]]:
    names = draw(st.lists(NAMES | st.sampled_from(["x", "X"]), min_size=1, max_size=5, unique=True))
    rows = draw(st.integers(1, 6))
    specs = [
        FeatureSpec(name, "v", draw(st.sampled_from(FeatureType)), nullable=True, length=3)
        for name in names
    ]
    columns = {
        spec.name: draw(st.lists(st.none() | VALUES[spec.type], min_size=rows, max_size=rows))
        for spec in specs
    }
    return specs, columns


def read(specs: list[FeatureSpec], write: Callable[[Path], Path]) -> dict[str, list[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder))
        return dict(read_training_table(path, contract(*specs), "y", "t").columns)


def seconds(value: Any) -> Any:
    """As exactly as a float holds it: whole seconds, and the fraction."""
    if not isinstance(value, datetime):
        return value
    whole = value.replace(microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)
    return whole.days * 86_400 + whole.seconds + value.microsecond / 1e6


@given(tables())
def test_any_table_reads_back_equal(
    table: tuple[list[FeatureSpec], dict[str, list[Any]]],
) -> None:
    specs, columns = table
    rows = len(next(iter(columns.values())))
    expected = {name: [seconds(v) for v in column] for name, column in columns.items()}

    def as_csv(folder: Path) -> Path:
        held = [[cell(v) for v in row] for row in zip(*columns.values(), strict=True)]
        body = [[*row, i % 2, DAY] for i, row in enumerate(held)]
        return csv_file(folder, [*columns, "y", "t"], body)

    def as_parquet(folder: Path) -> Path:
        arrays = {s.name: pa.array(columns[s.name], ARROW[s.type]) for s in specs}
        return parquet_file(folder, {**arrays, "t": [AT] * rows})

    for write in (as_csv, as_parquet):
        found = read(specs, write)
        assert found == expected, write.__name__
        for name, column in found.items():
            assert list(map(repr, column)) == list(map(repr, expected[name])), write.__name__


@given(st.sampled_from(FeatureType), st.text(max_size=20))
def test_any_text_in_any_column_is_read_or_refused(kind: FeatureType, text: str) -> None:
    """Never another exception, and a category is the text itself."""
    spec = FeatureSpec("x", "v", kind, nullable=True, length=3)
    text = text.encode("utf-8", "ignore").decode()
    message = ""
    found: dict[str, list[Any]] = {}
    try:
        found = read([spec], lambda folder: csv_file(folder, ["x", "y", "t"], [[text, 1, DAY]]))
    except BadTable as error:
        message = error.message
    assert ("row 1 (line 2), column 'x'" in message) == (not found)
    if kind in (FeatureType.CATEGORY, FeatureType.TEXT):
        assert found["x"] == [text or None]
