"""How good a model's answers were, span by span and version by version, from what the log joins.

Reads, and decides nothing: the monitor ``outcomes`` judges. This says how it stands meanwhile.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from windvane.core.outcomes import OutcomePolicy
from windvane.core.sketch import MOST_SEGMENTS
from windvane.core.statistics import (
    LEAST_BLOCKS,
    LEAST_EARLIER,
    reach_of_block,
    reach_over_time,
    reach_over_units,
)
from windvane.core.task import Measure, Quality
from windvane.ports.event_log import EventLog, OutcomeCounts, ScoredRows
from windvane.usecases.count_outcomes import arrive_within_s
from windvane.usecases.outcome_metric import measure_of, measured_rows
from windvane.usecases.read_model_file import ModelFile
from windvane.usecases.row_segments import values_of_rows

ALPHA = 0.025
"""On each side: the bounds are those of a 95% interval."""
SPANS = 12
MOST_ROWS = 200_000
LEAST_ROWS = OutcomePolicy(0.0).min_rows
_WITHIN_S = 30.0
_WHOLE = 0.5
_LEAST_DAYS_S = 3 * 86_400.0


@dataclass(frozen=True, slots=True)
class SpanQuality:
    """Of the predictions that one ``version`` answered in [start, end) (s), whoever was to answer
    them, and whose outcome is known; ``version`` is "" for those that a rule or a constant
    answered. ``short_of``: what is missing for a value to be told, "" where it is told. The bounds
    hold where ``independent`` are: units, or rows where not all rows have a unit; and for rows near
    in time that go wrong together. ``of`` is the tenant or the declared segment that it is of, ""
    for all rows."""

    start: float
    end: float
    version: str
    quality: Quality
    short_of: str
    independent: Literal["units", "rows"]
    of: str = ""

    @property
    def answerer(self) -> str:
        return f"version {self.version}" if self.version else "a rule or a constant"


@dataclass(frozen=True, slots=True)
class QualityReport:
    """``floor`` is the model file's, None where it has none. ``spans`` are oldest first and leave
    out those without an outcome; ``whole`` is of all of them together, a version each, and
    ``parts`` of each tenant and each value of a declared feature by itself, of the version with
    most rows: those with most of them, at most `MOST_SEGMENTS` tenants and values of a feature.
    ``counts`` are of the outcomes that were received in [start, end), by tenant. ``cut``: there
    were more rows than are read at once, and only the newest are counted."""

    metric: str
    larger_is_better: bool
    floor: float | None
    start: float
    end: float
    spans: tuple[SpanQuality, ...]
    whole: tuple[SpanQuality, ...]
    counts: tuple[OutcomeCounts, ...]
    cut: bool
    parts: tuple[SpanQuality, ...] = ()

    @property
    def interval(self) -> str:
        """What the bounds are, in words."""
        by_unit = bool(self.whole) and all(one.independent == "units" for one in self.whole)
        word = "units" if by_unit else "rows"
        return f"95% intervals for independent {word}, and for times that go wrong together"

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
    measure = measure_of(file)
    floor = file.watch.outcomes.get("floor")
    in_time = arrive_within_s(file)
    found = log.scored(
        file.model, file.contract, start, end, in_time, limit=most_rows, within_s=within_s / 2,
        features=file.segments,
    )  # fmt: skip
    counts = log.outcome_counts(
        file.model, file.contract, start, end, in_time, within_s=within_s / 2
    )
    rows_read = sum(len(one.labels) for one in found)
    found = measured_rows(file, found, start, end)
    spans: list[SpanQuality] = []
    whole: list[SpanQuality] = []
    for version in sorted({one.answered for one in found}):
        mine = [one for one in found if one.answered == version]
        whole.append(_quality(file, version, mine, start, end))
        for i, rows in enumerate(rows_by_span(mine, start, end, SPANS)):
            if rows:
                span = _cut(start, end, i, SPANS), _cut(start, end, i + 1, SPANS)
                spans.append(_quality(file, version, rows, *span))
    return QualityReport(
        metric=measure.metric,
        larger_is_better=measure.larger_is_better,
        floor=None if floor is None else float(floor),
        start=start,
        end=end,
        spans=tuple(sorted(spans, key=lambda one: (one.start, one.version))),
        whole=tuple(whole),
        counts=tuple(counts),
        cut=rows_read == most_rows,
        parts=_parts(file, found, whole, start, end),
    )


def _parts(
    file: ModelFile,
    found: Sequence[ScoredRows],
    whole: Sequence[SpanQuality],
    start: float,
    end: float,
) -> tuple[SpanQuality, ...]:
    version = max(whole, key=lambda one: one.quality.rows, default=None)
    if version is None:
        return ()
    mine = [one for one in found if one.answered == version.version]
    tenants = [f"tenant {name}" for one in mine for name in one.tenants.tolist()]
    names = [name for name, _ in Counter(tenants).most_common(MOST_SEGMENTS)]
    places = {name: i for i, name in enumerate(names)}
    cuts = [np.array([places.get(name, -1) for name in tenants], np.int64)]
    of = [names]
    for feature in file.segments:
        held = values_of_rows(feature, mine)
        of.append([f"segment {name}" for name in held.names])
        cuts.append(held.places)
    out: list[SpanQuality] = []
    for names, rows in zip(of, cuts, strict=True):
        by_part = np.split(rows, np.cumsum([len(one.times) for one in mine])[:-1])
        for i, name in enumerate(names):
            taken = [one.taken(at == i) for one, at in zip(mine, by_part, strict=True)]
            told = _quality(file, version.version, [t for t in taken if len(t.times)], start, end)
            out.append(replace(told, of=name))
    return tuple(out)


def _cut(start: float, end: float, i: int, spans: int) -> float:
    return start + (end - start) * i / spans


def rows_by_span(
    found: Sequence[ScoredRows], start: float, end: float, spans: int
) -> list[list[ScoredRows]]:
    """The rows of [start, end) (s) in so many equal ``spans``."""
    cuts = [_cut(start, end, i, spans) for i in range(1, spans)]
    out: list[list[ScoredRows]] = [[] for _ in range(spans)]
    for one in found:
        places = np.searchsorted(cuts, one.times, side="right")
        for i in np.unique(places).tolist():
            out[i].append(one.taken(places == i))
    return out


def _quality(
    file: ModelFile, version: str, found: Sequence[ScoredRows], start: float, end: float
) -> SpanQuality:
    # One midnight in a span makes no two days of it that could be compared.
    days = end - start >= _LEAST_DAYS_S
    return SpanQuality(start, end, version, *quality_of(measure_of(file), found, ALPHA, days=days))


def quality_of(
    measure: Measure, found: Sequence[ScoredRows], alpha: float, *, days: bool = True
) -> tuple[Quality, str, Literal["units", "rows"]]:
    """The quality of one version's rows with bounds at level ``alpha`` for rows of one unit, of one
    time, and (``days``) of one day, that go wrong together; what is missing for it to be told; and
    whether rows of one unit were taken for it, or not all have one. Whoever tells or judges how
    good answers were asks this.

    Labels of a contract that grew have two lengths: those of most rows are told.
    """
    shapes = [one.labels.shape[1:] for one in found]
    alike = [one for one in found if one.labels.shape[1:] == max(set(shapes), key=shapes.count)]
    outputs = [np.concatenate(parts) for parts in zip(*(f.outputs for f in alike), strict=True)]
    labels = np.concatenate([f.labels for f in alike])
    units = np.concatenate([f.units for f in alike])
    quality = measure.quality(outputs, labels, alpha)
    short_of = quality.missing
    if not short_of and quality.rows < LEAST_ROWS:
        short_of = f"{LEAST_ROWS - quality.rows} more rows with an outcome"
    if not short_of:
        clusters, count = _clusters(units)
        short_of = f"{LEAST_BLOCKS - count} more units" if count < LEAST_BLOCKS else ""
        parts = np.empty(0) if short_of else measure.parts(outputs, labels)
        quality = quality if short_of else quality.by_units(count, alpha)
        if len(parts) and count < len(units):
            quality = quality.widened(reach_over_units(parts, clusters, alpha))
        if len(parts):
            times = np.concatenate([one.times for one in alike])
            quality = quality.widened(reach_over_time(parts, times, alpha, days=days)[0])
    if not short_of and not all(map(math.isfinite, (quality.value, quality.lower, quality.upper))):
        short_of = "a value that is a number"
    return quality, short_of, "units" if bool((units != 0).all()) else "rows"


def quality_of_newest(
    measure: Measure, blocks: Sequence[Sequence[ScoredRows]], alpha: float
) -> tuple[int, Quality] | None:
    """The place of the newest of one version's blocks (oldest first) whose labels have come, and
    its quality with bounds at level ``alpha`` for blocks that differ as the earlier ones do. None
    where fewer than ``LEAST_EARLIER`` of those are known: nobody knows how much blocks differ. The
    one just before it is left out of them, for a change begins in the middle of a block (a guard
    cell, as of CFAR detectors: Richards, Fundamentals of Radar Signal Processing, 6.5).

    The bounds of all blocks together are widened by a change among them, and say so only once most
    are on its far side; this says it of the first whole one.
    """
    rows = [sum(len(one.labels) for one in block) for block in blocks]
    for place in range(len(blocks) - 1, LEAST_EARLIER, -1):
        if rows[place] < max(LEAST_ROWS, _WHOLE * float(np.median(rows[:place]))):
            continue  # most of its labels are still to come
        before = [quality_of(measure, one, alpha, days=False) for one in blocks[: place - 1] if one]
        known = np.array([quality.value for quality, short_of, _ in before if not short_of])
        quality, short_of, _ = quality_of(measure, blocks[place], alpha, days=False)
        reach = reach_of_block(known, alpha)
        if short_of or math.isinf(reach):
            return None
        return place, quality.widened(reach, skewed=False)
    return None


def _clusters(units: NDArray[np.uint64]) -> tuple[NDArray[np.int64], int]:
    """The place of each row's unit, and how many there are; a row without one is its own."""
    _, places = np.unique(units, return_inverse=True)
    unknown = units == 0
    places[unknown] = len(units) + np.arange(int(unknown.sum()))
    return places, len(np.unique(places))
