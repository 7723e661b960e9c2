"""A fitted estimator as a plugin."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.execution import DATA_TYPES

_OPENERS: Mapping[str, Callable[..., Any]] = {
    ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open,
}  # fmt: skip
Floats = NDArray[np.float64]
ToGraph = Callable[[Any, Floats, int], tuple[bytes, Floats]]
_BOOSTED = {
    "xgboost": ("xgboost", "xgboost-cpu"), "lightgbm": ("lightgbm",), "catboost": ("catboost",),
}  # fmt: skip


class EstimatorPlugin:
    """Probabilities of a classifier; the values of anything else that predicts."""

    def __init__(self, estimator: Any, to_graph: ToGraph) -> None:
        self._estimator = estimator
        self._to_graph = to_graph
        self._call = getattr(estimator, "predict_proba", None) or estimator.predict
        names = getattr(estimator, "feature_names_in_", None)
        self.features = [] if names is None else [str(name) for name in names]
        self._classes = getattr(estimator, "classes_", ())
        flat = _is_flat(self._classes)
        self.classes = [_label(name) for name in self._classes] if flat else []
        self.kind = type(estimator).__name__
        self._none = _knows_none(estimator)
        self._reads_texts = _reads_texts(estimator)
        module = type(estimator).__module__.partition(".")[0]
        self._boosted = module if module in _BOOSTED else ""
        if self._boosted:
            own = _boosted_names(estimator)
            self.features = own or self.features
        self.packages = ["scikit-learn", *_BOOSTED.get(module, ())]
        self.categories: dict[str, tuple[str, ...]] = _boosted_categories(estimator, self.features)

    def predict(self, rows: Any) -> Any:
        """A frame's missing texts are None or NaN, as the estimator learned them."""
        if hasattr(rows, "columns"):
            rows = self._typed(rows)
        found = self._call(rows)
        if isinstance(found, list):  # one array of (rows, labels) for each of several outputs
            return np.stack(
                [_yes(one, classes) for one, classes in zip(found, self._classes, strict=True)],
                axis=1,
            )
        return np.asarray(found)

    def answer(self, frame: Any) -> Any:
        """Of a frame; of its plain values where it was fitted on a matrix without names."""
        if self.features or self._reads_texts:
            return self.predict(frame)
        objects = any(frame[name].dtype == object for name in frame.columns)
        if objects:
            return self.predict(self._typed(frame).to_numpy(object))
        return self.predict(frame.to_numpy(np.float64))

    def _typed(self, frame: Any) -> Any:
        rows = frame.copy()
        if self._reads_texts and rows.shape[1] == 1:
            return rows.iloc[:, 0]
        if self._boosted:
            return _boosted_frame(self._estimator, rows)
        if not self._none:
            for name in rows.columns:
                if rows[name].dtype == object:
                    rows[name] = rows[name].where(rows[name].notna(), np.nan)
        return rows

    def convert(self, rows: Floats, probes: int) -> tuple[bytes, Floats]:
        return self._to_graph(self._estimator, rows, probes)


def _yes(found: Any, classes: Any) -> Any:
    """(rows,): the probability of the label that is not zero; where training saw one label only
    there is one column, and nothing to choose."""
    labels = list(np.ravel(np.asarray(classes)))
    if len(labels) == 1:
        return found[:, 0] if labels[0] else np.zeros(len(found))
    return found[:, -1]


def _reads_texts(estimator: Any) -> bool:
    """Whether it, or its first step, takes a list of texts rather than a table."""
    steps = getattr(estimator, "steps", None)
    first = steps[0][1] if steps else estimator
    return hasattr(first, "build_analyzer")


def _boosted_names(estimator: Any) -> list[str]:
    names = getattr(estimator, "feature_name_", None)  # lightgbm's
    if names is None and hasattr(estimator, "get_booster"):
        names = estimator.get_booster().feature_names
    if names is None:
        names = getattr(estimator, "feature_names_", None)  # catboost's
    held = [str(name) for name in names or ()]
    numbered = [[f"{letter}{i}" for i in range(len(held))] for letter in ("", "f", "Column_")]
    return [] if held in numbered else held


def _boosted_categories(estimator: Any, features: Sequence[str]) -> dict[str, tuple[str, ...]]:
    booster = estimator.get_booster() if hasattr(estimator, "get_booster") else None
    if booster is not None:
        kinds = booster.feature_types or ()
        return {n: () for n, kind in zip(features, kinds, strict=False) if kind == "c"}
    if hasattr(estimator, "get_cat_feature_indices"):
        places = set(estimator.get_cat_feature_indices())
        return {name: () for i, name in enumerate(features) if i in places}
    return {}


def _boosted_frame(estimator: Any, rows: Any) -> Any:
    """Texts as the categories that a booster's own package takes."""
    import pandas as pd

    lists = getattr(getattr(estimator, "booster_", None), "pandas_categorical", None)
    waiting = iter(lists or [])
    for name, kind in zip(rows.columns, rows.attrs["kinds"], strict=True):
        column = rows[name]
        if column.dtype != object:
            continue
        if kind == "category":
            known = {str(value): value for value in next(waiting, ())}
            values = [None if value is None else known.get(value, value) for value in column]
            # CatBoost takes texts as they are.
            catboost = hasattr(estimator, "get_cat_feature_indices")
            rows[name] = values if catboost else pd.Categorical(values)
        else:
            rows[name] = column.astype(np.float64)
    return rows


def load_estimator(path: Path, to_graph: ToGraph, *, trusted: bool) -> EstimatorPlugin:
    """From ``.skops``, or by joblib from any pickle: its code runs here. Where a version's own
    packages lack joblib, by Python's own loader."""
    if path.suffix == ".skops":
        return EstimatorPlugin(_load_skops(path, trusted), to_graph)
    if not trusted:
        raise PermissionError(f"{path.name} is a pickle")
    return EstimatorPlugin(_unpickle(path), to_graph)


def _unpickle(path: Path) -> Any:
    try:
        import joblib
    except ModuleNotFoundError:
        with _OPENERS.get(path.suffix, open)(path, "rb") as file:
            return pickle.load(file)  # noqa: S301 - it is trusted by now, and in a sandbox
    return joblib.load(path)


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
