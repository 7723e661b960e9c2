"""Rows under titles, in as much room as there is, with nothing cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len
from rich.text import Text

_GAP = 2
_LEAST = 12  # cells that a column is wrapped to at most; narrower ones cannot be read
_EMPTY = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title. ``whole``: an id, a name, a version or a code, which is copied from the
    table, so that it stays on one line however narrow a terminal is. ``right``: its numbers end
    below each other."""

    title: str
    whole: bool = False
    right: bool = False


def lay_out(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    """The lines of a table, its titles first, for a terminal of ``width`` cells; None for a pipe
    or a file, where each row is one line.

    Where they are too wide the columns that are not ``whole`` are wrapped, the widest first;
    where even that does not fit, each row becomes lines of its own, a cell a line. An empty cell
    is a dash, so that a row has as many words as it has columns. Raises ValueError for a row of
    another length.
    """
    cells = [[_plain(cell) for cell in row] for row in rows]
    if any(len(row) != len(columns) for row in cells):
        raise ValueError(f"a row needs {len(columns)} cells")
    natural = [
        max([cell_len(column.title), *(cell_len(row[i]) for row in cells)])
        for i, column in enumerate(columns)
    ]
    room = None if width is None else width - _GAP * (len(columns) - 1)
    widths = natural if room is None else _fitted(columns, natural, room)
    if widths is None:
        return _stacked(columns, cells, width)
    lines: list[str] = []
    for row in ([column.title for column in columns], *cells):
        parts = [_wrapped(cell, widths[i]) for i, cell in enumerate(row)]
        for texts in zip_longest(*parts, fillvalue=""):
            aligned = (
                _pad(text, widths[i], right=columns[i].right) for i, text in enumerate(texts)
            )
            lines.append((" " * _GAP).join(aligned).rstrip())
    return lines


def _fitted(columns: Sequence[Column], natural: Sequence[int], room: int) -> list[int] | None:
    """Widths that sum up to ``room`` at most; None where there are none."""
    widths = list(natural)
    least = [
        size if c.whole else min(size, _LEAST) for c, size in zip(columns, natural, strict=True)
    ]
    if sum(least) > room:
        return None
    while (over := sum(widths) - room) > 0:
        spare = [size - low for size, low in zip(widths, least, strict=True)]
        widest = max((i for i, left in enumerate(spare) if left > 0), key=lambda i: widths[i])
        others = [widths[i] for i, left in enumerate(spare) if left > 0 and i != widest]
        step = max(1, widths[widest] - max(others, default=0))
        widths[widest] -= min(over, spare[widest], step)
    return widths


def _stacked(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    titles = max(cell_len(column.title) for column in columns)
    indent = titles + _GAP
    room = max(_LEAST, width - indent) if width is not None else None
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        for column, cell in zip(columns, row, strict=True):
            first, *others = [cell] if column.whole or room is None else _wrapped(cell, room)
            lines.append(f"{_pad(column.title, titles)}{' ' * _GAP}{first}")
            lines += [f"{' ' * indent}{text}" for text in others]
    return lines or [(" " * _GAP).join(column.title for column in columns)]


def _plain(cell: str) -> str:
    """Without what would move a terminal's cursor."""
    clean = "".join(c if c.isprintable() else " " for c in cell)
    return " ".join(clean.split()) or _EMPTY


def _wrapped(cell: str, width: int) -> list[str]:
    if cell_len(cell) <= width:
        return [cell]
    from rich.console import Console

    lines = Text(cell).wrap(Console(width=width), width, tab_size=1)
    return [line.plain.rstrip() for line in lines]


def _pad(text: str, width: int, *, right: bool = False) -> str:
    space = " " * max(0, width - cell_len(text))
    return space + text if right else text + space
