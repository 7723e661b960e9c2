"""What can be wrong with a table, from one cell to the whole file."""

from __future__ import annotations

from typing import ClassVar

from windvane.core.errors import WindvaneError

_SHOWN = 60


class BadTable(WindvaneError):
    """The training table cannot be read, or lacks a column."""

    code: ClassVar[str] = "TRA-101"
    hint = "a CSV or Parquet file with one column a feature, the label and the time"


class CellFault(Exception):
    """One cell is wrong: ``index`` is its place in the batch. Not for people: who reads the
    batch knows the file and the row, and raises BadTable."""

    def __init__(self, index: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.index = index
        self.message = message
        self.hint = hint


class TypeFault(Exception):
    """A whole column is of a type that cannot become what is needed."""

    def __init__(self, held: str, hint: str) -> None:
        super().__init__(held)
        self.held = held
        self.hint = hint


def quoted(name: str) -> str:
    """A column's name for a message."""
    return repr(name if len(name) <= _SHOWN else name[: _SHOWN - 3] + "...")
