"""A number that is out of a calendar's range is written as it is, and breaks no file."""

from __future__ import annotations

import math

import pytest

from windvane.usecases.sheet_cells import Moment, cell


@pytest.mark.parametrize("value", [253_402_300_800.0, -1e12, 1e18, 1e300, math.inf])
def test_a_time_that_no_calendar_has_stays_a_number(value: float) -> None:
    found = cell(Moment(value))
    assert type(found) is float
    assert found == value


def test_a_time_that_is_no_number_is_written() -> None:
    assert math.isnan(cell(Moment(math.nan)))


@pytest.mark.parametrize(
    "value", [-42.6, "-42.6", "-1e-05", "-.5", "-9.2233720368547758E+18", "12", "-3."]
)
def test_a_number_is_never_text(value: float | str) -> None:
    assert cell(value) == value


@pytest.mark.parametrize(
    "text",
    ["=1", "+1", "+1+1", "-1-1", "@a", "-a", "-1e5+A1", "-1 ", " -1", "-\u0661", "\t1", "-1,000",
     "-", "\uff0d1", "-1\n", "-0x1F", "-inf"],
)  # fmt: skip
def test_a_text_that_begins_as_a_formula_is_guarded(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_a_time_is_written_with_its_zone() -> None:
    assert cell(Moment(1_700_000_000.0)) == "2023-11-14T22:13:20+00:00"
