"""The column that says when each row was known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.types as of

from windvane.adapters.arrow.cells import (
    Values,
    fast_times,
    is_null_word,
    is_text,
    number_values,
    plain_array,
    seconds_of,
)
from windvane.adapters.arrow.faults import CellFault, TypeFault
from windvane.core.signature import parse_time, read_number, show

_EARLIEST = -2_208_988_800  # 1900
_LATEST = 7_258_118_400  # 2200
_FROM = 631_152_000  # 1990
_UNTIL = 4_102_444_800  # 2100
_UNITS = {"seconds": 1, "milliseconds": 1_000}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ZONELESS = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,]{5,30}")
_NUMBER = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?")
_MOST_KEPT = 100_000
_HINT = "a time is 2026-11-28T17:45:00+01:00, a day is 2026-11-28; or seconds since the epoch"
_FAR = "lies outside of 1900 to 2200"
_FAR_HINT = "leave a time empty that is not known"
_NO_TIME = "give --time the column of the time at which each row was known"


class TimeReader:
    """Seconds since the epoch, None where a row has no time.

    Texts are ISO 8601; without a zone they are taken as UTC, and ``notes`` says so. Numbers are
    seconds or milliseconds since the epoch, the same for the whole column, from 1990 to 2100: a
    distance or an id is none.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._unit = ""
        self._zoneless = 0
        self._known: dict[str, tuple[float | None, bool]] = {}

    def read(self, column: Any) -> Values:
        """Raises CellFault, TypeFault."""
        if not isinstance(column, pa.Array):
            return self._texts(column)
        array = plain_array(column)
        kind = array.type
        if of.is_null(kind):
            return [None] * len(array)
        if is_text(kind):
            return self._texts(array.to_pylist())
        if of.is_timestamp(kind):
            self._zoneless += len(array) - array.null_count if kind.tz is None else 0
            return _in_range(seconds_of(array))
        if of.is_date(kind):
            self._zoneless += len(array) - array.null_count
            return _in_range(seconds_of(array.cast(pa.timestamp("ms"))))
        if not (of.is_integer(kind) or of.is_floating(kind) or of.is_decimal(kind)):
            raise TypeFault(str(kind), _NO_TIME)
        return [
            None if value is None else self._number(index, value)
            for index, value in enumerate(_plain_numbers(array))
        ]

    def notes(self) -> list[str]:
        found = [f"{self._name}: {self._unit} since the epoch"] if self._unit else []
        if self._zoneless:
            found.append(f"{self._name}: {self._zoneless:,} times without a zone are taken as UTC")
        return found

    def _texts(self, cells: Sequence[str | None]) -> Values:
        fast = fast_times(cells)
        if fast is not None:
            naive = (cells[0] or "")[-1:] != "Z"
            self._zoneless += len(cells) - fast.count(None) if naive else 0
            return _in_range(fast)
        known = self._known
        if len(known) > _MOST_KEPT:
            known.clear()
        found: Values = []
        for index, cell in enumerate(cells):
            if cell is None:
                found.append(None)
                continue
            held = known.get(cell)
            if held is None:
                held = self._parse(index, cell)
                if held[0] is not None and not _EARLIEST <= held[0] < _LATEST:
                    raise CellFault(index, f"{show(cell)} {_FAR}", _FAR_HINT)
                known[cell] = held
            found.append(held[0])
            self._zoneless += held[1]
        return found

    def _parse(self, index: int, cell: str) -> tuple[float | None, bool]:
        """The time, and whether its zone was missing."""
        if is_null_word(cell):
            return None, False
        word = cell.strip()
        try:
            if len(word) <= 64 and _NUMBER.fullmatch(word):
                return self._number(index, read_number(word)), False
            if _DAY.fullmatch(word):
                return parse_time(f"{word}T00:00Z"), True
            if len(word) <= 64 and _ZONELESS.fullmatch(word):
                return parse_time(f"{word}Z"), True
            return parse_time(word), False
        except ValueError as error:
            raise CellFault(index, f"{show(cell)} is no time{_looks_like_text(word)}", _HINT) from (
                error
            )

    def _number(self, index: int, value: float) -> float:
        unit = next((u for u, size in _UNITS.items() if _FROM <= value / size < _UNTIL), "")
        if not unit:
            raise CellFault(
                index,
                f"{value:.15g} is no time: numbers are seconds or milliseconds since the epoch, "
                f"from 1990 to 2100{_looks_like(value)}",
                _NO_TIME,
            )
        self._unit = self._unit or unit
        if unit != self._unit:
            raise CellFault(index, f"{value:.15g} are {unit}, rows before have {self._unit}", _HINT)
        return value / _UNITS[unit]


def _plain_numbers(array: pa.Array) -> Values:
    """Numbers for the range check only: nanoseconds are refused there, not for their size."""
    if of.is_integer(array.type):
        array = array.cast(pa.float64(), safe=False)
    return number_values(array)


def _in_range(times: Values) -> Values:
    for index, at in enumerate(times):
        if at is not None and not _EARLIEST <= at < _LATEST:
            raise CellFault(index, f"{at:.0f} s since the epoch {_FAR}", _FAR_HINT)
    return times


def _looks_like(value: float) -> str:
    whole = float(value).is_integer()
    if whole and 1900 <= value < 2200:
        return "; this looks like a year"
    if whole and 19_000_101 <= value <= 21_991_231 and 1 <= value // 100 % 100 <= 12:
        return "; this looks like a day without dashes"
    if 32_000 <= value < 73_051:
        return "; this may be a spreadsheet's day number"
    for unit, size in (("microseconds", 1e6), ("nanoseconds", 1e9)):
        if _FROM <= value / size < _UNTIL:
            return f"; this looks like {unit}"
    return "; this looks like an id or a count" if whole else "; this looks like a measurement"


def _looks_like_text(word: str) -> str:
    if re.fullmatch(r"[0-9]{1,2}[/.][0-9]{1,2}[/.][0-9]{2,4}.{0,20}", word):
        return ": whether the day or the month comes first is not known"
    return ""


def shown_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
