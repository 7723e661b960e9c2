"""CSV: types are declared, and every fault names the file, the row, the column and the cell."""

from __future__ import annotations

import csv
import gzip
import math
from pathlib import Path
from typing import Any

import pytest
from contracts.training_table.tables import (
    AT,
    BINARY,
    DAY,
    contract,
    csv_file,
    feature,
    text_file,
)  # fmt: skip

from windvane.adapters.arrow import BadTable, read_training_table
from windvane.core.task import Contract, TaskSpec
from windvane.ports.learner import TrainingData

TEXTS = ["yes", "no", "T", "F", "01/02/2024", "2.50", "08:30", "0x10", "NA", "null", "1e3", " a "]


def column(folder: Path, kind: str, cells: list[str], **given: Any) -> TrainingData:
    path = csv_file(folder, ["x", "y", "t"], [[one, i % 2, DAY] for i, one in enumerate(cells)])
    return read_training_table(path, contract(feature("x", kind, **given)), "y", "t")


@pytest.mark.parametrize("kind", ["category", "text"])
def test_a_name_keeps_its_very_text(tmp_path: Path, kind: str) -> None:
    assert column(tmp_path, kind, TEXTS).columns["x"] == TEXTS


def test_a_name_that_means_null_elsewhere_is_kept_and_said(tmp_path: Path) -> None:
    data = column(tmp_path, "category", ["NA", "US", "NA", ""])
    assert data.columns["x"] == ["NA", "US", "NA", None]
    assert "x: 2 cells are the text 'NA'; only an empty cell is null there" in data.notes


@pytest.mark.parametrize(
    ("kind", "cells", "values"),
    [
        ("number", ["2.50", "-1e3", " 7", ".5", "1.", "+3"], [2.5, -1000.0, 7.0, 0.5, 1.0, 3.0]),
        ("number", ["", "NA", "n/a", "NULL", "NaN", "None", "NaT", "<NA>", "\\N"], [None] * 9),
        ("number", ["9007199254740993", "0.1"], [9007199254740992.0, 0.1]),
        ("integer", ["3", "3.0", "1e3", "", "9007199254740993"], [3, 3, 1000, None, 2**53 + 1]),
        ("integer", ["9007199254740993.0"], [2**53 + 1]),
        ("boolean", ["yes", "F", "TRUE", "0", "", "off"], [True, False, True, False, None, False]),
        ("datetime", [DAY, "", "2024-03-01 13:00:00.5+01:00"], [AT, None, AT + 0.5]),
        ("datetime", [DAY, ""], [AT, None]),
        ("image", ["AAE=", ""], [b"\x00\x01", None]),
    ],
)
def test_cells_are_read_by_the_declared_type(
    tmp_path: Path, kind: str, cells: list[str], values: list[Any]
) -> None:
    found = column(tmp_path, kind, cells).columns["x"]
    assert found == values
    assert [type(v) for v in found] == [type(v) for v in values]


@pytest.mark.parametrize("text", ["[1, 2.5]", "1;2.5", "1|2.5", "[1. 2.5]", "1,2.5"])
def test_a_vector_is_numbers_in_one_cell(tmp_path: Path, text: str) -> None:
    assert column(tmp_path, "vector", [text, ""], length=2).columns["x"] == [[1.0, 2.5], None]


