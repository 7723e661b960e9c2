"""Rows in: mappings, DataFrames and tables, as JSON has them."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from windvane.client.errors import BadArgument

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
            raise BadArgument(f"row {at}: a feature's name must be a text, got {name!r}")
        out[name] = plain(value, f"row {at}, {name}")
    return out


def _of_pandas(frame: Any) -> list[dict[str, Any]]:
    names: list[str] = []
    columns: list[list[Any]] = []
    for i, name in enumerate(frame.columns):
        if not isinstance(name, str):
            raise BadArgument(f"column {i} must be called by a text, got {name!r}")
        names.append(name)
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


def plain(value: Any, where: str) -> Any:
    """``value`` as JSON has it; NaN, NaT and NA are null. Raises BadArgument, with ``where``."""
    if value is None or isinstance(value, str | bool):
        return str(value) if isinstance(value, str) else value
    kind = type(value)
    if kind is int:
        return value
    if kind is float:
        if math.isinf(value):
            raise BadArgument(f"{where}: {value} is no finite number")
        return None if value != value else value  # noqa: PLR0124 - NaN
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return None if value != value else value.isoformat()  # noqa: PLR0124 - NaT
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, decimal.Decimal):
        return plain(float(value), where)
    if isinstance(value, Mapping):
        held = cast("Mapping[Any, Any]", value)
        return {str(name): plain(one, where) for name, one in held.items()}
    if isinstance(value, list | tuple):
        return [plain(one, where) for one in cast("Sequence[Any]", value)]
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return plain(value.tolist(), where)
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
