"""Precision among the rows that were acted on: those with the highest scores of each day."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from windvane.core.statistics import share_bounds
from windvane.core.task.base import Floats, Outputs, Quality, Task


class Measure(Protocol):
    """How good rows are by one metric, as a `Task` says it by its own."""

    larger_is_better: ClassVar[bool]

    @property
    def metric(self) -> str: ...

    def quality(self, outputs: Outputs, labels: Floats, alpha: float) -> Quality:
        """The metric with one-sided bounds at level ``alpha``, for independent rows."""
        ...

    def parts(self, outputs: Outputs, labels: Floats) -> Floats:
        """(rows,): each row's part of the metric less the metric, in units of it."""
        ...


class PrecisionAt:
    """The share of rows that are to be ranked above the others, among those that `top_ranked`
    chose, ``at`` a period. Bounds: `share_bounds`."""

    larger_is_better: ClassVar[bool] = True

    def __init__(self, task: Task, at: int) -> None:
        self.metric = f"precision_at_{at}"
        self._task = task

    def quality(self, outputs: Outputs, labels: Floats, alpha: float) -> Quality:
        del outputs
        hits = self._hits(labels)
        if not len(hits):
            return Quality(self.metric, 0.0, 0.0, 1.0, 0, missing="rows with an outcome")
        lower, upper = share_bounds(int(hits.sum()), len(hits), alpha)
        return Quality(self.metric, float(hits.mean()), lower, upper, len(hits))

    def parts(self, outputs: Outputs, labels: Floats) -> Floats:
        del outputs
        hits = self._hits(labels)
        return hits - hits.mean()

    def _hits(self, labels: Floats) -> Floats:
        above = self._task.ranked(labels)
        return np.zeros(0) if above is None else above.astype(np.float64)


def top_ranked(
    scores: Floats, times: Floats, at: int, per_s: float, start: float, end: float
) -> NDArray[np.bool_]:
    """(rows,): whether a row is among the ``at`` highest ``scores`` of its period of ``per_s``
    seconds, counted from the epoch (a day is one of UTC); of equal scores the earlier one. None is
    of a period that does not lie in [start, end) (s) as a whole: the highest of a part of a day are
    not those of the day."""
    period = np.floor(times / per_s).astype(np.int64)
    whole = (period * per_s >= start) & ((period + 1) * per_s <= end)
    order = np.lexsort((times, -scores, period))
    sorted_period = period[order]
    first = np.searchsorted(sorted_period, sorted_period, side="left")
    chosen = np.zeros(len(scores), np.bool_)
    chosen[order[np.arange(len(order)) - first < at]] = True
    return chosen & whole