@pytest.mark.parametrize(
    ("kind", "bad", "said"),
    [
        ("number", "0x10", "'0x10' is no number; the model's file says number"),
        ("number", "1_000", "'1_000' is no number"),
        ("number", "3,5", "'3,5' is no number; a decimal point is needed"),
        ("number", "١٢", "is no number"),
        ("number", "1e999", "'1e999' is too large"),
        ("number", "inf", "'inf' is no number"),
        ("number", "yes", "'yes' is no number"),
        ("number", "9" * 5_000, "is no number"),
        ("integer", "2.5", "'2.5' is no whole number; the model's file says integer"),
        ("integer", "9007199254740992.5", "is no whole number"),
        ("integer", "0x10", "'0x10' is no number"),
        ("boolean", "maybe", "'maybe' is neither true nor false; the model's file says boolean"),
        ("datetime", "2024-03-01 12:00:00", "has no zone"),
        ("datetime", "01/02/2024", "is no time such as"),
        ("datetime", "2024-02-30T00:00:00Z", "is no time that there is"),
        ("datetime", "2024-02-30 00:00:00Z", "is no time that there is"),
        ("vector", "1,,2", "'' is no number"),
        ("vector", "1,a", "'a' is no number"),
        ("image", "not base64!", "is no base64"),
    ],
)
def test_a_cell_of_another_type_is_named(tmp_path: Path, kind: str, bad: str, said: str) -> None:
    good = {"datetime": DAY, "vector": "1,2", "image": "AAE="}.get(kind, "1")
    with pytest.raises(BadTable, match="TRA-101") as raised:
        column(tmp_path, kind, [good, good, bad, good], length=2)
    assert raised.value.message.startswith("orders.csv, row 3 (line 4), column 'x': ")
    assert said in raised.value.message
    assert len(raised.value.message) < 300


def test_the_first_bad_row_is_named_wherever_it_lies(tmp_path: Path) -> None:
    """Batches end at 2,048 rows; a cell with a line break makes lines and rows differ."""
    cells = ["1"] * 5_000
    cells[4_321], cells[4_900] = "a", "b"
    rows = [[one, i % 2, DAY, "two\r\nlines" if i < 10 else ""] for i, one in enumerate(cells)]
    path = csv_file(tmp_path, ["x", "y", "t", "note"], rows)
    with pytest.raises(BadTable, match=r"row 4322 \(line 4333\), column 'x': 'a' is no number"):
        read_training_table(path, contract(feature("x", "number")), "y", "t")


NAMES = ["mean radius", "größe [cm]", 'a "quoted" name', "X", "x", "a.b", "a,b", "名前", "SELECT"]


def test_names_are_as_the_model_has_them(tmp_path: Path) -> None:
    features = [feature(name, "number") for name in NAMES]
    rows = [[*range(len(NAMES)), 1, DAY], [*range(10, 10 + len(NAMES)), 0, DAY]]
    path = csv_file(tmp_path, [*NAMES, "y", "t"], rows)
    data = read_training_table(path, contract(*features), "y", "t")
    assert {name: held[0] for name, held in data.columns.items()} == {
        name: float(i) for i, name in enumerate(NAMES)
    }


def read(path: Path, features: Contract | None = None, **given: Any) -> TrainingData:
    about = features or contract(feature("x", "number"))
    return read_training_table(
        path, about, given.pop("label", "y"), given.pop("time", "t"), **given
    )


PLAIN = f"x,y,t\n1,0,{DAY}\n2,1,{DAY}\n"


@pytest.mark.parametrize(
    "body",
    [
        PLAIN,
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.rstrip("\n"),
        PLAIN.replace("\n", "\n\n"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        gzip.compress(PLAIN.encode(), mtime=0),
        f'"x","y","t","extra"\n"1","0","{DAY}","a ""b"", c"\n2,1,{DAY},\n',
    ],
)
def test_files_as_programs_write_them(tmp_path: Path, body: str | bytes) -> None:
    data = read(text_file(tmp_path, body))
    assert data.columns == {"x": [1.0, 2.0]}
    assert data.labels.tolist() == [0.0, 1.0]
    assert data.times.tolist() == [AT, AT]
    assert data.numbers is not None
    assert data.numbers.tolist() == [1, 2]


def test_another_separator_is_said(tmp_path: Path) -> None:
    assert (
        "orders.csv is separated by semicolons"
        in read(text_file(tmp_path, PLAIN.replace(",", ";"))).notes
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "orders.csv is empty"),
        ("\n\n", "orders.csv is empty"),
        ("x,y,t\n", "orders.csv has a header and no rows"),
        (PLAIN + "3,1\n", "row 3 (line 4): the header names 3 columns, this row has 2 cells"),
        (PLAIN + "3,5,1,t\n", "row 3 (line 4): the header names 3 columns, this row has 4 cells"),
        ("x,x,y,t\n1,2,0,t\n", "orders.csv has two columns 'x'"),
        (PLAIN + '3,"1,' + DAY, "line 4: a quote is opened here and never closed"),
        (PLAIN + f'"a"b,1,{DAY}\n', "line 4: a quote within a cell is not doubled"),
        (PLAIN + "3," + "1" * (9 << 20) + ",t\n", "line 4: a cell is longer than 8 MiB"),
        (PLAIN.encode() + b"\xff,1,2\n", "line 4 is not UTF-8"),
        (PLAIN.encode("utf-16"), "orders.csv is a text in UTF-16"),
        (b"PK\x03\x04rest", "orders.csv is a spreadsheet or an archive"),
        (gzip.compress(PLAIN.encode() * 50, mtime=0)[:-30], "it is cut off or damaged"),
        ("z,y,t\n1,0,t\n", "orders.csv has no column 'x'"),
        ("X,y,t\n1,0,t\n", "orders.csv has no column 'x'"),
    ],
)
def test_files_that_cannot_be_read_say_why(tmp_path: Path, body: str | bytes, said: str) -> None:
    with pytest.raises(BadTable) as raised:
        read(text_file(tmp_path, body))
    assert said in raised.value.message
    assert csv.field_size_limit() == 131_072  # the process's bound is as it was


