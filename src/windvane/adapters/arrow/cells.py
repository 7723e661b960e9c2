"""A feature's values from the texts of a CSV file or from an Arrow array.

Values are as `core.signature.kinds` has them. What they may be (range, known names) is checked
later, with the rest of the contract.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as of

from windvane.adapters.arrow.faults import CellFault, TypeFault
from windvane.core.signature import MAX_INTEGER, FeatureSpec, FeatureType, kind_of

NULL_WORDS = frozenset(
    ("", "na", "n/a", "null", "nan", "none", "nat", "<na>", "\\n")  # \N is MySQL's, lowered
)
_LETTERS = (FeatureType.CATEGORY, FeatureType.TEXT)
_MOST_KEPT = 100_000
_FLOATS = re.compile(r"[0-9.eE+\-\n]*")
_CLOCK = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}"
_TIMES = {
    zone: re.compile(rf"(?:{_CLOCK}{'Z' if zone else ''}(?:\n|\Z))+") for zone in (True, False)
}
_WHOLES = re.compile(r"[0-9+\-\n]*")

Values = list[Any]


def is_null_word(text: str) -> bool:
    """Whether a cell says that there is no value; of a category or a text only "" does."""
    return len(text) <= 8 and text.strip().lower() in NULL_WORDS


class FeatureReader:
    """One feature's column, batch by batch. ``doubtful``: how often a category or text was a
    word that means null elsewhere, and was kept as the text that it is."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self.doubtful: dict[str, int] = {}
        self._kind = kind_of(spec)
        self._known: dict[str, Any] = {}

    def read(self, column: Any) -> Values:
        """Raises CellFault, TypeFault."""
        if not isinstance(column, pa.Array):
            return self._texts(column)
        array = plain_array(column)
        if of.is_null(array.type):
            return [None] * len(array)
        if is_text(array.type):
            if self.spec.type in _LETTERS:
                return array.to_pylist()  # it has nulls of its own
            return self._texts(array.to_pylist())
        return _CONVERTERS[self.spec.type](array)

    def _texts(self, cells: Sequence[str | None]) -> Values:
        if self.spec.type in _LETTERS:
            return self._letters(cells)
        fast = _FAST.get(self.spec.type)
        if fast is not None:
            found = fast(cells)
            if found is not None:
                return found
        known = self._known if self._kind.hashable else {}
        if len(known) > _MOST_KEPT:
            known.clear()
        for index, cell in enumerate(cells):
            if cell is not None and cell not in known:
                known[cell] = self._parse(index, cell)
        return [None if cell is None else known[cell] for cell in cells]

    def _parse(self, index: int, cell: str) -> Any:
        if is_null_word(cell):
            return None
        try:
            return self._kind.parse(self.spec, cell)
        except ValueError as error:
            raise CellFault(index, str(error), _HINTS.get(self.spec.type, "")) from error

    def _letters(self, cells: Sequence[str | None]) -> Values:
        known = self._known
        if len(known) > _MOST_KEPT:
            known.clear()
        if self.spec.type is FeatureType.TEXT:
            return [cell or None for cell in cells]
        keep = known.setdefault  # one object for equal names
        found = [keep(cell, cell) if cell else None for cell in cells]
        for word in known:
            if is_null_word(word):
                count = found.count(word)
                self.doubtful[word] = self.doubtful.get(word, 0) + count
        return found


def _fast_numbers(cells: Sequence[str | None]) -> Values | None:
    """None where a cell is anything but a plain number or null, and has to be looked at."""
    if not _FLOATS.fullmatch(_lines(cells)):
        return None
    try:
        found: Values = [float(cell) if cell else None for cell in cells]
    except ValueError:
        return None
    return None if np.isinf(np.array(found, np.float64)).any() else found


def _fast_wholes(cells: Sequence[str | None]) -> Values | None:
    if not _WHOLES.fullmatch(_lines(cells)):
        return None
    try:
        return [int(cell) if cell else None for cell in cells]
    except ValueError:
        return None


