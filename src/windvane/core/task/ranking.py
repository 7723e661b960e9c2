"""Order: a score for each row, compared within the rows of one unit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.signature import MAX_MAGNITUDE, OutputSpec, show
from windvane.core.statistics import auc, auc_parts, delong, midranks
from windvane.core.task.base import (
    OUTPUT,
    Floats,
    OutputRow,
    Outputs,
    Quality,
    Task,
    finite_number,
)
from windvane.core.task.spec import BadLabel, BadTask

_MIN_EACH = 10


class RankingTask(Task):
    """A score may be any number: only its order counts. Labels are relevances from 0 on."""

    kind = "ranking"
    metric = "auc"
    outputs = (OutputSpec("score"),)

    def rows(self, outputs: Outputs) -> list[OutputRow | None]:
        return [(v,) if abs(v) <= MAX_MAGNITUDE else None for v in outputs[0].tolist()]

    def value(self, row: OutputRow) -> float:
        return row[0]

    def constant(self, given: Any) -> OutputRow:
        try:
            return (finite_number(given, "the score"),)
        except BadLabel as error:
            raise BadTask(error.message) from error

    def label(self, given: Any) -> float:
        value = finite_number(given, "the relevance")
        if not 0.0 <= value <= 1_000.0:
            raise BadLabel(f"a relevance lies from 0 to 1000, got {show(given)}")
        return value

    def losses(self, outputs: Outputs, labels: Floats) -> Floats:
        """Squared distance of a score's logistic from whether the row was relevant at all."""
        likely = 0.5 * (1.0 + np.tanh(0.5 * outputs[0]))
        return (likely - (labels > 0.0)) ** 2

    def holdout_losses(self, outputs: Outputs, labels: Floats) -> Floats:
        """By a score's place among all: two models' scores need not have one scale."""
        places = (midranks(outputs[0]) - 0.5) / max(1, len(labels))
        return (places - (labels > 0.0)) ** 2

    def metrics(self, outputs: Outputs, labels: Floats) -> dict[str, float]:
        at = min(self.spec.at, len(labels))
        order = np.argsort(-outputs[0], kind="stable")
        gains = (2.0**labels - 1.0) / 1.0
        discounts = 1.0 / np.log2(np.arange(2, at + 2))
        best = float((np.sort(gains)[::-1][:at] * discounts).sum())
        found = float((gains[order][:at] * discounts).sum())
        return {
            "auc": auc(outputs[0], labels > 0.0),
            f"ndcg_at_{self.spec.at}": found / best if best else float("nan"),
            f"precision_at_{self.spec.at}": float((labels[order][:at] > 0).mean()) if at else 0.0,
        }

    def quality(self, outputs: Outputs, labels: Floats, alpha: float) -> Quality:
        found = delong(outputs[0], labels > 0.0)
        if min(found.positives, found.negatives) < _MIN_EACH:
            message = f"relevant and irrelevant rows, {_MIN_EACH} of each"
            area = found.area if math.isfinite(found.area) else 0.5
            return Quality(self.metric, area, 0.0, 1.0, len(labels), missing=message)
        return Quality(self.metric, found.area, found.lower(alpha), found.upper(alpha), len(labels))

    def parts(self, outputs: Outputs, labels: Floats) -> Floats:
        return auc_parts(outputs[0], labels > 0.0)

    def ranked(self, labels: Floats) -> NDArray[np.bool_]:
        return labels > 0.0

    def row_metrics(self, outputs: Outputs, labels: Floats) -> dict[str, Floats]:
        """None of a ranking's metrics is a mean over rows."""
        del outputs, labels
        return {}

    def naive(self, labels: Floats) -> float:
        del labels
        return 0.5

    def streams(self, outputs: Outputs) -> dict[str, Any]:
        return {OUTPUT: outputs[0]}