def test_a_missing_column_has_a_near_one(tmp_path: Path) -> None:
    path = text_file(tmp_path, f"distanc,y,t\n1,0,{DAY}\n")
    with pytest.raises(BadTable, match="no column 'distance'") as raised:
        read(path, contract(feature("distance", "number")))
    assert raised.value.advice == "did you mean 'distanc'?"


def test_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="there is no file"):
        read(tmp_path / "none.csv")
    with pytest.raises(BadTable, match="is a folder"):
        read(tmp_path)


def test_a_view_that_is_left_out_may_be_absent(tmp_path: Path) -> None:
    about = contract(feature("x", "number"), feature("z", "number", view="weather"))
    path = text_file(tmp_path, PLAIN)
    with pytest.raises(BadTable, match="no column 'z'"):
        read(path, about)
    data = read(path, about, without=["weather"])
    assert data.columns == {"x": [1.0, 2.0], "z": [None, None]}
    assert data.absent == {"z"}


def test_the_label_is_no_feature(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="the label 'x' is a feature"):
        read(text_file(tmp_path, PLAIN), label="x")


def timed(folder: Path, *cells: str) -> TrainingData:
    rows = [[i, i % 2, one] for i, one in enumerate(cells)]
    return read(csv_file(folder, ["x", "y", "t"], rows))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (DAY, AT), ("2024-03-01T12:00:00", AT), ("2024-03-01 12:00:00", AT),
        ("2024-03-01 12:00", AT), ("2024-03-01", AT - 43_200), ("2024-03-01T13:00:00+01:00", AT),
        ("2024-03-01 12:00:00.250", AT + 0.25), ("1709294400", AT), ("1709294400.5", AT + 0.5),
        ("1709294400000", AT), ("1.7092944e9", AT), ("1969-12-31T23:59:59Z", -1.0),
    ],
)  # fmt: skip
def test_times(tmp_path: Path, text: str, at: float) -> None:
    assert timed(tmp_path, text, text).times.tolist() == [at, at]


