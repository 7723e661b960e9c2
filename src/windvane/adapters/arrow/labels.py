"""The column, or the columns, that hold what is to be learned."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from windvane.adapters.arrow.cells import decimal_number, is_null_word, plain_array
from windvane.adapters.arrow.faults import CellFault
from windvane.core.signature import show
from windvane.core.task import BadLabel, Contract, make_task

_MOST_KEPT = 100_000
_MOST_NAMES = 10_000


def label_columns(label: str, names: Collection[str]) -> list[str]:
    """The columns that ``label`` names: itself, or several between commas."""
    return [label] if label in names or "," not in label else label.split(",")


class LabelReader:
    """Labels as the task has them, None where a row has none."""

    def __init__(self, contract: Contract, columns: Sequence[str]) -> None:
        self._task = make_task(contract.task)
        spec = contract.task
        self._names = frozenset({*spec.classes, spec.positive} - {""})
        self._columns, self._known = columns, dict[Any, Any]()
        self._seen = set[Any]()
        self._order, self.notes = self._ordered(spec.classes, tuple(spec.outputs), spec.horizons)

    def _ordered(self, *orders: Sequence[str]) -> tuple[list[int], list[str]]:
        """Several columns by the names of the task, else as they are given."""
        columns = list(self._columns)
        if len(columns) < 2:
            return [0], []
        for order in orders:
            if sorted(order) == sorted(columns):
                return [columns.index(name) for name in order], []
        return list(range(len(columns))), [f"labels are taken in the order {', '.join(columns)}"]

    def read(self, columns: Sequence[Any]) -> list[Any]:
        """Raises CellFault."""
        held = [_cells(column) for column in columns]
        known = self._known
        if len(known) > _MOST_KEPT:
            known.clear()
        if len(held) == 1:
            rows: Any = held[0]
        else:
            rows = list(zip(*(held[at] for at in self._order), strict=True))
        found: list[Any] = []
        for index, row in enumerate(rows):
            if isinstance(row, list):
                found.append(self._label(index, row))
                continue
            key = (type(row), row)  # 1, 1.0 and True are equal, and not the same label
            if key not in known:
                known[key] = self._label(index, row)
            found.append(known[key])
        return found

    def odd(self) -> str:
        """What is wrong with all of them together."""
        return self._task.odd_labels(self._seen)

    def _label(self, index: int, given: Any) -> Any:
        parts = list(given) if isinstance(given, tuple) else [given]
        if any(self._gone(one) for one in parts):
            return None
        try:
            read = [self._value(index, one) for one in parts]
            if isinstance(given, tuple):
                whole: Any = []
                for one in read:
                    whole += one if isinstance(one, list) else [one]
            else:
                whole = read[0]
                if not isinstance(whole, list) and len(self._seen) < _MOST_NAMES:
                    self._seen.add(whole)
            return self._task.label(whole)
        except BadLabel as error:
            raise CellFault(index, error.message, error.advice) from error

    def _value(self, index: int, one: Any) -> Any:
        if isinstance(one, str):
            return self._task.parse_label(one)
        if isinstance(one, Decimal):
            return decimal_number(index, one)
        if isinstance(one, str | int | float | list):
            return one
        raise BadLabel(f"{show(one)} is no label")

    def _gone(self, one: Any) -> bool:
        if isinstance(one, list):
            return any(self._gone(inner) for inner in one)
        if isinstance(one, str):
            return one not in self._names and is_null_word(one)
        return one is None or (isinstance(one, float) and math.isnan(one))


def _cells(column: Any) -> Sequence[Any]:
    return plain_array(column).to_pylist() if isinstance(column, pa.Array) else column
