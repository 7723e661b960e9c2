"""Tables as CSV files: streamed, of a bounded number of rows, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.responses import StreamingResponse

MOST_ROWS = 10_000
_AT_ONCE = 200
# A spreadsheet takes what begins so for a formula, also behind spaces and full-width.
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")


@dataclass(frozen=True, slots=True)
class Sheet:
    """``rows`` are read as they are written; their cells are texts, numbers, truth values, lists,
    None, or `Moment`. ``cut`` is a last line for what was left out."""

    name: str
    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]
    cut: str = ""


class Moment(float):
    """Seconds since the epoch, written as a time with its zone."""

    __slots__ = ()


def moment(at: float | None) -> Moment | None:
    return None if at is None else Moment(at)


def csv_response(sheet: Sheet, about: str) -> StreamingResponse:
    """``about`` is the first part of the file's name."""
    name = re.sub(r"[^\w.-]+", "-", f"{about}-{sheet.name}", flags=re.ASCII).strip("-")
    headers = {
        "Content-Disposition": f'attachment; filename="{name[:120]}.csv"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(lines(sheet), media_type="text/csv; charset=utf-8", headers=headers)


def lines(sheet: Sheet) -> Iterator[str]:
    """The file in pieces, at most ``MOST_ROWS`` rows of it, and a line that says so of more."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([cell(name) for name in sheet.columns])
    for i, row in enumerate(sheet.rows):
        if i == MOST_ROWS:
            writer.writerow([f"(cut after {MOST_ROWS:,} rows: ask for fewer)"])
            break
        writer.writerow([cell(value) for value in row])
        if i % _AT_ONCE == _AT_ONCE - 1:
            yield _taken(out)
    if sheet.cut:
        writer.writerow([cell(sheet.cut)])
    yield _taken(out)


def _taken(out: io.StringIO) -> str:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text


def cell(value: Any) -> Any:
    """As it is written. A text that a spreadsheet would run begins with an apostrophe, by which
    spreadsheets know a text; numbers stay numbers."""
    match value:
        case None:
            return ""
        case Moment():
            found = dt.datetime.fromtimestamp(value, dt.UTC)
            return found.isoformat(timespec="microseconds" if found.microsecond else "seconds")
        case bool():
            return "true" if value else "false"
        case int() | float():
            return value
        case bytes():
            return f"{len(value)} bytes"
        case Mapping() | list() | tuple():
            return _text(json.dumps(value, ensure_ascii=False, default=str))
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text
