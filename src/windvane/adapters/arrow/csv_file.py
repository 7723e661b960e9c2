"""CSV files as texts: nothing is guessed, and every fault knows its line.

The standard library's parser is as fast as what comes after it, and says of each row where it
was; a database's guesses types first, and writes messages of its own.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from windvane.adapters.arrow.batches import Batch
from windvane.adapters.arrow.faults import BadTable

_LONGEST_CELL = 8 << 20  # an image of 4 MiB in base64, and its share of escapes
_ROWS = 2_048  # so many stay in the caches of a processor
_SEPARATORS = (",", ";", "\t", "|")
_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_BREAK = re.compile(r"\r\n|\r|\n")


class CsvFile:
    """UTF-8 with or without a mark, plain or gzip. The separator is the one of comma, semicolon,
    tab and bar by which most of the columns that are wanted are found in the header."""

    def __init__(self, path: Path, wanted: Sequence[str]) -> None:
        """Raises BadTable."""
        self._path = path
        found: list[tuple[int, int, str, list[str]]] = []
        faults: list[BadTable] = []
        for separator in _SEPARATORS:
            try:
                header = self._header(separator)
            except BadTable as error:
                faults.append(error)
                continue
            known = len(set(wanted) & set(header))
            found.append((known, len(header), separator, header))
        if not found:
            raise faults[0]
        _, _, separator, header = max(found, key=lambda one: one[:2])
        self.separator = separator
        self.names: list[str] = header
        words = _WORDS[separator]
        self.notes = [] if separator == "," else [f"{path.name} is separated by {words}"]

    def _header(self, separator: str) -> list[str]:
        with _cell_limit(), self._open() as lines:
            try:
                for row in csv.reader(lines, delimiter=separator, strict=True):
                    if row:
                        return row
            except csv.Error as error:
                raise self._fault(separator) from error
        raise BadTable(f"{self._path.name} is empty", hint="its first line names the columns")

    def batches(self, wanted: Sequence[str]) -> Iterator[Batch]:
        places = {name: self.names.index(name) for name in wanted}
        width = len(self.names)
        with _cell_limit(), self._open() as lines:
            reader = csv.reader(lines, delimiter=self.separator, strict=True)
            for row in reader:
                if row:
                    break
            first, line = 1, reader.line_num
            while raw := self._some(reader):
                rows = raw if all(raw) else [row for row in raw if row]  # blank lines
                place = self._placed(raw, first, line)
                if set(map(len, rows)) - {width}:
                    at = next(i for i, row in enumerate(rows) if len(row) != width)
                    raise BadTable(
                        f"{self._path.name}, {place(at)}: the header names {width} columns, "
                        f"this row has {len(rows[at])} cells",
                        hint="quote cells that hold a separator or a line break",
                    )
                columns = list(zip(*rows, strict=True)) if rows else [()] * width
                held = {name: columns[at] for name, at in places.items()}
                yield Batch(len(rows), first, held, place)
                first += len(rows)
                line = reader.line_num

    def _some(self, reader: Iterator[list[str]]) -> list[list[str]]:
        try:
            return list(islice(reader, _ROWS))
        except csv.Error as error:
            raise self._fault(self.separator) from error

    @staticmethod
    def _placed(raw: list[list[str]], first: int, before: int) -> Any:
        def place(index: int) -> str:
            line, seen = before + 1, -1
            for row in raw:
                seen += bool(row)
                if seen == index and row:
                    break
                line += 1 + sum(len(_BREAK.findall(cell)) for cell in row)
            return f"row {first + index} (line {line})"

        return place

    def _fault(self, separator: str) -> BadTable:
        """What the parser stumbles over, and the line where that row begins."""
        line = 1
        with self._open() as lines:
            reader = csv.reader(lines, delimiter=separator, strict=True)
            try:
                for _ in reader:
                    line = reader.line_num + 1
                message = "the file changes while it is read"
            except csv.Error as error:
                if "limit" in str(error):
                    most = _LONGEST_CELL >> 20
                    message = f"a cell is longer than {most} MiB; is a quote left open?"
                elif "unexpected end" in str(error):
                    message = "a quote is opened here and never closed"
                else:
                    message = "a quote within a cell is not doubled"
        return BadTable(f"{self._path.name}, line {line}: {message}")

    @contextmanager
    def _open(self) -> Iterator[Iterator[str]]:
        name = self._path.name
        try:
            with self._path.open("rb") as probe:
                zipped = probe.read(2) == b"\x1f\x8b"
            opened = gzip.open if zipped else open
            with opened(self._path, "rt", encoding="utf-8-sig", newline="") as file:
                yield cast("IO[str]", file)
        except UnicodeDecodeError as error:
            line = self._undecoded(zipped)
            raise BadTable(
                f"{name}, line {line} is not UTF-8", hint="save the file as UTF-8"
            ) from error
        except (OSError, EOFError, zlib.error) as error:
            message = getattr(error, "strerror", None) or "it is cut off or damaged"
            raise BadTable(f"{name} cannot be read: {message}") from error

    def _undecoded(self, zipped: bool) -> int:
        opened = gzip.open if zipped else open
        with opened(self._path, "rb") as file:
            for number, line in enumerate(cast("IO[bytes]", file), start=1):
                try:
                    line.decode()
                except UnicodeDecodeError:
                    return number
        return 1


@contextmanager
def _cell_limit() -> Iterator[None]:
    """The parser's bound is one of the process: as it was, afterwards."""
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