def test_how_times_were_taken_is_said(tmp_path: Path) -> None:
    notes = timed(tmp_path, "2024-03-01", "2024-03-02 10:00:00", DAY).notes
    assert "t: 2 times without a zone are taken as UTC" in notes
    assert "times from 2024-03-01T00:00:00Z to 2024-03-02T10:00:00Z" in notes
    assert "t: milliseconds since the epoch" in timed(tmp_path, "1709294400000").notes


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["3.2", "7"], "row 1 (line 2), column 't': 3.2 is no time"),
        (["3.2"], "this looks like a measurement"),
        (["17"], "this looks like an id or a count"),
        (["2024"], "this looks like a year"),
        (["20240301"], "this looks like a day without dashes"),
        (["45352.5"], "this may be a spreadsheet's day number"),
        (["1709294400000000"], "this looks like microseconds"),
        (["1709294400000000000"], "this looks like nanoseconds"),
        (["0"], "0 is no time"),
        (["1709294400", "1709294400000"], "are milliseconds, rows before have seconds"),
        (["01/02/2024"], "whether the day or the month comes first is not known"),
        (["soon"], "'soon' is no time"),
        (["2024-13-01"], "'2024-13-01' is no time"),
        (["9999-12-31"], "lies outside of 1900 to 2200"),
        (["9999-12-31 00:00:00"], "lies outside of 1900 to 2200"),
        (["0000-01-01 00:00:00"], "lies outside of 1900 to 2200"),
        (["2024-03-01T12:00:00X"], "is no time"),
        (["2024-03-01 12:00:00", "2024-03-01 12:00:00\n2024-03-01 13:00:00"], "row 2 (line 3)"),
    ],
)
def test_what_is_no_time_is_refused(tmp_path: Path, cells: list[str], said: str) -> None:
    with pytest.raises(BadTable) as raised:
        timed(tmp_path, *cells)
    assert said in raised.value.message


def test_rows_without_a_time_are_left_out_and_counted(tmp_path: Path) -> None:
    data = timed(tmp_path, DAY, "", "NaT", "2024-03-01 12:00:00")
    assert (data.rows, data.untimed, data.unlabelled) == (2, 2, 0)
    assert data.columns["x"] == [0.0, 3.0]
    assert data.times.min() == AT
    assert "2 of 4 rows have no time and are left out" in data.notes
    with pytest.raises(BadTable, match="none of 2 rows has a label and a time \\('y', 't'\\)"):
        timed(tmp_path, "", "null")


def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    """What else is wrong with them does not matter; rows keep their numbers."""
    rows = [["1", "0", DAY], ["bad", "", "never"], ["2", "NaN", DAY], ["3", "1.0", DAY]]
    rows[1][2] = DAY
    data = read(csv_file(tmp_path, ["x", "y", "t"], rows))
    assert (data.rows, data.unlabelled) == (2, 2)
    assert data.columns["x"] == [1.0, 3.0]
    assert data.numbers is not None
    assert data.numbers.tolist() == [1, 4]
    assert "2 of 4 rows have no label and are left out" in data.notes
    rows.append(["worse", "1", DAY])
    with pytest.raises(BadTable, match=r"row 5 \(line 6\), column 'x': 'worse'"):
        read(csv_file(tmp_path, ["x", "y", "t"], rows))


def labelled(folder: Path, task: TaskSpec, *cells: Any, columns: str = "y") -> TrainingData:
    names = columns.split(",")
    rows = [[i, *(one if isinstance(one, list) else [one]), DAY] for i, one in enumerate(cells)]
    path = csv_file(folder, ["x", *names, "t"], rows)
    return read(path, contract(feature("x", "number"), task=task), label=columns)


YES = TaskSpec(positive="yes")
THREE = TaskSpec("multiclass", classes=("a", "b", "NA"))
DIGITS = TaskSpec("multiclass", classes=("0", "1", "2"))
TAGS = TaskSpec("multilabel", classes=("a", "b"))
TWO = TaskSpec("regression", outputs={"height": (), "weight": ()})
HOURS = TaskSpec("regression", horizons=("1h", "2h"))


@pytest.mark.parametrize(
    ("task", "cells", "labels"),
    [
        (BINARY, ["0", "1.0", "true", "False"], [0, 1, 1, 0]),
        (YES, ["yes", "no", "no", ""], [1, 0, 0]),
        (TaskSpec(positive="1"), ["1", "0", "1.0"], [1, 0, 1]),
        (TaskSpec(positive="0"), ["1", "0", "0.0"], [0, 1, 1]),
        (TaskSpec(positive="true"), ["True", "false"], [1, 0]),
        (TaskSpec(positive="a", classes=("a", "b", "c")), ["a", "b", "c"], [1, 0, 0]),
        (THREE, ["a", "NA", "null", "b"], [0, 2, 1]),
        (DIGITS, ["2", "1.0", "0"], [2, 1, 0]),
        (TAGS, ["a|b", "b", "|", "", "0|1"], [[1, 1], [0, 1], [0, 0]]),
        (TaskSpec("regression"), ["1.5", "nan", "-2"], [1.5, -2]),
        (HOURS, ["1;2", "[3, 4]"], [[1, 2], [3, 4]]),
        (TaskSpec("ranking"), ["0", "3"], [0, 3]),
        (TaskSpec("tensor", outputs={"e": (2,)}), ["1", "2.5"], [1, 2.5]),
    ],
)
def test_labels_are_the_tasks_own(
    tmp_path: Path, task: TaskSpec, cells: list[str], labels: list[Any]
) -> None:
    if task is TAGS:
        cells = cells[:-1]
    assert labelled(tmp_path, task, *cells).labels.tolist() == labels


