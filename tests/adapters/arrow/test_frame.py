"""Tables of every kind give the same columns, and what cannot be read is said."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from windvane.adapters.arrow import frame_of, open_frame
from windvane.adapters.delta.data_set import delta_data_set
from windvane.core.signature import FeatureType
from windvane.ports.frames import BadFrame, Frame

TABLE = pd.DataFrame(
    {
        "temp": [1.5, None, 3.0, -2.0],
        "count": [1, 2, 3, 4],
        "flag": [True, False, True, True],
        "city": ["LGA", "JFK", None, "LGA"],
        "at": pd.to_datetime([0, 60, 120, 180], unit="s", utc=True),
        "a.b": ["x", "y", "x", "y"],
    }
)


def parquet(folder: Path) -> Frame:
    TABLE.to_parquet(folder / "t.parquet")
    return open_frame(folder / "t.parquet")


def parts(folder: Path) -> Frame:
    TABLE[:2].to_parquet(folder / "p0.parquet")
    TABLE[2:].to_parquet(folder / "p1.parquet")
    return open_frame(folder)


def delta(folder: Path) -> Frame:
    write_deltalake(str(folder / "d"), pa.Table.from_pandas(TABLE, preserve_index=False))
    return open_frame(folder / "d", delta_data_set)


def csv(folder: Path) -> Frame:
    TABLE.assign(at=TABLE["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_csv(
        folder / "t.csv", index=False
    )
    return open_frame(folder / "t.csv")


def semicolons(folder: Path) -> Frame:
    text = "temp;count;flag;city;at;a.b\n"
    text += '1.5;1;true;LGA;1970-01-01T00:00:00Z;x\nNA;2;false;"JFK";1970-01-01T00:01:00Z;y\n'
    text += "3;3;true;;1970-01-01T00:02:00Z;x\n-2;4;true;LGA;1970-01-01T00:03:00Z;y\n"
    (folder / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    return open_frame(folder / "t.csv.gz")


def in_memory(folder: Path) -> Frame:
    del folder
    return frame_of(TABLE, "current")


def arrow(folder: Path) -> Frame:
    del folder
    return frame_of(pa.Table.from_pandas(TABLE, preserve_index=False), "current")


KINDS = (parquet, parts, delta, csv, semicolons, in_memory, arrow)


@pytest.mark.parametrize("kind", KINDS, ids=lambda one: one.__name__)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_kind_of_table_gives_the_same(kind: Callable[[Path], Frame], tmp_path: Path) -> None:
    found = kind(tmp_path)
    assert found.rows == 4
    assert sorted(found.names) == sorted(TABLE.columns)
    temp = found.column("temp")
    assert temp.type is FeatureType.NUMBER
    np.testing.assert_array_equal(temp.numbers, [1.5, np.nan, 3.0, -2.0])
    assert found.column("flag").type is FeatureType.BOOLEAN
    np.testing.assert_array_equal(found.column("flag").numbers, [1.0, 0.0, 1.0, 1.0])
    city = found.column("city")
    assert city.codes is not None
    named = [None if c < 0 else city.labels[c] for c in city.codes.tolist()]
    assert named == ["LGA", "JFK", None, "LGA"]
    np.testing.assert_array_equal(found.times("at"), [0.0, 60.0, 120.0, 180.0])
    assert found.column("at").type is FeatureType.DATETIME
    assert found.column("a.b").type is FeatureType.CATEGORY, "a dot is no path"


def test_times_are_also_numbers_and_texts(tmp_path: Path) -> None:
    at = 1_700_000_000
    frame = frame_of(
        pd.DataFrame({"s": [at, at + 1], "ms": [at * 1000, None], "t": ["2026-11-28", None]}), "x"
    )
    np.testing.assert_array_equal(frame.times("s"), [at, at + 1])
    np.testing.assert_array_equal(frame.times("ms"), [at, np.nan])
    assert frame.times("t")[0] == 1_795_824_000.0


def test_what_is_not_finite_or_mixed_or_nested_is_taken_as_what_it_is() -> None:
    frame = frame_of(pd.DataFrame({"n": [np.inf, 1.0], "mixed": [1, "a"], "list": [[1], [2]]}), "x")
    np.testing.assert_array_equal(frame.column("n").numbers, [np.nan, 1.0])
    assert frame.column("mixed").labels == ["1", "a"]
    assert frame.column("list").held.startswith("list")


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("gone.csv", None, "there is no file"),
        ("t.parquet", b"PAR1nothing", "is no Parquet file"),
        ("t.xlsx", b"PK\x03\x04", "is a spreadsheet"),
        ("t.csv", b"", "is empty"),
        ("t.csv", b"a,b\n1,2\n3\n", "row 2"),
        ("t.csv", b"a,b\n1,\xff\n", "UTF-8"),
        ("t.csv", b"a,a\n1,2\n", "two columns 'a'"),
    ],
)
def test_what_cannot_be_read_is_said(
    name: str, body: bytes | None, message: str, tmp_path: Path
) -> None:
    if body is not None:
        (tmp_path / name).write_bytes(body)
    with pytest.raises(BadFrame, match=message):
        frame: Any = open_frame(tmp_path / name)
        frame.column(frame.names[-1])


def test_a_folder_without_tables_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadFrame, match="no Parquet file and no Delta table"):
        open_frame(tmp_path)


def test_something_else_is_no_table() -> None:
    with pytest.raises(BadFrame, match="current is a int, and no table"):
        frame_of(7, "current")


def test_parquet_is_read_a_column_at_a_time(tmp_path: Path) -> None:
    wide = pa.table({f"c{i}": np.arange(200_000.0) for i in range(20)})
    pq.write_table(wide, tmp_path / "wide.parquet")
    before = pa.total_allocated_bytes()
    frame = open_frame(tmp_path / "wide.parquet")
    for name in frame.names:
        frame.column(name)
        assert pa.total_allocated_bytes() - before < wide.nbytes / 4
