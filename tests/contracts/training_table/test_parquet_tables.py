"""Parquet: its types are converted exactly, or refused with both sides named."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contracts.training_table.tables import AT, DAY, contract, feature, parquet_file

from windvane.adapters.arrow import BadTable, read_training_table
from windvane.core.task import TaskSpec
from windvane.ports.learner import TrainingData

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
NAIVE = datetime(2024, 3, 1, 12)
DICT = pa.dictionary(pa.int8(), pa.string())


def read(folder: Path, kind: str, column: pa.Array, **given: Any) -> TrainingData:
    path = parquet_file(folder, {"x": column})
    return read_training_table(path, contract(feature("x", kind, **given)), "y", "t")


@pytest.mark.parametrize(
    ("kind", "held", "type_", "values"),
    [
        ("number", [1.5, None, float("nan")], pa.float64(), [1.5, None, None]),
        ("number", [0.1, None], pa.float32(), [float(np.float32(0.1)), None]),
        ("number", [2**53, None, -3], pa.int64(), [2.0**53, None, -3.0]),
        ("number", [255], pa.uint8(), [255.0]),
        (
            "number",
            [Decimal("2.50"), Decimal("0.10"), None],
            pa.decimal128(10, 2),
            [2.5, 0.1, None],
        ),
        ("number", ["2.50", "NA", None], pa.string(), [2.5, None, None]),
        ("number", [None, None], pa.null(), [None, None]),
        ("integer", [2**63 - 1, None], pa.int64(), [2**63 - 1, None]),
        ("integer", [3.0, None, float("nan")], pa.float64(), [3, None, None]),
        ("integer", [Decimal("3.00")], pa.decimal128(5, 2), [3]),
        ("boolean", [True, None, False], pa.bool_(), [True, None, False]),
        ("boolean", [1, 0, None], pa.int8(), [True, False, None]),
        ("boolean", [1.0, float("nan")], pa.float64(), [True, None]),
        ("category", ["a", None, "", "NA"], pa.string(), ["a", None, "", "NA"]),
        ("category", ["a", None], pa.large_string(), ["a", None]),
        ("category", ["a", "b", None, "a"], DICT, ["a", "b", None, "a"]),
        ("category", [7, None], pa.int32(), ["7", None]),
        ("datetime", [NOON, None], pa.timestamp("us", "Europe/Berlin"), [AT, None]),
        ("datetime", [NOON], pa.timestamp("s", "UTC"), [AT]),
        ("datetime", [DAY, "", None], pa.string(), [AT, None, None]),
        ("text", ["a\nb", "", None], pa.string(), ["a\nb", "", None]),
        ("vector", [[1.0, 2.0], None], pa.list_(pa.float32()), [[1.0, 2.0], None]),
        ("vector", [[1.0, 2.0], None], pa.list_(pa.float64(), 2), [[1.0, 2.0], None]),
        ("vector", [[1, 2]], pa.large_list(pa.int64()), [[1.0, 2.0]]),
        ("vector", ["[1, 2]"], pa.string(), [[1.0, 2.0]]),
        ("image", [b"\x00\xff", None], pa.binary(), [b"\x00\xff", None]),
        ("image", [b"ab"], pa.binary(2), [b"ab"]),
        ("image", ["AP8="], pa.string(), [b"\x00\xff"]),
    ],
)
def test_converted_exactly(
    tmp_path: Path, kind: str, held: list[Any], type_: pa.DataType, values: list[Any]
) -> None:
    found = read(tmp_path, kind, pa.array(held, type_), length=2).columns["x"]
    assert found == values
    assert [type(v) for v in found] == [type(v) for v in values]


@pytest.mark.parametrize(
    ("kind", "held", "type_", "said"),
    [
        ("number", [True], pa.bool_(), "column 'x' holds bool, the model's file says number"),
        ("number", [NOON], pa.timestamp("us", "UTC"), "holds timestamp[us, tz=UTC]"),
        ("number", [b"1"], pa.binary(), "holds binary"),
        ("number", [1, 2**53 + 1], pa.int64(), "row 2, column 'x': 9007199254740993 is beyond"),
        ("number", [2**64 - 1], pa.uint64(), "is beyond 2^53"),
        ("number", [Decimal("0.12345678901234567890")], pa.decimal128(30, 20), "more digits"),
        ("number", ["1", "0x10"], pa.string(), "row 2, column 'x': '0x10' is no number"),
        ("integer", [1.0, 2.5], pa.float64(), "row 2, column 'x': 2.5 is no whole number"),
        ("integer", [float("inf")], pa.float64(), "inf is no whole number"),
        ("integer", [False], pa.bool_(), "holds bool, the model's file says integer"),
        ("boolean", [1, 2], pa.int64(), "row 2, column 'x': 2 is neither true nor false"),
        ("boolean", ["perhaps"], pa.string(), "'perhaps' is neither true nor false"),
        ("category", [1.0], pa.float64(), "holds double, the model's file says category"),
        ("category", [True], pa.bool_(), "holds bool, the model's file says category"),
        ("category", [["a"]], pa.list_(pa.string()), "the model's file says category"),
        ("datetime", [NAIVE], pa.timestamp("us"), "holds timestamp[us], the model's file says"),
        ("datetime", [date(2024, 3, 1)], pa.date32(), "holds date32[day]"),
        ("datetime", [int(AT)], pa.int64(), "holds int64, the model's file says datetime"),
        ("datetime", ["2024-03-01 12:00:00"], pa.string(), "has no zone"),
        ("text", [1], pa.int64(), "holds int64, the model's file says text"),
        ("vector", [1.0], pa.float64(), "holds double, the model's file says vector"),
        ("vector", [["a"]], pa.list_(pa.string()), "the model's file says vector"),
        ("vector", [[2**60]], pa.list_(pa.int64()), "is beyond 2^53"),
        ("image", [[1, 2]], pa.list_(pa.uint8()), "the model's file says image"),
    ],
)
def test_refused_with_both_sides(
    tmp_path: Path, kind: str, held: list[Any], type_: pa.DataType, said: str
) -> None:
    with pytest.raises(BadTable, match="TRA-101") as raised:
        read(tmp_path, kind, pa.array(held, type_), length=2)
    assert raised.value.message.startswith("orders.parquet")
    assert said in raised.value.message
    assert raised.value.advice


def test_rows_are_counted_over_batches_and_groups(tmp_path: Path) -> None:
    rows = 150_000
    values = [float(i) for i in range(rows)]
    path = tmp_path / "orders.parquet"
    held = pa.table(
        {"x": values, "y": [i % 2 if i % 3 else None for i in range(rows)], "t": [AT] * rows}
    )
    pq.write_table(held, path, row_group_size=40_000)
    data = read_training_table(path, contract(feature("x", "number")), "y", "t")
    assert (data.rows, data.unlabelled) == (100_000, 50_000)
    assert data.numbers is not None
    assert (np.array(data.columns["x"]) + 1 == data.numbers).all()
    bad = held.set_column(0, "x", pa.array(["1"] * 140_000 + ["a"] + ["1"] * 9_999))
    pq.write_table(bad, path, row_group_size=40_000)
    with pytest.raises(BadTable, match="row 140001, column 'x': 'a'"):
        read_training_table(path, contract(feature("x", "number")), "y", "t")


NAMES = ["mean radius", "größe [cm]", 'a "quoted" name', "X", "x", "a.b", "a", "名前"]


def test_names_are_as_the_model_has_them(tmp_path: Path) -> None:
    """A dot is no path, also beside a struct that has such a field."""
    columns: dict[str, Any] = {name: [float(i), 0.0] for i, name in enumerate(NAMES) if name != "a"}
    columns["a"] = pa.array([{"b": 99.0}, {"b": 99.0}])
    wanted = [name for name in NAMES if name != "a"]
    about = contract(*(feature(name, "number") for name in wanted))
    data = read_training_table(parquet_file(tmp_path, columns), about, "y", "t")
    assert [data.columns[name][0] for name in wanted] == [float(NAMES.index(n)) for n in wanted]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = parquet_file(tmp_path, {"x": [1.0], "z": [2.0]}, ["x", "x", "y", "t"])
    with pytest.raises(BadTable, match=r"orders.parquet has two columns 'x'"):
        read_training_table(path, contract(feature("x", "number")), "y", "t")


@pytest.mark.parametrize(
    ("held", "type_", "times"),
    [
        ([NOON, None], pa.timestamp("ms", "UTC"), [AT]),
        ([NAIVE, None], pa.timestamp("ns"), [AT]),
        ([date(2024, 3, 1), None], pa.date32(), [AT - 43_200]),
        ([int(AT), None], pa.int64(), [AT]),
        ([AT + 0.5, float("nan")], pa.float64(), [AT + 0.5]),
        ([int(AT) * 1_000, None], pa.int64(), [AT]),
        (["2024-03-01", ""], pa.string(), [AT - 43_200]),
    ],
)
def test_times(tmp_path: Path, held: list[Any], type_: pa.DataType, times: list[float]) -> None:
    path = parquet_file(tmp_path, {"x": [1.0, 2.0], "t": pa.array(held, type_)})
    data = read_training_table(path, contract(feature("x", "number")), "y", "t")
    assert data.times.tolist() == times
    assert data.untimed == 1


@pytest.mark.parametrize(
    ("held", "type_", "said"),
    [
        ([321.5], pa.float64(), "row 1, column 't': 321.5 is no time"),
        ([10**18], pa.int64(), "this looks like nanoseconds"),
        ([True], pa.bool_(), "column 't' holds bool, a time is needed"),
        ([datetime(9999, 1, 1)], pa.timestamp("us"), "lies outside of 1900 to 2200"),
        ([float("inf")], pa.float64(), "inf is no time"),
    ],
)
def test_what_is_no_time_is_refused(
    tmp_path: Path, held: list[Any], type_: pa.DataType, said: str
) -> None:
    path = parquet_file(tmp_path, {"x": [1.0], "t": pa.array(held, type_)})
    with pytest.raises(BadTable) as raised:
        read_training_table(path, contract(feature("x", "number")), "y", "t")
    assert said in raised.value.message


@pytest.mark.parametrize(
    ("task", "held", "type_", "labels"),
    [
        (TaskSpec(), [1.0, float("nan"), None, 0.0], pa.float64(), [1, 0]),
        (TaskSpec(), [True, None, False], pa.bool_(), [1, 0]),
        (TaskSpec(positive="yes"), ["yes", "no", None], DICT, [1, 0]),
        (TaskSpec(positive="2"), [1, 2], pa.int64(), [0, 1]),
        (TaskSpec("multiclass", classes=("0", "1", "2")), [2.0, None, 0.0], pa.float64(), [2, 0]),
        (TaskSpec("multiclass", classes=("false", "true")), [True, False], pa.bool_(), [1, 0]),
        (TaskSpec("multilabel", classes=("a", "b")), [["b"], [], None], pa.list_(pa.string()),
         [[0, 1], [0, 0]]),
        (TaskSpec("multilabel", classes=("a", "b")), [[1, 0]], pa.list_(pa.int8()), [[1, 0]]),
        (TaskSpec("regression"), [Decimal("1.10"), None], pa.decimal128(5, 2), [1.1]),
        (TaskSpec("regression", horizons=("1h", "2h")), [[1.0, 2.0], None, [1.0, None]],
         pa.list_(pa.float64()), [[1, 2]]),
    ],
)  # fmt: skip
def test_labels(
    tmp_path: Path, task: TaskSpec, held: list[Any], type_: pa.DataType, labels: list[Any]
) -> None:
    rows = [float(i) for i in range(len(held))]
    path = parquet_file(tmp_path, {"x": rows, "y": pa.array(held, type_)})
    data = read_training_table(path, contract(feature("x", "number"), task=task), "y", "t")
    assert data.labels.tolist() == labels
    assert data.unlabelled == len(held) - len(labels)


def test_a_label_that_is_infinite_or_a_time_is_refused(tmp_path: Path) -> None:
    about = contract(feature("x", "number"), task=TaskSpec("regression"))
    for held in ([float("inf")], [NOON], [b"1"]):
        path = parquet_file(tmp_path, {"x": [1.0], "y": held})
        with pytest.raises(BadTable, match="row 1, column 'y'"):
            read_training_table(path, about, "y", "t")


@pytest.mark.parametrize("cut", [0, 4, -10])
def test_a_damaged_file_says_so(tmp_path: Path, cut: int) -> None:
    path = parquet_file(tmp_path, {"x": [1.0] * 1_000})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BadTable, match=r"orders.parquet is no Parquet file, or it is damaged"):
        read_training_table(path, contract(feature("x", "number")), "y", "t")


def test_a_page_that_is_damaged_says_after_which_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = parquet_file(tmp_path, {"x": rng.normal(size=10_000).tolist()})
    body = bytearray(path.read_bytes())
    body[4:400] = bytes(396)
    path.write_bytes(body)
    with pytest.raises(BadTable, match=r"orders.parquet is damaged after row 0"):
        read_training_table(path, contract(feature("x", "number")), "y", "t")


def test_it_is_told_by_what_it_is_not_by_its_name(tmp_path: Path) -> None:
    path = parquet_file(tmp_path, {"x": [1.0]})
    other = path.rename(tmp_path / "orders.csv")
    assert read_training_table(other, contract(feature("x", "number")), "y", "t").rows == 1
