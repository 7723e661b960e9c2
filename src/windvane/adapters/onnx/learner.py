"""Histogram gradient boosting by scikit-learn, written as ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from windvane.adapters.onnx.artifact import GRAPH, INPUTS
from windvane.adapters.onnx.convert import split_probes, to_graph
from windvane.adapters.onnx.runtime import OnnxPredictor
from windvane.core.acceptance import ParityReport, compare_outputs
from windvane.core.execution import SERVED_FILE, InputSpec, ServedBy
from windvane.core.sketch import FeatureSpec, FeatureType
from windvane.ports.learner import Columns

Floats = NDArray[np.float64]
_PROBES = 3_000


class BoostedCandidate:
    """A fitted classifier with the encoding of its inputs."""

    def __init__(self, model: HistGradientBoostingClassifier, inputs: list[InputSpec]) -> None:
        self._model = model
        self._inputs = inputs

    def matrix(self, columns: Columns) -> Floats:
        """Columns as the model's input (rows, inputs)."""
        return np.stack([_encode(spec, columns[spec.feature]) for spec in self._inputs], axis=1)

    def predict(self, columns: Columns) -> Floats:
        return self._model.predict_proba(self.matrix(columns))[:, 1]

    def write(self, folder: Path) -> None:
        (folder / GRAPH).write_bytes(to_graph(self._model, len(self._inputs)))
        (folder / INPUTS).write_bytes(msgspec.json.encode(self._inputs))
        (folder / SERVED_FILE).write_bytes(msgspec.json.encode(ServedBy(file=GRAPH)))

    def parity(self, columns: Columns, tolerance: float) -> ParityReport:
        graph = to_graph(self._model, len(self._inputs))
        served = OnnxPredictor(graph, self._inputs, [spec.feature for spec in self._inputs])
        rows = self.matrix(columns)
        probes = split_probes(self._model, rows, _PROBES)

        def both(x: Floats) -> tuple[Floats, Floats]:
            return self._model.predict_proba(x)[:, 1], served.predict(x.tolist())

        return compare_outputs(both(rows), both(probes), tolerance)


class BoostedLearner:
    """The learner port: fast on one core, takes missing values, converts exactly."""

    def __init__(self, rounds: int = 120, leaves: int = 15, rate: float = 0.08) -> None:
        self._params = {"max_iter": rounds, "max_leaf_nodes": leaves, "learning_rate": rate}

    @property
    def params(self) -> Mapping[str, Any]:
        return {"learner": "hist_gradient_boosting", **self._params}

    def fit(
        self,
        features: Sequence[FeatureSpec],
        columns: Columns,
        labels: Floats,
        *,
        unknown: str,
        seed: int,
    ) -> BoostedCandidate:
        inputs = [
            InputSpec(spec.name, _vocabulary(columns[spec.name], labels), unknown)
            if spec.type is FeatureType.CATEGORY
            else InputSpec(spec.name)
            for spec in features
        ]
        model = HistGradientBoostingClassifier(
            **{**self._params, "random_state": seed, "early_stopping": False}
        )
        candidate = BoostedCandidate(model, inputs)
        model.fit(candidate.matrix(columns), labels.astype(int))
        return candidate


def _vocabulary(values: Sequence[str | None], labels: Floats) -> tuple[str, ...]:
    """Categories by their mean label, so that one split can part the risky from the safe."""
    sums: dict[str, list[float]] = {}
    for value, label in zip(values, labels, strict=True):
        if value is not None:
            held = sums.setdefault(value, [0.0, 0.0])
            held[0] += label
            held[1] += 1.0
    mean = float(labels.mean())
    return tuple(sorted(sums, key=lambda v: ((sums[v][0] + 20 * mean) / (sums[v][1] + 20), v)))


def _encode(spec: InputSpec, values: Sequence[Any]) -> Floats:
    if spec.vocabulary is None:
        return np.array([np.nan if v is None else v for v in values], np.float64)
    codes = {name: float(i) for i, name in enumerate(spec.vocabulary)}
    return np.array([codes.get(v, np.nan) for v in values], np.float64)
