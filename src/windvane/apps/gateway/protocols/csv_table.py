"""CSV: a line of names and a line a row; or no names, and the contract's order."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from windvane.apps.gateway.protocols.base import Hinting
from windvane.apps.gateway.protocols.tables import (
    ABOUT_ROW,
    check_width,
    inputs_of_columns,
    once,
    ordered_names,
    output_columns,
)
from windvane.core.signature import FeatureSpec, kind_of
from windvane.core.task import Contract
from windvane.inference.errors import BadBody
from windvane.inference.request import InferenceResponse, Inputs
from windvane.inference.validation import check_count

HINT = "send a line with the features' names, then a line for each row"
HINT_ORDERED = "send a line for each row, its cells in the order of the model's features"
_MAX_EMPTY = 1_000
_encode = msgspec.json.Encoder().encode


def decode_csv(body: bytes, contract: Contract, max_rows: int, *, header: bool) -> Inputs:
    """An empty cell is null. Vectors are `[1,2]` in quotes, or `1;2`; images base64. Lines end
    with LF, CR LF or CR.

    Raises BadBody, BodyTooLarge, SchemaViolation.
    """
    with Hinting(HINT if header else HINT_ORDERED):
        return _read(body, contract, max_rows, header=header)


def _read(body: bytes, contract: Contract, max_rows: int, *, header: bool) -> Inputs:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadBody(f"the body is not UTF-8: {error}") from error
    # A thousand lines too many are not split to be counted.
    lines = list(islice(_lines(text), max_rows + 1 + header))
    if header:
        if not lines:
            raise BadBody("the body has no line of names")
        check_width(contract, len(lines[0]))
        names: Sequence[str] = [name.strip() for name in lines[0]]
        once(names, "column")
    else:
        names = ordered_names(contract, len(lines[0])) if lines else ()
    rows = lines[1:] if header else lines
    check_count(len(rows), max_rows)
    for i, row in enumerate(rows):
        if len(row) != len(names):
            sides = f"row {i} has {len(row):,} cells for {len(names):,} columns"
            raise BadBody(sides)
    specs = {spec.name: spec for spec in contract.features}
    columns = {
        name: _values(specs.get(name), cells)
        for name, cells in zip(names, zip(*rows, strict=True), strict=True)
    }
    return inputs_of_columns(contract, columns, len(rows))


def _lines(text: str) -> Iterator[list[str]]:
    """Each line's cells; those of empty lines are left out."""
    empty = 0
    for cells in _all_lines(text.strip("\r\n")):
        if cells and cells != [""]:
            yield cells
            continue
        empty += 1
        if empty > _MAX_EMPTY:
            raise BadBody(f"over {_MAX_EMPTY:,} empty lines")


def _all_lines(text: str) -> Iterator[list[str]]:
    if '"' not in text:
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        # Faster, and without the limit that `csv` has for a cell.
        start = 0
        while start < len(text):
            end = text.find("\n", start)
            end = len(text) if end < 0 else end
            line = text[start:end]
            start = end + 1
            yield line.split(",")
        return
    try:
        yield from csv.reader(io.StringIO(text, newline=""), strict=True)
    except csv.Error as error:
        raise BadBody(f"the body is not CSV: {error}") from error


def _values(spec: FeatureSpec | None, cells: Iterable[str]) -> list[Any]:
    """A cell that cannot be read stays the text that it is, and its check says why."""
    if spec is None:
        return [cell or None for cell in cells]
    parse = kind_of(spec).parse
    out: list[Any] = []
    for cell in cells:
        if not cell:
            out.append(None)
            continue
        try:
            out.append(parse(spec, cell))
        except ValueError:
            out.append(cell)
    return out


def encode_csv(response: InferenceResponse) -> bytes:
    """A line of names; a line a row with its value, who gave it, and every output: one of
    several numbers as JSON."""
    task = response.served.task
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = output_columns(task)
    writer.writerow([*ABOUT_ROW, *columns.values()])
    for route, row in zip(response.routes, response.outputs, strict=True):
        outputs = [_cell(row[place]) for place in columns]
        flags = " ".join(route.flags)
        writer.writerow([_cell(task.value(row)), route.answered, route.arm, flags, *outputs])
    return out.getvalue().encode()


def encode_plain_csv(response: InferenceResponse) -> bytes:
    """A line a row with its value alone; of several numbers, all of them in their order."""
    task = response.served.task
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in response.outputs:
        value = task.value(row)
        if value is None:
            value = _flat(row)
        writer.writerow([_cell(v) for v in value] if isinstance(value, list) else [_cell(value)])
    return out.getvalue().encode()


def _flat(value: Any) -> list[Any]:
    return [x for v in value for x in _flat(v)] if isinstance(value, list | tuple) else [value]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return value if isinstance(value, str) else _encode(value).decode()
