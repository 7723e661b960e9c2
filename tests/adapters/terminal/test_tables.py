"""Rows under titles: as wide as they need to be, and nothing cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from windvane.adapters.terminal import Column, lay_out

COLUMNS = [
    Column("incident", whole=True), Column("severity"), Column("n", right=True), Column("what"),
]  # fmt: skip
LONG = "order-late-tenant-default-1795271370-with-a-name-that-is-long"
SENTENCE = "refused 62.5%, 5.0% allowed, since the client of that tenant sends text for a number"
ROWS = [[LONG, "high", "7", SENTENCE], ["b", "", "1,234", ""]]


def test_a_pipe_gets_a_line_for_each_row_with_everything_in_it() -> None:
    title, first, second = lay_out(COLUMNS, ROWS, None)
    assert title.split() == ["incident", "severity", "n", "what"]
    assert re.split(r" {2,}", first) == [LONG, "high", "7", SENTENCE]
    assert second.split() == ["b", "-", "1,234", "-"], "a word for each column"
    assert first.index("  7  ") + 3 == second.index("1,234") + 5, "numbers end below each other"


def test_a_terminal_wraps_words_and_keeps_ids_whole() -> None:
    lines = lay_out(COLUMNS, ROWS, 100)
    assert max(map(cell_len, lines)) <= 100
    assert lines[1].startswith(LONG)
    begin = lines[0].index("what")
    assert " ".join(line[begin:].strip() for line in lines[1:-1]) == SENTENCE
    assert len(lines) > 3, "it is spread over lines"


def test_where_ids_and_words_do_not_fit_each_cell_has_a_line() -> None:
    lines = lay_out(COLUMNS, ROWS, 70)
    assert lines[:3] == [f"incident  {LONG}", "severity  high", "n         7"]
    end = lines.index("")
    assert end < len(lines), "rows are apart"
    assert all(line[:10] == " " * 10 for line in lines[4:end]), "below where it began"
    assert " ".join(line[10:] for line in lines[3:end]) == SENTENCE
    assert max(map(cell_len, lines[1:])) <= 70


def test_a_cell_cannot_move_the_cursor() -> None:
    (line,) = lay_out([Column("name")], [["a\x1b[2Jb\nc"]], None)[1:]
    assert line == "a [2Jb c"


def test_a_row_of_another_length_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        lay_out([Column("a"), Column("b")], [["1"]], None)


def test_a_table_of_no_rows_has_its_titles() -> None:
    assert lay_out(COLUMNS, [], 10) == ["incident  severity  n  what"]


WORDS = st.lists(
    st.text(st.characters(categories=["Lu", "Ll", "Lo", "Nd"]), min_size=1, max_size=20),
    max_size=6,
).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=4), st.none() | st.integers(1, 120))
def test_no_character_is_lost_at_any_width(
    rows: list[tuple[str, str, str]], width: int | None
) -> None:
    columns = [Column("id", whole=True), Column("name"), Column("n", right=True)]
    lines = lay_out(columns, rows, width)
    text = "".join("".join(lines).split())
    cells = [" ".join(cell.split()) for row in rows for cell in row]
    for character in set("".join(cells)) - {" "}:
        assert text.count(character) >= sum(cell.count(character) for cell in cells)
    joined = "\n".join(lines)
    for row in rows:
        assert (" ".join(row[0].split()) or "-") in joined, "a whole cell is on one line"
