"""MLflow's generic flavour as a plugin: the last resort; in the sandbox only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class PyfuncPlugin:
    """Whatever the flavour's ``predict`` gives for a frame of named columns."""

    columns = 0

    def __init__(self, model: Any) -> None:
        self._model = model
        schema = model.metadata.get_input_schema()
        self.features = list(schema.input_names()) if schema and schema.has_input_names() else []
        self._kinds = (
            dict(zip(self.features, schema.pandas_types(), strict=True)) if self.features else {}
        )
        self.kind = str(model.metadata.flavors.get("python_function", {}).get("loader_module"))

    def predict(self, rows: Any) -> NDArray[Any]:
        if isinstance(rows, Mapping):
            kind = "str" if pd.Series(["a"]).dtype != object else object
            rows = {
                name: pd.Series(column, dtype=kind) if isinstance(column, list) else column
                for name, column in rows.items()
            }
        frame = pd.DataFrame(rows)
        for name, kind in self._kinds.items():
            # The signature refuses a float where it says integer; one with gaps stays a float.
            if (
                name in frame
                and np.issubdtype(kind, np.number)
                and bool(np.all(frame[name].notna()))
            ):
                frame[name] = frame[name].astype(kind)
        return np.asarray(self._model.predict(frame), np.float64)

    def convert(self, rows: NDArray[np.float64], probes: int) -> tuple[bytes, NDArray[np.float64]]:
        del rows, probes
        raise ValueError("a pyfunc is code, which has no form as a graph")


def load_pyfunc(path: Path) -> PyfuncPlugin:
    """From the folder that holds its MLmodel: its code runs here."""
    import mlflow.pyfunc

    return PyfuncPlugin(mlflow.pyfunc.load_model(str(path), suppress_warnings=True))
