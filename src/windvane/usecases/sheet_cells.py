"""Values as cells of a CSV file that is safe to open in a spreadsheet."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import Any

# A spreadsheet takes what begins so for a formula, also behind spaces and full-width.
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
# Which is no formula; what begins with a plus (a telephone) no number writes itself as.
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


class Moment(float):
    """Seconds since the epoch, written as a time with its zone."""

    __slots__ = ()


def cell(value: Any) -> Any:
    """As it is written. A text that a spreadsheet would run begins with an apostrophe, by which
    spreadsheets know a text; numbers stay numbers, also those that a page has written already
    (`-42.6`), as does a time that no calendar has."""
    match value:
        case None:
            return ""
        case Moment():
            try:
                found = dt.datetime.fromtimestamp(value, dt.UTC)
            except (ValueError, OverflowError, OSError):
                return float(value)
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
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
