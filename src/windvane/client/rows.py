"""Rows in: mappings, DataFrames and tables, as JSON has them."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from windvane.client.errors import BadArgument

_DEEPEST = 64
_LARGEST = 1 << 1_023
"""What no longer fits a float; Python cannot even write a number of thousands of digits."""

Row: TypeAlias = Mapping[str, Any]
Rows: TypeAlias = Any
"""A mapping, a sequence of mappings, or a DataFrame (of pandas or polars) or Arrow table."""


def read_rows(given: Rows) -> tuple[list[dict[str, Any]], Any]:
    """Rows of plain values, and the index of a pandas DataFrame (None else). NaN, NaT and NA
    are null. Raises BadArgument."""
    if isinstance(given, Mapping):
        return [_row(cast("Row", given), 0)], None
    if hasattr(given, "columns") and hasattr(given, "iloc"):
        return _of_pandas(given), given.index
    for method in ("to_pylist", "to_dicts"):  # Arrow, polars
        if hasattr(given, method) and hasattr(given, "columns"):
            given = getattr(given, method)()
            break
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise BadArgument(f"rows must be mappings or a DataFrame, got {type(given).__name__}")
    out: list[dict[str, Any]] = []
    for i, row in enumerate(cast("Iterable[Any]", given)):
        if not isinstance(row, Mapping):
            raise BadArgument(
                f"row {i} must be a mapping of features by name, got {type(row).__name__}",
                hint="an array has no names: pandas.DataFrame(array, columns=[...])",
            )
        out.append(_row(cast("Row", row), i))
    return out, None


def _row(row: Row, at: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in row.items():
        if not isinstance(cast("Any", name), str):
            raise BadArgument(f"row {at}: a feature's name must be a text, got {_shown(name)}")
        out[text(name, f"row {at}")] = plain(value, f"row {at}, {name}")
    return out


def _of_pandas(frame: Any) -> list[dict[str, Any]]:
    names: list[str] = []
    columns: list[list[Any]] = []
    for i, name in enumerate(frame.columns):
        if not isinstance(name, str):
            raise BadArgument(f"column {i} must be called by a text, got {_shown(name)}")
        names.append(text(name, f"column {i}"))
        columns.append(_column(frame.iloc[:, i], name))
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadArgument(f"column {twice!r} is there twice")
    if not names:
        return [{} for _ in range(len(frame))]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _column(series: Any, name: str) -> list[Any]:
    """Whole numbers with gaps are floats to pandas; they are sent as whole ones."""
    found = [plain(value, f"row {i}, {name}") for i, value in enumerate(series.tolist())]
    if str(series.dtype).startswith("float"):
        whole = all(value is None or value.is_integer() for value in found)
        if whole and None in found:
            return [None if value is None else int(value) for value in found]
    return found


def text(given: str, where: str) -> str:
    """``given`` if it can be written as UTF-8. Raises BadArgument, with ``where``."""
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise BadArgument(f"{where}: {given[:60]!a} is no text: {error.reason}") from error
    return str(given)


def plain(value: Any, where: str, within: tuple[int, ...] = ()) -> Any:
    """``value`` as JSON has it; NaN, NaT and NA are null. Raises BadArgument, with ``where``.

    ``within`` are the ids of what it lies in: none may lie in itself.
    """
    if value is None or isinstance(value, str | bool):
        return text(value, where) if isinstance(value, str) else value
    kind = type(value)
    if kind is int:
        if not -_LARGEST < value < _LARGEST:
            raise BadArgument(f"{where}: a whole number of {value.bit_length():,} bits is too long")
        return value
    if kind is float:
        if math.isinf(value):
            raise BadArgument(f"{where}: {value} is no finite number")
        return None if value != value else value  # noqa: PLR0124 - NaN
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return None if value != value else value.isoformat()  # noqa: PLR0124 - NaT
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, decimal.Decimal):
        return plain(math.nan if value.is_nan() else float(value), where)
    if isinstance(value, Mapping | list | tuple):
        if id(cast("Any", value)) in within:
            raise BadArgument(f"{where}: a {kind.__qualname__} lies in itself")
        if len(within) >= _DEEPEST:
            raise BadArgument(f"{where}: more than {_DEEPEST} levels of lists and mappings")
        within = (*within, id(cast("Any", value)))
        if isinstance(value, Mapping):
            held = cast("Mapping[Any, Any]", value)
            return {_key(name, where): plain(one, where, within) for name, one in held.items()}
        return [plain(one, where, within) for one in cast("Sequence[Any]", value)]
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        found = value.tolist()
        if type(found) is not kind:
            return plain(found, where, within)
        if getattr(getattr(value, "dtype", None), "kind", "") == "f":
            return plain(float(found), where)  # a longdouble: Python has none
    if isinstance(value, int | float):
        return plain(float(value) if isinstance(value, float) else int(value), where)
    raise BadArgument(f"{where}: {kind.__module__}.{kind.__qualname__} cannot be sent")


def column(given: Any, rows: int, what: str) -> list[Any]:
    """One plain value for each row, of a sequence, a Series or an array. Raises BadArgument."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise BadArgument(f"{what} must be one for each row, got {type(given).__name__}")
    held: list[Any] = list(cast("Iterable[Any]", given))
    if len(held) != rows:
        raise BadArgument(f"{len(held):,} {what} for {rows:,} rows")
    return [plain(value, f"{what}[{i}]") for i, value in enumerate(held)]


def _key(given: Any, where: str) -> str:
    if isinstance(given, str):
        return text(given, where)
    try:
        return str(given)
    except ValueError as error:
        raise BadArgument(f"{where}: {_shown(given)} is no name") from error


def _shown(given: Any) -> str:
    """For a message; Python writes no whole number of thousands of digits."""
    try:
        return repr(given)[:60]
    except (ValueError, RecursionError):
        return f"a {type(given).__qualname__}"
