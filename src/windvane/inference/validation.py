"""Do rows keep the model's contract? One place for every wire format."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, overload

import numpy as np
from numpy.typing import NDArray

from windvane.core.conformance import check_row, check_value
from windvane.core.signature import (
    MAX_INTEGER,
    MAX_MAGNITUDE,
    FeatureSpec,
    FeatureType,
    Violation,
    kind_of,
)
from windvane.core.task import Contract
from windvane.inference.errors import BadBody, BodyTooLarge, SchemaViolation

MAX_VIOLATIONS = 20
_NUMBERS = (FeatureType.NUMBER, FeatureType.INTEGER)
_LARGEST = float(np.finfo(np.float64).max)

Column = Sequence[Any] | NDArray[Any]
"""A feature's values, one a row. In an array of floats NaN is null, and a vector's array is
(rows, length); a list has Python's own values, with None for null."""


def check_count(rows: int, max_rows: int) -> None:
    """Raises BadBody for none, BodyTooLarge for too many."""
    if not rows:
        raise BadBody("the request has no rows: at least one is needed")
    if rows > max_rows:
        raise BodyTooLarge(f"{rows:,} rows, {max_rows:,} allowed")


def validate_rows(
    contract: Contract, rows: Sequence[Mapping[str, Any]], *, held: bool = False
) -> list[tuple[Any, ...]]:
    """Rows of named values in the contract's order, as later steps expect them. ``held``: they
    may have been read before, so that a time is a number.

    Looks no further once it has found as many violations as it tells of: a bad row must not
    cost more than a good one. Raises SchemaViolation.
    """
    schema = contract.features
    found: list[tuple[int, Violation]] = []
    for i, row in enumerate(rows):
        found += [(i, v) for v in check_row(schema, row, MAX_VIOLATIONS - len(found), held=held)]
        if len(found) >= MAX_VIOLATIONS:
            break
    if found:
        raise violated(found)
    normal = _normalisers(schema)
    return [tuple(make(row.get(name)) for name, make in normal) for row in rows]


def violated(found: Sequence[tuple[int, Violation]]) -> SchemaViolation:
    """The error that tells of them."""
    more = ""
    if len(found) > 1:
        others = len(found) - 1
        more = f" (and {others} more{' at least' if len(found) >= MAX_VIOLATIONS else ''})"
    return SchemaViolation(f"{found[0][1].message}{more}", found[:MAX_VIOLATIONS])


def _normalisers(
    schema: Sequence[FeatureSpec],
) -> list[tuple[str, Callable[[Any], Any]]]:
    def of(spec: FeatureSpec) -> Callable[[Any], Any]:
        kind = kind_of(spec)
        return lambda value: None if value is None else kind.normal(spec, value)

    return [(spec.name, of(spec)) for spec in schema]