@pytest.mark.parametrize(
    ("task", "cells", "said"),
    [
        (BINARY, ["yes"], "labels must be 0 or 1, got 'yes'"),
        (BINARY, ["2"], "labels must be 0 or 1, got 2.0"),
        (YES, ["yes", "no", "Yes"], "the positive label is 'yes', and there are 2 others"),
        (TaskSpec(positive="1"), ["1", "0", "2"], "there are 2 others: '0', '2'"),
        (TaskSpec(positive="a", classes=("a", "b")), ["c"], "the label 'c' is none of a, b"),
        (THREE, ["A"], "the label 'A' is none of the classes"),
        (TAGS, ["a|c"], "the label 'c' is none of the classes"),
        (TaskSpec("regression"), ["much"], "the label 'much' is no number"),
        (TaskSpec("regression", low=0.0), ["-1"], "the label -1 is outside 0 to 1e+100"),
        (HOURS, ["1;2;3"], "a label has 2 numbers"),
        (TaskSpec("ranking"), ["-1"], "a relevance lies from 0 to 1000"),
    ],
)
def test_labels_that_the_task_has_not_are_refused(
    tmp_path: Path, task: TaskSpec, cells: list[str], said: str
) -> None:
    with pytest.raises(BadTable) as raised:
        labelled(tmp_path, task, *cells)
    assert raised.value.message.startswith("orders.csv")
    assert said in raised.value.message


def test_several_columns_of_labels(tmp_path: Path) -> None:
    """By their names where these are the task's, else in the order given, which is said."""
    data = labelled(tmp_path, TWO, ["70", "1.8"], ["80", ""], columns="weight,height")
    assert data.labels.tolist() == [[1.8, 70.0]]
    assert data.unlabelled == 1
    data = labelled(tmp_path, TWO, ["70", "1.8"], columns="w,h")
    assert data.labels.tolist() == [[70.0, 1.8]]
    assert "labels are taken in the order w, h" in data.notes
    with pytest.raises(BadTable, match="a label has 2 numbers"):
        labelled(tmp_path, TWO, ["70", "1.8", "3"], columns="a,b,c")
    assert labelled(tmp_path, TAGS, ["0", "1"], columns="b,a").labels.tolist() == [[1, 0]]


def test_a_column_may_have_a_comma_in_its_name(tmp_path: Path) -> None:
    path = csv_file(tmp_path, ["x", "late, really", "t"], [[1, 1, DAY]])
    assert read(path, label="late, really").labels.tolist() == [1.0]


def test_no_message_is_of_another_program(tmp_path: Path) -> None:
    for body in (PLAIN + '"', PLAIN + "a,b,c", "x;y\n", "\x00", PLAIN + "\x00,1,t\n"):
        with pytest.raises(BadTable) as raised:
            read(text_file(tmp_path, body))
        message = str(raised.value).lower()
        assert not any(w in message for w in ("select", "duckdb", "arrow", "traceback", "_csv"))


def test_a_number_is_what_any_reader_makes_of_it(tmp_path: Path) -> None:
    cells = ["5e-324", "1.7976931348623157e308", "0.1", "-0.0", "123456789.123456789"]
    found = column(tmp_path, "number", cells).columns["x"]
    assert found == [float(one) for one in cells]
    assert math.copysign(1.0, found[3]) == -1.0
