"""A .cbm file as a plugin. The format is data, but its only reader is CatBoost's package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PROBABILITIES = {
    "Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll", "MultiLogloss",
    "MultiCrossEntropy",
}  # fmt: skip
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_ONE_BY_ONE = {"MultiLogloss", "MultiCrossEntropy"}


class CatboostPlugin:
    """Probabilities of a classifier, the values of anything else. CatBoost keeps the trees up to
    the best iteration itself."""

    packages: Sequence[str] = ("catboost",)

    def __init__(self, path: Path, rounds: int) -> None:
        try:
            import catboost
        except ImportError as error:
            raise ImportError(
                "CatBoost is not installed here: pip install 'windvane[catboost]'"
            ) from error
        self._library = catboost
        self._model = model = catboost.CatBoost()
        model.load_model(str(path), format="cbm")
        self._loss = str(model.get_all_params().get("loss_function", "")).partition(":")[0]
        self._rounds = rounds
        names = list(model.feature_names_ or ())
        # A model that was trained on a matrix calls its features by their numbers.
        self.features = [] if names == [str(i) for i in range(len(names))] else names
        self._categorical = set(model.get_cat_feature_indices())
        self._texts = set(model.get_text_feature_indices())
        self._width = len(names)
        labels = () if self._loss in _ONE_BY_ONE else np.ravel(np.asarray(model.classes_, object))
        self.classes = [_label(name) for name in labels]
        self.categories: Mapping[str, Sequence[str]] = {
            name: () for i, name in enumerate(self.features) if i in self._categorical
        }
        self.kind = f"CatBoost ({self._loss})"

    def predict(self, rows: Any) -> Any:
        return self.answer(rows)

    def answer(self, frame: Any) -> Any:
        rows = frame.copy() if hasattr(frame, "columns") else _as_frame(frame)
        if self.features:
            rows.columns = list(self.features)
        for i, name in enumerate(rows.columns):
            if i in self._categorical:
                rows[name] = [_category(value) for value in rows[name]]
            elif rows[name].dtype.kind == "M":  # times reach it as seconds
                rows[name] = rows[name].astype("int64") / _PER_SECOND[rows[name].dt.unit]
            elif i not in self._texts and rows[name].dtype == object:
                rows[name] = rows[name].astype(np.float64)
        pool = self._library.Pool(
            rows,
            cat_features=sorted(self._categorical) or None,
            text_features=sorted(self._texts) or None,
        )
        kind = "Probability" if self._loss in _PROBABILITIES else "RawFormulaVal"
        if self._loss in {"Poisson", "Tweedie"}:
            kind = "Exponent"
        found = self._model.predict(
            pool, prediction_type=kind, ntree_end=self._rounds, thread_count=1
        )
        return np.asarray(found)

    def convert(self, rows: NDArray[np.float64], probes: int) -> tuple[bytes, NDArray[np.float64]]:
        del rows, probes
        raise ValueError("catboost serves its own file")


def _category(value: Any) -> Any:
    """CatBoost hashes texts and whole numbers by their text; a number with a point is refused by
    it, and so is a missing one."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _as_frame(rows: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(np.asarray(rows))


def _label(name: Any) -> str:
    if isinstance(name, float | np.floating) and float(name).is_integer():
        return str(int(name))
    return str(name)


def load_model(path: Path, rounds: int = 0) -> CatboostPlugin:
    return CatboostPlugin(path, rounds)
