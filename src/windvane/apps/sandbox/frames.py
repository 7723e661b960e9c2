"""Columns as the pandas frame that a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def make_frame(names: Sequence[str], kinds: Sequence[str], columns: Sequence[Any]) -> Any:
    """A frame with pandas' own types: whole numbers where none is missing, texts with None where
    one is, times in UTC. ``attrs["kinds"]`` are the types by place."""
    import pandas as pd

    made = {
        name: _series(pd, kind, column)
        for name, kind, column in zip(names, kinds, columns, strict=True)
    }
    frame = pd.DataFrame(made)
    # Whether a column of objects is one of texts must not hang on the rows that came by chance.
    frame.attrs["kinds"] = list(kinds)
    return frame


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
