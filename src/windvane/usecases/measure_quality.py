"""How good a model's answers were, span by span and version by version, from what the log joins.

Reads, and decides nothing: the monitor ``outcomes`` judges. This says how it stands meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from windvane.core.outcomes import OutcomePolicy
from windvane.core.task import Quality, make_task
from windvane.ports.event_log import EventLog, OutcomeCounts, ScoredRows
from windvane.usecases.count_outcomes import arrive_within_s
from windvane.usecases.read_model_file import ModelFile

ALPHA = 0.025
"""On each side: the bounds are those of a 95% interval."""
SPANS = 12
MOST_ROWS = 200_000
LEAST_ROWS = OutcomePolicy(0.0).min_rows
_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class SpanQuality:
    """Of the predictions that one ``version`` was to answer in [start, end) (s) and whose outcome
    is known. ``short_of``: what is missing for a value to be told, "" where it is told."""

    start: float
    end: float
    version: str
    quality: Quality
    short_of: str


@dataclass(frozen=True, slots=True)
class QualityReport:
    """``floor`` is the model file's, None where it has none. ``spans`` are oldest first and leave
    out those without an outcome; ``whole`` is of all of them together, a version each. ``counts``
    are of the outcomes that were received in [start, end), by tenant. ``cut``: there were more
    rows than are read at once, and only the newest of a span are counted."""

    metric: str
    larger_is_better: bool
    floor: float | None
    start: float
    end: float
    spans: tuple[SpanQuality, ...]
    whole: tuple[SpanQuality, ...]
    counts: tuple[OutcomeCounts, ...]
    cut: bool

    @property
    def joined(self) -> int:
        return sum(one.joined for one in self.counts)


def measure_quality(
    log: EventLog,
    file: ModelFile,
    start: float,
    end: float,
    *,
    most_rows: int = MOST_ROWS,
    within_s: float = _WITHIN_S,
) -> QualityReport:
    """Of [start, end) in ``SPANS`` equal spans. Raises LogTooSlow, LogUnavailable."""
    task = make_task(file.contract.task)
    floor = file.watch.outcomes.get("floor")
    spans: list[SpanQuality] = []
    held: dict[str, list[ScoredRows]] = {}
    left, cut = most_rows, False
    share_s = within_s / (SPANS + 1)
    for i in reversed(range(SPANS)):
        begin, until = _cut(start, end, i), _cut(start, end, i + 1)
        if not left:
            break
        found = log.scored(file.model, file.contract, begin, until, limit=left, within_s=share_s)
        rows = sum(len(one.labels) for one in found)
        cut = cut or rows == left
        left -= rows
        for version in sorted({one.routed for one in found}):
            mine = [one for one in found if one.routed == version]
            held.setdefault(version, []).extend(mine)
            spans.append(_quality(file, version, mine, begin, until))
    counts = log.outcome_counts(
        file.model, file.contract, start, end, arrive_within_s(file), within_s=share_s
    )
    return QualityReport(
        metric=task.metric,
        larger_is_better=task.larger_is_better,
        floor=None if floor is None else float(floor),
        start=start,
        end=end,
        spans=tuple(sorted(spans, key=lambda one: (one.start, one.version))),
        whole=tuple(_quality(file, name, rows, start, end) for name, rows in sorted(held.items())),
        counts=tuple(counts),
        cut=cut,
    )


def _cut(start: float, end: float, i: int) -> float:
    return start + (end - start) * i / SPANS


def _quality(
    file: ModelFile, version: str, found: Sequence[ScoredRows], start: float, end: float
) -> SpanQuality:
    """Labels of a contract that grew have two lengths: those of most rows are told."""
    task = make_task(file.contract.task)
    shapes = [one.labels.shape[1:] for one in found]
    alike = [one for one in found if one.labels.shape[1:] == max(set(shapes), key=shapes.count)]
    outputs = [np.concatenate(parts) for parts in zip(*(f.outputs for f in alike), strict=True)]
    quality = task.quality(outputs, np.concatenate([f.labels for f in alike]), ALPHA)
    short_of = quality.missing
    if not short_of and quality.rows < LEAST_ROWS:
        short_of = f"{LEAST_ROWS - quality.rows} more rows with an outcome"
    if not short_of and not all(map(math.isfinite, (quality.value, quality.lower, quality.upper))):
        short_of = "a value that is a number"
    return SpanQuality(start, end, version, quality, short_of)
