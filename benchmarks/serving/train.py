"""Run Windvane's trainer with the benchmark's learner, and keep what it fitted for the peers.

``python -m serving.train ESTIMATOR ROUNDS``: ESTIMATOR is where the fitted scikit-learn model
goes, by joblib, ROUNDS how many rounds it is boosted; the order is on the standard input, as
`windvane train` gives it to the trainer.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib

from windvane.adapters.onnx.learner import BoostedCandidate, BoostedLearner
from windvane.apps.trainer import wiring
from windvane.apps.trainer.train import main
from windvane.core.signature import FeatureSpec
from windvane.core.task import TaskSpec
from windvane.ports.learner import Columns


class KeepingLearner:
    """The learner port: fits as Windvane does and writes the very same object for the peers."""

    def __init__(self, path: Path, rounds: int) -> None:
        self._path = path
        self._learner = BoostedLearner(rounds=rounds)

    @property
    def params(self) -> Mapping[str, Any]:
        return self._learner.params

    def fit(
        self,
        features: Sequence[FeatureSpec],
        task: TaskSpec,
        columns: Columns,
        labels: Any,
        **how: Any,
    ) -> BoostedCandidate:
        candidate = self._learner.fit(features, task, columns, labels, **how)
        joblib.dump(candidate._model, self._path)
        return candidate


if __name__ == "__main__":
    estimator, rounds = Path(sys.argv.pop(1)), int(sys.argv.pop(1))
    wiring.learner = lambda: KeepingLearner(estimator, rounds)  # type: ignore[assignment]
    raise SystemExit(main())
