"""MLflow's generic flavour as a plugin: the last resort; in the sandbox only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class PyfuncPlugin:
    """Whatever the flavour's ``predict`` gives for a frame of named columns."""

    classes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ("mlflow-skinny", "mlflow")

    def __init__(self, model: Any) -> None:
        self._model = model
        self.categories: Mapping[str, Sequence[str]] = {}
        schema = model.metadata.get_input_schema()
        self.features = list(schema.input_names()) if schema and schema.has_input_names() else []
        self._kinds = (
            dict(zip(self.features, schema.pandas_types(), strict=True)) if self.features else {}
        )
        self.kind = str(model.metadata.flavors.get("python_function", {}).get("loader_module"))

    def predict(self, rows: Any) -> Any:
        """Arrays by column where it gives a frame; else one array."""
        frame = pd.DataFrame(rows)
        for name, kind in self._kinds.items():
            if name in frame:
                frame[name] = _as_signed(frame[name], kind)
        found = self._model.predict(frame)
        if isinstance(found, pd.DataFrame):
            named = {str(name): found[name].to_numpy() for name in found.columns}
            numbers = {name: one for name, one in named.items() if one.dtype.kind in "fiub"}
            return numbers or named  # labels as texts beside probabilities are left out
        return np.asarray(found)

    def answer(self, frame: Any) -> Any:
        return self.predict(frame)

    def convert(self, rows: NDArray[np.float64], probes: int) -> tuple[bytes, NDArray[np.float64]]:
        del rows, probes
        raise ValueError("a pyfunc is code, which has no form as a graph")


def _as_signed(column: Any, kind: Any) -> Any:
    """As the signature wants it: it refuses a float where it says integer, and a time with a zone
    where it says datetime. One with gaps stays as it is."""
    if str(kind).startswith("datetime64") and hasattr(column, "dt"):
        return column.dt.tz_convert(None) if column.dt.tz is not None else column
    if (
        kind is bool
        or kind == np.bool_
        or (np.issubdtype(kind, np.number) and bool(np.all(column.notna())))
    ):
        return column.astype(kind) if bool(np.all(column.notna())) else column
    return column


def load_pyfunc(path: Path) -> PyfuncPlugin:
    """From the folder that holds its MLmodel: its code runs here."""
    import mlflow.pyfunc

    return PyfuncPlugin(mlflow.pyfunc.load_model(str(path), suppress_warnings=True))