def fast_times(cells: Sequence[str | None]) -> Values | None:
    """Of texts such as 2026-11-28 17:45:00, all with Z or all without a zone; None for any else."""
    if not cells or not cells[0] or not _TIMES[cells[0][-1:] == "Z"].fullmatch(_lines(cells)):
        return None
    if len({len(cell) for cell in cells if cell}) != 1:
        return None  # two times in one cell, with a line break between
    try:
        found = np.array([cell[:19] if cell else "NaT" for cell in cells], "datetime64[s]")
    except ValueError:
        return None
    seconds: Values = found.astype(np.int64).astype(np.float64).tolist()
    return [at if cell else None for at, cell in zip(seconds, cells, strict=True)]


def _lines(cells: Sequence[str | None]) -> str:
    return "\n".join([cell for cell in cells if cell])


def _fast_datetimes(cells: Sequence[str | None]) -> Values | None:
    return fast_times(cells) if cells and cells[0] and cells[0][-1:] == "Z" else None


_FAST: dict[FeatureType, Callable[[Sequence[str | None]], Values | None]] = {
    FeatureType.NUMBER: _fast_numbers,
    FeatureType.INTEGER: _fast_wholes,
    FeatureType.DATETIME: _fast_datetimes,
}
_HINTS = {
    FeatureType.BOOLEAN: "write true or false",
    FeatureType.IMAGE: "write the file's bytes in base64",
}


def plain_array(column: pa.Array) -> pa.Array:
    """Without dictionaries and extension types around it."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    return column


def is_text(kind: pa.DataType) -> bool:
    return of.is_string(kind) or of.is_large_string(kind) or of.is_string_view(kind)


def values_of(array: pa.Array) -> Values:
    """Python's own values of a column of numbers or truth values, None for null."""
    if not array.null_count:
        return array.to_numpy(zero_copy_only=False).tolist()
    held: Values = (
        array.fill_null(False if of.is_boolean(array.type) else 0)
        .to_numpy(zero_copy_only=False)
        .tolist()
    )
    gone = array.is_null(nan_is_null=False).to_numpy(zero_copy_only=False)
    for index in np.flatnonzero(gone).tolist():
        held[index] = None
    return held


def floats_of(array: pa.Array) -> Values:
    """The same of floats, None for NaN too."""
    return [None if v is None or v != v else v for v in values_of(array)]  # noqa: PLR0124


def decimal_number(index: int, value: Decimal) -> float:
    """Raises CellFault where a float cannot be written as the same decimal."""
    found = float(value)
    if Decimal(repr(found)) != value:
        raise CellFault(index, f"{value} has more digits than a number holds", "round it")
    return found


def _refuse(array: pa.Array, hint: str) -> TypeFault:
    return TypeFault(str(array.type), hint)


def number_values(array: pa.Array) -> Values:
    """Floats of a column of numbers, None for null and NaN. Raises CellFault, TypeFault."""
    kind = array.type
    if of.is_floating(kind):
        return floats_of(array)
    if of.is_integer(kind):
        found = values_of(array)
        for index, value in enumerate(found):
            if value is not None:
                if abs(value) > MAX_INTEGER:
                    raise CellFault(
                        index, f"{value} is beyond 2^53, where numbers have gaps",
                        "an id is a category",
                    )  # fmt: skip
                found[index] = float(value)
        return found
    if of.is_decimal(kind):
        held = array.to_pylist()
        return [None if v is None else decimal_number(i, v) for i, v in enumerate(held)]
    raise _refuse(array, "declare it as what it is, or cast it to a number")


def _integers(array: pa.Array) -> Values:
    kind = array.type
    if of.is_integer(kind):
        return values_of(array)
    if of.is_floating(kind):
        held = floats_of(array)
    elif of.is_decimal(kind):
        held = array.to_pylist()
    else:
        raise _refuse(array, "declare it as what it is, or cast it to whole numbers")
    found: Values = []
    for index, value in enumerate(held):
        if value is None:
            found.append(None)
            continue
        whole = int(value) if abs(value) < 1e300 else None
        if whole is None or whole != value:
            raise CellFault(index, f"{value} is no whole number")
        found.append(whole)
    return found


