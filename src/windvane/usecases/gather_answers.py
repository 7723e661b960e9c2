"""What versions answered in a window, by version and arm, and its figures for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift import Baseline, Cell, HealthyWindows, axis_index, project_cell
from windvane.core.routing import NO_SAMPLE
from windvane.core.sketch import Axis, Layout, NumericAxis, Sketch
from windvane.core.task import OUTPUT, Task, is_output_axis
from windvane.ports.control_store import WindowKey

Counts = NDArray[np.int64]
_CONFIDENCE = f"{OUTPUT}#confidence"
_DIGITS = 3


@dataclass(frozen=True, slots=True, eq=False)
class TrainedAnswers:
    """What a version answered for its training data: ``counts`` on the bins of ``layout``, which
    has nothing else, and how its ``healthy`` windows are."""

    layout: Layout
    counts: Counts
    healthy: HealthyWindows

    @classmethod
    def of(cls, layout: Layout, baseline: Baseline) -> TrainedAnswers:
        onto = answer_layout(layout)
        fresh = Cell.empty(onto, 0.0)
        known = len(baseline.cell.forecast.seen) == len(layout.axes)
        cell = project_cell(baseline.cell, layout, onto, fresh) if known else fresh
        counts = _without_nulls(onto, layout.project(baseline.counts, onto))
        return cls(onto, counts, HealthyWindows.of(cell))


@dataclass(frozen=True, slots=True)
class StandInCounts:
    """Of ``compared`` rows that a version answered and that its stand-in was asked, too: for how
    many it was ``silent``, gave ``another`` class, and how far apart the answers were in sum, in
    ``thousandths`` (of `Task.disagreement`)."""

    compared: int = 0
    silent: int = 0
    another: int = 0
    thousandths: int = 0

    @classmethod
    def of(cls, sketch: Sketch) -> StandInCounts:
        return cls(
            sketch.total("compared"),
            sketch.total("stand_in_silent"),
            sketch.total("stand_in_other_class"),
            sketch.total("stand_in_thousandths"),
        )

    @property
    def answered(self) -> int:
        return self.compared - self.silent

    @property
    def silent_share(self) -> float | None:
        """None where nothing was compared."""
        return self.silent / self.compared if self.compared else None

    @property
    def another_share(self) -> float | None:
        """Of those that the stand-in answered; None of none."""
        return self.another / self.answered if self.answered else None

    @property
    def difference(self) -> float | None:
        """The mean of how far apart answers were, from 0 to 1; None of none."""
        return self.thousandths / 1_000 / self.answered if self.answered else None


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Of one ``version`` in one ``arm``, of all tenants: ``counts`` of what it answered itself on
    its own bins, which ``layout`` has and nothing else; ``rows`` that it owed an answer to, of
    which something else answered ``fell_back``. ``alike``: of the feature that varies most, the
    part of the rows in its fullest bin. ``trained``: what it answered for its training data, None
    where that is not known. ``stand_in``: what its stand-in would have answered."""

    version: str
    arm: str
    layout: Layout
    counts: Counts
    rows: int
    fell_back: int
    alike: float
    trained: TrainedAnswers | None = None
    stand_in: StandInCounts = StandInCounts()

    @property
    def fallback_share(self) -> float:
        return self.fell_back / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class AnswerFigures:
    """Of counts, so as exact as their bins are fine: the ``mean`` (None of names), the bin with
    most answers and its share of them, and the mean confidence, None where the task has none."""

    mean: float | None
    top: str
    top_share: float | None
    confidence: float | None


@lru_cache(maxsize=1_024)
def answer_layout(layout: Layout) -> Layout:
    """Only what a version answers, on its own bins."""
    return Layout(tuple(a for a in layout.axes if is_output_axis(a.name) and "@" not in a.name))


def gather_answers(
    found: Iterable[tuple[WindowKey, Sketch]],
    layout_of: Callable[[str], Layout],
    trained_of: Callable[[str], TrainedAnswers | None] = lambda _: None,
) -> tuple[Answers, ...]:
    """By version and arm, of sketches as they were counted. ``layout_of`` the id of one,
    ``trained_of`` a version. Rows that somebody chose by their answers are left out."""
    merged: dict[tuple[str, str, str], Sketch] = {}
    for key, sketch in found:
        if not key.version or key.arm in NO_SAMPLE or not sketch.total("rows"):
            continue
        place = (key.version, key.arm, sketch.layout_id)
        merged[place] = merged[place] + sketch if place in merged else sketch
    out: list[Answers] = []
    for (version, arm, layout_id), sketch in sorted(merged.items()):
        layout = layout_of(layout_id)
        onto = answer_layout(layout)
        if not onto.axes:
            continue
        counts = _without_nulls(onto, layout.project(sketch.features, onto))
        out.append(
            Answers(
                version, arm, onto, counts, sketch.total("rows"), sketch.total("fell_back"),
                _alike(layout, sketch.features), trained_of(version), StandInCounts.of(sketch),
            )
        )  # fmt: skip
    return tuple(out)


def answer_figures(task: Task, answers: Answers) -> AnswerFigures:
    layout, counts = answers.layout, answers.counts
    first = layout.axes[0]
    part = layout.part(counts, first.name)
    if not part.sum():
        return AnswerFigures(None, "", None, None)
    place = int(part.argmax())
    confidence = None
    if _CONFIDENCE in layout.names:
        axis = layout.axes[layout.names.index(_CONFIDENCE)]
        confidence = _mean(axis, layout.part(counts, _CONFIDENCE))
    elif task.has_confidence and isinstance(first, NumericAxis):
        sure = [task.confidence((value,)) for value in first.bin_middles().tolist()]
        if all(value is not None for value in sure):
            confidence = float(np.dot(part[1:], np.array(sure, np.float64)) / part.sum())
    return AnswerFigures(
        _mean(first, part), answer_label(first, place), float(part[place] / part.sum()), confidence
    )


def answer_label(axis: Axis, place: int) -> str:
    """What a person calls the answers of a bin: a name, or the numbers that it reaches to."""
    labels = axis.labels(_DIGITS) if isinstance(axis, NumericAxis) else axis.labels()
    return labels[place]


def mean_answer(layout: Layout, counts: Counts) -> float | None:
    """The mean of the first output by its bins' middles, None of names or of no answers."""
    axis = layout.axes[0]
    return _mean(axis, layout.part(counts, axis.name))


def _mean(axis: Axis, part: Counts) -> float | None:
    known = int(part[1:].sum())
    if not isinstance(axis, NumericAxis) or not known:
        return None
    return float(np.dot(part[1:], axis.bin_middles()) / known)


def _without_nulls(layout: Layout, counts: Counts) -> Counts:
    """Nulls are rows that something else answered."""
    return np.where(axis_index(layout).null, 0, counts)


def _alike(layout: Layout, counts: Counts) -> float:
    """0 where no feature is counted."""
    index = axis_index(layout)
    rows = index.sum(counts.astype(np.float64))
    most = np.maximum.reduceat(counts, index.first)
    features = np.array([not is_output_axis(name) for name in layout.names]) & (rows > 0)
    return float((most[features] / rows[features]).min()) if features.any() else 0.0
