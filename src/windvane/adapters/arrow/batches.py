"""What both kinds of files give: some rows at a time, column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Batch:
    """``columns`` by name: a sequence of texts of a CSV file, or an Arrow array. ``place`` says
    where the row of an index is ("row 11 (line 12)"), ``first`` is the number of the first row,
    from 1; the header is none."""

    rows: int
    first: int
    columns: Mapping[str, Any]
    place: Callable[[int], str]


class TableFile(Protocol):
    """An open table."""

    names: list[str]
    notes: list[str]

    def batches(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """All rows of these columns, in order. Raises BadTable."""
        ...
