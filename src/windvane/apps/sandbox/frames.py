"""Columns as the pandas frame that a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_NUMBERS = {"number", "integer", "boolean"}
_NO_PANDAS = ", and its environment has no pandas: add pandas to its requirements"


def make_frame(names: Sequence[str], kinds: Sequence[str], columns: Sequence[Any]) -> Any:
    """A frame with pandas' own types: whole numbers where none is missing, texts with None where
    one is, times in UTC. ``attrs["kinds"]`` are the types by place.

    Where a version's own packages lack pandas: a `NumberTable` of numbers. Raises ValueError for
    other columns.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError:
        return NumberTable(names, kinds, columns)

    made = {
        name: _series(pd, kind, column)
        for name, kind, column in zip(names, kinds, columns, strict=True)
    }
    frame = pd.DataFrame(made)
    # Whether a column of objects is one of texts must not hang on the rows that came by chance.
    frame.attrs["kinds"] = list(kinds)
    return frame


class NumberTable:
    """Columns of numbers, with as much of a frame as models need that take a matrix."""

    def __init__(self, names: Sequence[str], kinds: Sequence[str], columns: Sequence[Any]) -> None:
        other = [name for name, kind in zip(names, kinds, strict=True) if kind not in _NUMBERS]
        if other:
            raise ValueError(f"{', '.join(other)}: no numbers{_NO_PANDAS}")
        found = [np.frombuffer(c, np.float64) if isinstance(c, bytes) else c for c in columns]
        self.columns = list(names)
        self._held = dict(zip(names, found, strict=True))

    def __getitem__(self, name: str) -> Any:
        return self._held[name]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the model wants a frame's {name!r}{_NO_PANDAS}")

    def to_numpy(self, dtype: Any) -> Any:
        """(rows, columns)."""
        return np.stack([self._held[name] for name in self.columns], axis=1).astype(dtype)


def _series(pd: Any, kind: str, column: Any) -> Any:
    if isinstance(column, bytes | np.ndarray):
        values = np.frombuffer(column, np.float64) if isinstance(column, bytes) else column
        whole = bool(np.isfinite(values).all())
        match kind:
            case "integer" if whole:
                return pd.Series(values.astype(np.int64))
            case "boolean" if whole:
                return pd.Series(values.astype(bool))
            case "boolean":
                held = [None if np.isnan(v) else bool(v) for v in values]
                return pd.Series(held, dtype=object)
            case "datetime":
                return pd.Series(pd.to_datetime(values, unit="s", utc=True))
            case _:
                return pd.Series(np.array(values))
    return pd.Series(list(column), dtype=object)
