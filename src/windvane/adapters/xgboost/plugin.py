"""XGBoost's own Python package, asked what a model answers; in the sandbox only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class XgboostPlugin:
    """A file as its package loads it: by XGBClassifier, XGBRegressor or XGBRanker where one of them
    wrote it, else as a Booster. Both use the best iteration where training stopped early."""

    packages: Sequence[str] = ("xgboost", "xgboost-cpu")
    features: Sequence[str]
    classes: Sequence[str] = ()

    def __init__(self, path: Path, missing: float, rounds: int) -> None:
        import xgboost

        self._library = xgboost
        # Its package tells its two forms apart by the name's ending only.
        body = bytearray(path.read_bytes())
        booster = xgboost.Booster(model_file=body)
        self.features = list(booster.feature_names or ())
        self._types = list(booster.feature_types or ())
        self.categories: Mapping[str, Sequence[str]] = {
            name: () for name, kind in zip(self.features, self._types, strict=False) if kind == "c"
        }
        self._numeric = _numeric_categories(booster, self.features)
        best = booster.attr("best_iteration")
        self._rounds = rounds or (int(best) + 1 if best else 0)
        self._booster, self._missing = booster, missing
        self._estimator: Any = None
        wrapped = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type", "")
        made = {
            "classifier": xgboost.XGBClassifier, "regressor": xgboost.XGBRegressor,
            "ranker": xgboost.XGBRanker,
        }.get(wrapped)  # fmt: skip
        if made is not None:
            # Its own loader sets nothing that says what stands for a missing value.
            self._estimator = made(missing=missing, n_jobs=1)
            self._estimator.load_model(body)
        self.kind = made.__name__ if made is not None else "Booster"
        params = json.loads(booster.save_config())["learner"]["learner_model_param"]
        self._targets = int(params.get("num_target", "1"))

    def predict(self, rows: Any) -> Any:
        return self.answer(rows)

    def answer(self, frame: Any) -> Any:
        """A classifier's probabilities; of two classes the second's."""
        made = self._typed(frame)
        estimator = self._estimator
        if self.categories and not hasattr(made, "columns"):  # codes as they are
            matrix = self._library.DMatrix(
                made, missing=self._missing, feature_names=list(self.features),
                feature_types=self._types, enable_categorical=True,
            )  # fmt: skip
            given = {"iteration_range": (0, self._rounds)} if self._rounds else {}
            return np.asarray(self._booster.predict(matrix, **given))
        if estimator is not None:
            given = {"iteration_range": (0, self._rounds)} if self._rounds else {}
            if hasattr(estimator, "predict_proba"):
                found = np.asarray(estimator.predict_proba(made, **given))
                return found[:, 1] if found.shape[1] == 2 and self._targets == 1 else found
            return np.asarray(estimator.predict(made, **given))
        matrix = self._library.DMatrix(made, missing=self._missing, enable_categorical=True)
        given = {"iteration_range": (0, self._rounds)} if self._rounds else {}
        return np.asarray(self._booster.predict(matrix, **given))

    def _typed(self, frame: Any) -> Any:
        """Names as the model has them, categories as pandas has them."""
        made = frame.copy()
        if self.features:
            made.columns = list(self.features)
        else:
            return made.to_numpy(np.float64)
        coded = [n for n in self.categories if made[n].dtype != object]
        if coded and len(coded) == len(self.categories):
            return made.to_numpy(np.float64)
        for name, kind in zip(self.features, self._types, strict=False):
            if kind == "c":
                known = self._numeric.get(name, {})
                if known:  # whole numbers were its categories; one more is none of them
                    other = max(known.values()) + 1
                    made[name] = [None if v is None else known.get(v, other) for v in made[name]]
                made[name] = made[name].astype("category")
            elif made[name].dtype == object:
                made[name] = made[name].astype(np.float64)
        return made

    def convert(self, rows: NDArray[np.float64], probes: int) -> tuple[bytes, NDArray[np.float64]]:
        del rows, probes
        raise ValueError("xgboost serves its own file: a graph would round its thresholds")


def _numeric_categories(booster: Any, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By feature, the numbers that are its categories, by their texts."""
    document = json.loads(bytes(booster.save_raw("json")))
    trees = document["learner"]["gradient_booster"]
    held = trees.get("gbtree", trees).get("model", {}).get("cats", {}).get("enc", ())
    return {
        name: {_text(value): value for value in one["values"]}
        for name, one in zip(names, held, strict=False)
        if one.get("values") and "offsets" not in one
    }


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def load_library(path: Path, missing: str, rounds: int) -> XgboostPlugin:
    return XgboostPlugin(path, float(missing) if missing else math.nan, rounds)
