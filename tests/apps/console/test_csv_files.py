"""Tables as files: what a spreadsheet would run is a text, and nothing else changes."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.apps.console.csv_files import MOST_ROWS, Moment, Sheet, cell, csv_response, lines

_RUN = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def read(sheet: Sheet) -> list[list[str]]:
    return list(csv.reader(io.StringIO("".join(lines(sheet)), newline="")))


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("http://x")', "+1", "-2+3", "@SUM(A1)", "\t=1", "  =1", "\n=1", "＝1"]
)
def test_a_formula_is_a_text(text: str) -> None:
    assert cell(text) == "'" + text
    assert read(Sheet("t", ["=a"], [[text]])) == [["'=a"], ["'" + text]]
    assert str(cell([text])).startswith("[")


@given(st.text(max_size=40))
def test_no_text_begins_as_a_formula_and_all_come_back(text: str) -> None:
    written = str(cell(text))
    assert not written.lstrip(" ").startswith(_RUN)
    assert written.removeprefix("'") == text.removeprefix("'")
    if "\0" not in text and "\r" not in text:
        assert read(Sheet("t", ["a"], [[text, "end"]]))[1] == [written, "end"]


@pytest.mark.parametrize(
    ("value", "written"),
    [(-1.5, -1.5), (7, 7), (None, ""), (True, "true"), (b"ab", "2 bytes"),
     (Moment(1_361_923_200.0), "2013-02-27T00:00:00+00:00"),
     (Moment(1_361_923_200.25), "2013-02-27T00:00:00.250000+00:00"), (["a", 1], '["a", 1]')],
)  # fmt: skip
def test_numbers_stay_numbers_and_times_have_their_zone(value: Any, written: Any) -> None:
    assert cell(value) == written


def test_a_file_is_streamed_bounded_and_says_what_it_left_out() -> None:
    read_so_far = 0

    def rows() -> Any:
        nonlocal read_so_far
        for i in range(MOST_ROWS + 5_000):
            read_so_far = i
            yield (i,)

    pieces = lines(Sheet("t", ["n"], rows()))
    next(pieces)
    assert read_so_far < 1_000, "the first piece leaves before all is read"
    found = "".join(pieces).splitlines()
    assert read_so_far == MOST_ROWS
    assert found[-1] == '"(cut after 10,000 rows: ask for fewer)"'
    assert found[-2] == str(MOST_ROWS - 1)
    assert "".join(lines(Sheet("t", ["n"], [], "(cut)"))).splitlines() == ["n", "(cut)"]


def test_the_files_name_is_no_header_of_its_own() -> None:
    answer = csv_response(Sheet('a"; x\r\nSet-Cookie: y', ["n"], []), "flight/delay ü")
    assert answer.headers["content-disposition"] == (
        'attachment; filename="flight-delay--a-x-Set-Cookie-y.csv"'
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
