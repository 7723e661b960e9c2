"""Histogram gradient boosting by scikit-learn, written as ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from windvane.adapters.onnx.artifact import GRAPH, INPUTS
from windvane.adapters.onnx.convert import split_probes, to_graph
from windvane.adapters.onnx.runtime import OnnxPredictor
from windvane.core.acceptance import ParityReport, compare_outputs
from windvane.core.execution import SERVED_FILE, ServedBy
from windvane.core.signature import FeatureSpec, FeatureType, InputSpec
from windvane.core.task import (
    BinaryTask,
    Contract,
    MulticlassTask,
    Outputs,
    RegressionTask,
    TaskSpec,
    make_task,
)
from windvane.ports.learner import CannotLearn, Columns

Floats = NDArray[np.float64]
_PROBES = 3_000


_LEARNS = {
    FeatureType.NUMBER, FeatureType.INTEGER, FeatureType.BOOLEAN, FeatureType.CATEGORY,
    FeatureType.DATETIME, FeatureType.VECTOR,
}  # fmt: skip


class BoostedCandidate:
    """A fitted model with the encoding of its inputs."""

    def __init__(
        self, model: Any, inputs: list[InputSpec], features: Sequence[FeatureSpec], task: TaskSpec
    ) -> None:
        self._model = model
        self._inputs = inputs
        self._features = features
        self._task = make_task(task)
        self._served = ServedBy(file=GRAPH, task=task.kind)

    def matrix(self, columns: Columns) -> Floats:
        """Columns as the model's input (rows, width)."""
        parts = [_encode(spec, columns[spec.feature]) for spec in self._inputs]
        return np.concatenate(parts, axis=1)

    def predict(self, columns: Columns) -> Outputs:
        return self._answer(self.matrix(columns))

    def _answer(self, x: Floats) -> list[Floats]:
        if isinstance(self._model, HistGradientBoostingClassifier):
            found = self._model.predict_proba(x)
            return [found[:, 1] if self._task.kind == BinaryTask.kind else found]
        return [self._model.predict(x)]

    def write(self, folder: Path) -> None:
        (folder / GRAPH).write_bytes(to_graph(self._model, self._width))
        (folder / INPUTS).write_bytes(msgspec.json.encode(self._inputs))
        (folder / SERVED_FILE).write_bytes(msgspec.json.encode(self._served))

    def parity(self, columns: Columns, tolerance: float) -> ParityReport:
        contract = Contract(tuple(self._features), self._task.spec)
        graph = to_graph(self._model, self._width)
        served = OnnxPredictor(graph, self._inputs, contract, self._served)
        rows = self.matrix(columns)
        probes = split_probes(self._model, rows, _PROBES)

        def both(x: Floats) -> tuple[Floats, Floats]:
            return self._answer(x)[0], served.predict_matrix(x)[0]

        has_unit = self._task.loss_is_relative
        return compare_outputs(both(rows), both(probes), tolerance, has_unit=has_unit)

    @property
    def _width(self) -> int:
        lengths = {spec.name: max(1, spec.length) for spec in self._features}
        return sum(lengths[spec.feature] for spec in self._inputs)


class BoostedLearner:
    """The learner port: fast on one core, takes missing values, converts exactly. It knows
    binary and multiclass models and regressions of one output."""

    def __init__(self, rounds: int = 120, leaves: int = 15, rate: float = 0.08) -> None:
        self._params = {"max_iter": rounds, "max_leaf_nodes": leaves, "learning_rate": rate}

    @property
    def params(self) -> Mapping[str, Any]:
        return {"learner": "hist_gradient_boosting", **self._params}

    def fit(
        self,
        features: Sequence[FeatureSpec],
        task: TaskSpec,
        columns: Columns,
        labels: Floats,
        *,
        unknown: str,
        seed: int,
    ) -> BoostedCandidate:
        _check_learnable(features, task, labels)
        inputs = [
            InputSpec(spec.name, _vocabulary(columns[spec.name], labels), unknown)
            if spec.type is FeatureType.CATEGORY
            else InputSpec(spec.name)
            for spec in features
        ]
        settings = {**self._params, "random_state": seed, "early_stopping": False}
        if task.kind == RegressionTask.kind:
            model: Any = HistGradientBoostingRegressor(**settings)
        else:
            model = HistGradientBoostingClassifier(**settings)
            labels = labels.astype(int)
        candidate = BoostedCandidate(model, inputs, features, task)
        x = candidate.matrix(columns)
        x[:, np.isnan(x).all(axis=0)] = 0.0  # nothing to learn from; scikit-learn fails on it
        model.fit(x, labels)
        return candidate


def _check_learnable(features: Sequence[FeatureSpec], task: TaskSpec, labels: Floats) -> None:
    for spec in features:
        if spec.type not in _LEARNS:
            raise CannotLearn(
                f"{spec.name} is a {spec.type}, which the built-in learner cannot take"
            )
    plain = not (task.quantiles or task.horizons or len(task.outputs) > 1)
    if task.kind == RegressionTask.kind and plain:
        return
    if task.kind == MulticlassTask.kind:
        missing = [name for i, name in enumerate(task.classes) if not (labels == i).any()]
        if missing:
            raise CannotLearn(f"no row is labelled {', '.join(missing)}")
        return
    if task.kind != BinaryTask.kind:
        raise CannotLearn(
            f"the built-in learner trains no {task.kind} models"
            + (" with quantiles, horizons or several outputs" if not plain else "")
        )


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
        if len(values) and isinstance(next((v for v in values if v is not None), None), list):
            return np.array(values, np.float64)
        return np.array([np.nan if v is None else v for v in values], np.float64)[:, None]
    codes = {name: float(i) for i, name in enumerate(spec.vocabulary)}
    return np.array([codes.get(v, np.nan) for v in values], np.float64)[:, None]
