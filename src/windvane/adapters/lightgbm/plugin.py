"""LightGBM's own Python package, asked what a model answers; in the sandbox only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class LightgbmPlugin:
    """A text as its package loads it."""

    packages: Sequence[str] = ("lightgbm",)
    classes: Sequence[str] = ()
    kind = "Booster"

    def __init__(self, path: Path, rounds: int) -> None:
        import lightgbm

        self._booster = lightgbm.Booster(model_file=str(path))
        self._rounds = rounds or None
        self.categories: Mapping[str, Sequence[str]] = {}
        self.features = list(self._booster.feature_name())

    def predict(self, rows: Any) -> Any:
        return self.answer(rows)

    def answer(self, frame: Any) -> Any:
        made = as_categories(frame, self._booster.pandas_categorical or [])
        return np.asarray(self._booster.predict(made, num_iteration=self._rounds, num_threads=1))

    def convert(self, rows: NDArray[np.float64], probes: int) -> tuple[bytes, NDArray[np.float64]]:
        del rows, probes
        raise ValueError("lightgbm serves its own file: a graph would round its thresholds")


def as_categories(frame: Any, lists: Sequence[Sequence[Any]]) -> Any:
    """The frame with its columns of texts as categories, of the values that training had."""
    import pandas as pd

    made = frame.copy()
    waiting = iter(lists)
    for name, kind in zip(made.columns, frame.attrs["kinds"], strict=True):
        column = made[name]
        if column.dtype != object:
            continue
        if kind == "category":
            known = {str(value): value for value in next(waiting, ())}
            values = [None if value is None else known.get(value, value) for value in column]
            made[name] = pd.Categorical(values)
        else:
            made[name] = column.astype(np.float64)
    return made


def load_library(path: Path, rounds: int) -> LightgbmPlugin:
    return LightgbmPlugin(path, rounds)
