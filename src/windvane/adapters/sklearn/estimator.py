"""A fitted estimator as a plugin."""

from __future__ import annotations

from collections.abc import Callable
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
        classes = getattr(estimator, "classes_", ())
        self.classes = [_label(name) for name in classes] if _is_flat(classes) else []
        self.kind = type(estimator).__name__
        self._none = _knows_none(estimator)

    def predict(self, rows: Any) -> Any:
        """A frame's missing texts are None or NaN, as the estimator learned them."""
        if hasattr(rows, "columns") and not self._none:
            for name in rows.columns:
                if rows[name].dtype == object:
                    rows[name] = rows[name].where(rows[name].notna(), np.nan)
        found = self._call(rows)
        if isinstance(found, list):  # one array of (rows, 2) for each of several labels
            return np.stack([one[:, -1] for one in found], axis=1)
        return np.asarray(found)

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


def _label(name: Any) -> str:
    if isinstance(name, float | np.floating) and float(name).is_integer():
        return str(int(name))
    return str(name)


def _is_flat(classes: Any) -> bool:
    """Whether there is one list of labels, not one for each of several outputs."""
    return not any(isinstance(one, list | np.ndarray) for one in classes)


def _knows_none(estimator: Any) -> bool:
    """Whether some step was fitted with None as a category: to it NaN is another one."""
    waiting: list[Any] = [estimator]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        for categories in getattr(one, "categories_", ()):
            if any(category is None for category in np.ravel(np.asarray(categories, object))):
                return True
        for steps in (getattr(one, "steps", ()), getattr(one, "transformers_", ()),
                      getattr(one, "transformer_list", ())):  # fmt: skip
            waiting += [part for step in steps for part in step if hasattr(part, "get_params")]
        waiting += [
            held
            for held in (getattr(one, "estimator", None), getattr(one, "estimator_", None))
            if held is not None
        ]
    return False
