"""A fitted estimator as a plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from windvane.core.execution import DATA_TYPES

Floats = NDArray[np.float64]
ToGraph = Callable[[Any, Floats, int], tuple[bytes, Floats]]


class EstimatorPlugin:
    """Probabilities of a classifier; the values of anything else that predicts."""

    def __init__(self, estimator: Any, to_graph: ToGraph) -> None:
        self._estimator = estimator
        self._to_graph = to_graph
        self._call = getattr(estimator, "predict_proba", None) or estimator.predict
        names = getattr(estimator, "feature_names_in_", None)
        self.features = [] if names is None else [str(name) for name in names]
        self.columns = len(getattr(estimator, "classes_", ())) or 1
        self.kind = type(estimator).__name__

    def predict(self, rows: Any) -> NDArray[Any]:
        """A mapping of columns becomes a frame, with texts as this pandas keeps them."""
        if isinstance(rows, Mapping):
            import pandas as pd

            kind = "str" if pd.Series(["a"]).dtype != object else object
            rows = pd.DataFrame(
                {
                    name: pd.Series(column, dtype=kind) if isinstance(column, list) else column
                    for name, column in rows.items()
                }
            )
        return np.asarray(self._call(rows))

    def convert(self, rows: Floats, probes: int) -> tuple[bytes, Floats]:
        return self._to_graph(self._estimator, rows, probes)


def load_estimator(path: Path, to_graph: ToGraph, *, trusted: bool) -> EstimatorPlugin:
    """From ``.skops``, or by joblib from any pickle: its code runs here."""
    if path.suffix == ".skops":
        return EstimatorPlugin(_load_skops(path, trusted), to_graph)
    if not trusted:
        raise PermissionError(f"{path.name} is a pickle")
    return EstimatorPlugin(joblib.load(path), to_graph)


def _load_skops(path: Path, trusted: bool) -> Any:
    import skops.io

    named = skops.io.get_untrusted_types(file=path)
    if not trusted:
        named = [name for name in named if name in DATA_TYPES]  # skops refuses the others
    return skops.io.load(path, trusted=named)