def _booleans(array: pa.Array) -> Values:
    if of.is_boolean(array.type):
        return values_of(array)
    if not (of.is_integer(array.type) or of.is_floating(array.type)):
        raise _refuse(array, "declare it as what it is, or cast it to true and false")
    found: Values = []
    for index, value in enumerate(floats_of(array)):
        if value is not None and value not in (0, 1):
            raise CellFault(index, f"{value} is neither true nor false", "0 and 1 are taken")
        found.append(None if value is None else bool(value))
    return found


def _names(array: pa.Array) -> Values:
    if of.is_integer(array.type):
        return [None if value is None else str(value) for value in values_of(array)]
    raise _refuse(array, "how clients would write it is not known: cast it to text")


def _texts_only(array: pa.Array) -> Values:
    raise _refuse(array, "declare it as what it is, or cast it to text")


def _datetimes(array: pa.Array) -> Values:
    if not of.is_timestamp(array.type):
        raise _refuse(array, "cast it to a timestamp with a zone")
    if array.type.tz is None:
        raise _refuse(array, "it has no zone: give it one, such as UTC")
    return seconds_of(array)


_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def seconds_of(array: pa.Array) -> Values:
    """Seconds since the epoch of timestamps, None for null: whole seconds and the fraction are
    added as `parse_time` does, so that both readings are equal."""
    unit = _UNITS[array.type.unit]
    found: Values = []
    for ticks in values_of(array.cast(pa.int64())):
        if ticks is None:
            found.append(None)
            continue
        whole, part = divmod(ticks, unit)
        found.append(whole + part / unit)
    return found


def is_list(kind: pa.DataType) -> bool:
    return of.is_list(kind) or of.is_large_list(kind) or of.is_fixed_size_list(kind)


def _vectors(array: pa.Array) -> Values:
    kind = array.type
    if not is_list(kind):
        raise _refuse(array, "a vector is a list of numbers")
    inner = kind.value_type
    if not (of.is_floating(inner) or of.is_integer(inner)):
        raise _refuse(array, "a vector is a list of numbers")
    return list_values(array)


def list_values(array: pa.Array) -> Values:
    """Lists of floats; a null or a NaN within stays for whoever checks them. Raises CellFault."""
    if of.is_integer(array.type.value_type):
        return [_whole_list(i, held) for i, held in enumerate(array.to_pylist())]
    if array.flatten().null_count:
        return array.to_pylist()
    lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    held: Values = array.flatten().to_numpy(zero_copy_only=False).tolist()
    ends = np.cumsum(lengths)
    gone = array.is_null().to_numpy(zero_copy_only=False)
    return [
        None if null else held[end - length : end]
        for end, length, null in zip(ends.tolist(), lengths.tolist(), gone.tolist(), strict=True)
    ]


def _whole_list(index: int, held: list[int | None] | None) -> list[float | None] | None:
    if held is None:
        return None
    for value in held:
        if value is not None and abs(value) > MAX_INTEGER:
            raise CellFault(index, f"{value} is beyond 2^53, where numbers have gaps")
    return [None if value is None else float(value) for value in held]


def _images(array: pa.Array) -> Values:
    kind = array.type
    if of.is_binary(kind) or of.is_large_binary(kind) or of.is_fixed_size_binary(kind):
        return array.to_pylist()
    raise _refuse(array, "an image is the bytes of its file, or these as base64")


_CONVERTERS: dict[FeatureType, Callable[[pa.Array], Values]] = {
    FeatureType.NUMBER: number_values,
    FeatureType.INTEGER: _integers,
    FeatureType.BOOLEAN: _booleans,
    FeatureType.CATEGORY: _names,
    FeatureType.DATETIME: _datetimes,
    FeatureType.TEXT: _texts_only,
    FeatureType.VECTOR: _vectors,
    FeatureType.IMAGE: _images,
}
