"""By which metric outcomes of a model are judged: its task's own, or of the rows that are acted
on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from windvane.core.outcomes import Calibration, top_share_mean
from windvane.core.task import Measure, PrecisionAt, make_task, top_ranked
from windvane.ports.event_log import ScoredRows
from windvane.usecases.read_model_file import ModelFile, parse_budget

PRECISION_AT = "precision_at"
"""The value of `watch.outcomes.metric` that is not the task's own."""


@dataclass(frozen=True, slots=True)
class _ActedOn:
    """The ``at`` highest scores of each period of ``per_s`` seconds."""

    at: int
    per_s: float


def measure_of(file: ModelFile) -> Measure:
    """The metric that the file's floor is of."""
    task, acted = make_task(file.contract.task), _acted_on(file)
    return task if acted is None else PrecisionAt(task, acted.at)


def task_floor(file: ModelFile) -> float | None:
    """The floor of the task's own metric; None where there is none, or it is of another."""
    floor = file.watch.outcomes.get("floor")
    return None if floor is None or _acted_on(file) is not None else float(floor)


def measured_rows(
    file: ModelFile, found: Sequence[ScoredRows], start: float, end: float
) -> Sequence[ScoredRows]:
    """The rows of [start, end) (s) that the metric is of: all, or those that were acted on of each
    whole period, whoever answered them."""
    acted = _acted_on(file)
    if acted is None or not found:
        return found
    scores = np.concatenate([one.outputs[0] for one in found])
    times = np.concatenate([one.times for one in found])
    chosen = top_ranked(scores, times, acted.at, acted.per_s, start, end)
    parts = np.split(chosen, np.cumsum([len(one.times) for one in found])[:-1])
    return [one.taken(part) for one, part in zip(found, parts, strict=True) if part.any()]


def is_of_acted_on(file: ModelFile) -> bool:
    """Whether the metric is of the rows that are acted on, and not of all."""
    return _acted_on(file) is not None


def holdout_metric(
    file: ModelFile,
    measure: Measure,
    holdout: Mapping[str, float],
    calibration: Calibration | None,
    share: float,
) -> float | None:
    """What a version's holdout has of the metric, None where nobody knows it. Of the rows that are
    acted on, ``share`` of all: what the holdout's as large a share with the highest scores has."""
    if _acted_on(file) is None:
        return holdout.get(measure.metric)
    return None if calibration is None else top_share_mean(calibration, share)


def _acted_on(file: ModelFile) -> _ActedOn | None:
    given = file.watch.outcomes
    if given.get("metric") != PRECISION_AT:
        return None
    count, per_s = parse_budget(str(given.get("at", "")))
    return _ActedOn(int(count), per_s)
