"""Tables as CSV files: streamed, of a bounded number of rows, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.responses import StreamingResponse

from windvane.usecases.sheet_cells import Moment, cell

__all__ = ["MOST_ROWS", "Moment", "Sheet", "cell", "csv_response", "lines", "moment"]

MOST_ROWS = 10_000
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Sheet:
    """``rows`` are read as they are written; their cells are texts, numbers, truth values, lists,
    None, or `Moment`. ``cut`` is a last line for what was left out."""

    name: str
    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]
    cut: str = ""


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