def by_name(
    contract: Contract, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> list[tuple[Any, ...]]:
    """The same for rows whose values lie in the order of ``names``.

    Raises SchemaViolation, BadBody where a name is there twice or a row has another length.
    """
    if len(set(names)) != len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise BadBody(f"column {twice[:80]!r} is there twice")
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise BadBody(f"row {i} has {len(row)} values for {len(names)} columns")
    return validate_rows(contract, [dict(zip(names, row, strict=True)) for row in rows])


def validate_columns(
    contract: Contract, columns: Mapping[str, Column], rows: int
) -> list[tuple[Any, ...]]:
    """The same for a column of ``rows`` values a feature.

    Arrays are checked as a whole; where anything breaks the contract, the rows say what. Raises
    SchemaViolation, BadBody for a column of another length.
    """
    for name, column in columns.items():
        if len(column) != rows:
            raise BadBody(f"column {name[:80]!r} has {len(column):,} values for {rows:,} rows")
    made: list[list[Any]] = []
    if columns.keys() <= set(contract.names):
        for spec in contract.features:
            fine = _column(spec, columns.get(spec.name), rows)
            if fine is None:
                break
            made.append(fine)
    if len(made) == len(contract.features):
        return list(zip(*made, strict=True))
    return validate_rows(contract, _RowsOf(columns, rows), held=True)


class MatrixValidator:
    """Checks (rows, features) arrays of numbers at once; made once for a contract whose features
    are all numbers, or all but optional ones: a contract that grows keeps its clients."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        specs = contract.features
        self._required = [s.name for s in specs if not s.optional]
        self._whole_takes = all(spec.type in _NUMBERS for spec in specs)
        self._whole = [i for i, s in enumerate(specs) if s.type is FeatureType.INTEGER]
        bounds = [_bounds(spec) for spec in specs if self._whole_takes]
        self._low = np.array([low for low, _ in bounds])
        self._high = np.array([high for _, high in bounds])
        self._unpack = struct.Struct(f"={len(specs)}d").iter_unpack

    @staticmethod
    def takes(contract: Contract) -> bool:
        required = [spec for spec in contract.features if not spec.optional]
        return bool(required) and all(spec.type in _NUMBERS for spec in required)

    def names(self, width: int) -> Sequence[str]:
        """What the columns of a matrix are: all features in the contract's order, or all but
        the optional ones. Raises BadBody."""
        if width == len(self.contract.features) and self._whole_takes:
            return self.contract.names
        if width == len(self._required):
            return self._required
        wanted = len(self.contract.features) if self._whole_takes else len(self._required)
        raise BadBody(f"{width:,} columns for {wanted:,} features")

    def __call__(self, matrix: NDArray[Any]) -> list[tuple[Any, ...]]:
        """Raises SchemaViolation, BadBody."""
        names = self.names(matrix.shape[1])
        if matrix.dtype.kind == "f" and len(names) == len(self._low):
            values = np.asarray(matrix, np.float64)
            # NaN is on neither side, so it is for the slower way to say whether it may be.
            if bool(((values >= self._low) & (values <= self._high)).all()):
                if not self._whole:
                    # As `tolist`, in half of the time.
                    return list(self._unpack(np.ascontiguousarray(values).data.cast("B")))
                whole = values[:, self._whole]
                if bool((whole == np.floor(whole)).all()):
                    columns = cast("list[list[Any]]", values.T.tolist())
                    for i in self._whole:
                        columns[i] = list(map(int, columns[i]))
                    return list(zip(*columns, strict=True))
        columns_of = {name: matrix[:, i] for i, name in enumerate(names)}
        return validate_columns(self.contract, columns_of, len(matrix))


class _RowsOf(Sequence[Mapping[str, Any]]):
    """Columns as rows, each made when it is looked at."""

    def __init__(self, columns: Mapping[str, Column], rows: int) -> None:
        self._columns = {name: as_values(column) for name, column in columns.items()}
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._rows))]
        if not 0 <= index < self._rows:
            raise IndexError(index)
        return {name: values[index] for name, values in self._columns.items()}


def as_values(column: Column) -> Sequence[Any]:
    """Python's own values of a column."""
    if not isinstance(column, np.ndarray):
        return column
    values = cast("list[Any]", column.tolist())
    if column.ndim == 1 and column.dtype.kind == "f" and bool(np.isnan(column).any()):
        return [None if value != value else value for value in values]  # noqa: PLR0124 - NaN
    return values


def _column(spec: FeatureSpec, column: Column | None, rows: int) -> list[Any] | None:
    """The values of a column that keeps the contract, as later steps expect them; None where
    one does not."""
    may_be_null = spec.nullable or spec.optional
    if column is None:
        return [None] * rows if may_be_null else None
    if isinstance(column, np.ndarray):
        if spec.type in _NUMBERS and column.ndim == 1 and column.dtype.kind in "fiu":
            return _numbers(spec, column)
        if spec.type is FeatureType.VECTOR and column.ndim == 2 and column.dtype.kind in "fiu":
            values = column.astype(np.float64)
            fits = column.shape[1] == spec.length and bool((np.abs(values) <= MAX_MAGNITUDE).all())
            return values.tolist() if fits else None
        column = as_values(column)
    if spec.type is FeatureType.CATEGORY:
        try:  # what is there many times is looked at once
            distinct = set(column)
        except TypeError:
            return None
        return list(column) if all(check_value(spec, v) is None for v in distinct) else None
    normal = kind_of(spec).normal
    made: list[Any] = []
    for value in column:
        if check_value(spec, value) is not None:
            return None
        made.append(None if value is None else normal(spec, value))
    return made


def _numbers(spec: FeatureSpec, column: NDArray[Any]) -> list[Any] | None:
    low, high = _bounds(spec)
    floats = column.dtype.kind == "f"
    whole = spec.type is FeatureType.INTEGER
    values = column if whole and not floats else column.astype(np.float64, copy=False)
    nulls: list[bool] | None = None
    # The smallest of numbers and NaN is NaN, which is on neither side.
    if len(values) and not (low <= values.min() and values.max() <= high):
        gone = np.isnan(values) if floats else np.zeros(0, bool)
        if not bool(gone.any()) or not (spec.nullable or spec.optional):
            return None
        values = np.where(gone, kind_of(spec).plain(spec), values)
        if not bool(((values >= low) & (values <= high)).all()):
            return None
        nulls = cast("list[bool]", gone.tolist())
    if whole:
        if floats and not bool((values == np.floor(values)).all()):
            return None
        values = values.astype(np.int64)
    held = cast("list[Any]", values.tolist())
    if nulls is None:
        return held
    return [None if null else value for value, null in zip(held, nulls, strict=True)]


def _bounds(spec: FeatureSpec) -> tuple[float, float]:
    """What a finite number must lie between, both included."""
    widest = float(MAX_INTEGER) if spec.type is FeatureType.INTEGER else _LARGEST
    low = -widest if spec.low is None else max(spec.low, -_LARGEST)
    high = widest if spec.high is None else min(spec.high, _LARGEST)
    return low, high
