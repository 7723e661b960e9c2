"""How good a model's answers were over time: what was judged, and how it stands meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windvane.apps.console import times
from windvane.apps.console.colours import colour_of
from windvane.apps.console.labels import LabelsView, labels_view
from windvane.apps.console.log_reads import LogAnswer, LogReads
from windvane.apps.console.reading import ModelPage
from windvane.apps.console.views import Chart
from windvane.core.errors import WindvaneError
from windvane.core.statistics import interval_level, level_words
from windvane.core.task import metric_name
from windvane.ports.control_store import WindowVerdict
from windvane.ports.event_log import EventLog, OutcomeCounts
from windvane.usecases.measure_quality import (
    ALPHA,
    SPANS,
    QualityReport,
    SpanQuality,
    measure_quality,
)
from windvane.usecases.monitors.spans import BLOCKS
from windvane.usecases.outcome_metric import measure_of
from windvane.usecases.read_model_file import ModelFile, parse_duration
from windvane.usecases.read_quality import QualityLine, estimate_line, segment_estimates

FRESH_S = 60.0
_PAGE_WAIT_S = 1.0
_API_WAIT_S = 30.0
_WORDS = (
    ("joined", "joined a prediction in time"),
    ("late", "came too late"),
    ("unknown", "name no prediction"),
    ("ambiguous", "name several"),
    ("out_of_range", "cannot be"),
    ("revised", "revised"),
    ("refused", "requests refused"),
)


@dataclass(frozen=True, slots=True)
class Look:
    """One look of the judge: ``value`` with its bounds, None where it could not be told; they are
    of an interval at ``level``, by the budget of false alarms (None of looks that kept none)."""

    verdict: WindowVerdict
    start: float
    end: float
    value: float | None
    lower: float | None
    upper: float | None
    scored: int | None
    level: float | None = None

    @property
    def bounds(self) -> str:
        """ "" where they are not known."""
        if self.lower is None or self.upper is None:
            return ""
        of = "" if self.level is None else f", {level_words(self.level)}"
        return f"{self.lower:.3f} to {self.upper:.3f}{of}"


@dataclass(frozen=True, slots=True)
class QualityView:
    """``sentences`` say how it stands, a version each, and ``estimate`` how it is likely to, until
    outcomes come (``estimated_segments`` each declared segment by itself). ``next_look`` (s) is
    when the judge looks again, None where it never does; ``problem`` why the log was not read,
    ``pending`` that it is being read. ``holdouts``: the metric of each version on rows that it did
    not learn from."""

    metric: str
    floor: float | None
    floor_word: str
    sentences: tuple[str, ...]
    report: QualityReport | None
    looks: tuple[Look, ...]
    next_look: float | None
    chart: Chart | None
    problem: str
    pending: bool
    totals: tuple[tuple[str, str, int], ...]
    holdouts: Mapping[str, float]
    labels: LabelsView | None
    estimate: str = ""
    estimated_segments: tuple[QualityLine, ...] = ()

    @property
    def interval(self) -> str:
        """What the intervals are, in words."""
        return self.report.interval if self.report else ""

    @property
    def spans(self) -> Sequence[SpanQuality]:
        return self.report.spans[::-1] if self.report else ()

    @property
    def parts(self) -> Sequence[SpanQuality]:
        """Of each tenant and each segment."""
        return self.report.parts if self.report else ()

    @property
    def tenants(self) -> Sequence[OutcomeCounts]:
        """Those with most that went wrong first."""
        return self.report.counts if self.report else ()


class QualityReader:
    """Measures at most once in ``FRESH_S`` a model and span, whoever asks."""

    def __init__(self, log: EventLog, reads: LogReads) -> None:
        self._log, self._reads = log, reads

    async def glance(self, page: ModelPage, now: float) -> LogAnswer[QualityReport]:
        """For a page: what is there at once, or the last."""
        key, work = self._question(page, now)
        return await self._reads.ask(key, work, fresh_s=FRESH_S, wait_s=_PAGE_WAIT_S, stale=True)

    async def wait_for(self, page: ModelPage, now: float) -> QualityReport:
        """Raises LogTooSlow, LogUnavailable, TooManyReaders."""
        key, work = self._question(page, now)
        return await self._reads.wait_for(key, work, fresh_s=FRESH_S, wait_s=_API_WAIT_S)

    def _question(
        self, page: ModelPage, now: float
    ) -> tuple[tuple[str, str, float], Callable[[], QualityReport]]:
        file = page.glance.file
        start, end = spans_of(file, page.first_window, page.glance.grid.starts[0], now)
        key = ("quality", file.model, end - start)
        return key, lambda: measure_quality(self._log, file, start, end)


def spans_of(file: ModelFile, seen: float | None, shown: float, now: float) -> tuple[float, float]:
    """From when to when: as far as the judge looks back, or as the page shows, but not to before
    the first window that was ``seen``. Ends with whole spans of whole windows, so that the next
    reading has the same spans."""
    window_s = parse_duration(file.watch.window)
    since = min(now - parse_duration(file.watch.drift_over), shown)
    since = max(since, seen if seen is not None else now - window_s)
    span_s = max(1, math.ceil((now - since) / SPANS / window_s)) * window_s
    end = math.ceil(now / span_s) * span_s
    return end - SPANS * span_s, end


def quality_view(page: ModelPage, answer: LogAnswer[QualityReport] | None) -> QualityView:
    """``answer`` is None where this console has no log."""
    file = page.glance.file
    measure = measure_of(file)
    floor = file.watch.outcomes.get("floor")
    report = answer.value if answer is not None else None
    looks = tuple(_look(one, page) for one in page.outcomes)
    holdouts = {
        v.version: v.metrics[measure.metric] for v in page.versions if measure.metric in v.metrics
    }
    return QualityView(
        metric=metric_name(measure.metric),
        floor=None if floor is None else float(floor),
        floor_word="floor" if measure.larger_is_better else "ceiling",
        sentences=tuple(_with_holdout(one, holdouts) for one in report.whole) if report else (),
        report=report,
        looks=looks,
        next_look=_next_look(page, file) if floor is not None else None,
        chart=_chart(report, holdouts) if report and _told(report) else None,
        problem=problem_of(answer),
        pending=answer is not None and answer.pending,
        totals=_totals(report),
        holdouts=holdouts,
        labels=labels_view(page.labels),
        estimate=_estimate(page.estimate),
        estimated_segments=tuple(segment_estimates(page.estimate) if page.estimate else ()),
    )


def _with_holdout(one: SpanQuality, holdouts: Mapping[str, float]) -> str:
    held = holdouts.get(one.version)
    return sentence(one) if held is None else f"{sentence(one)}; {held:.3f} on its own holdout"


def sentence(one: SpanQuality) -> str:
    """How good one version was, with both bounds and the rows behind it, and what is independent
    where the bounds hold."""
    q = one.quality
    name, rows = metric_name(q.metric), f"n={q.rows:,}"
    if one.short_of:
        known = f"{q.rows:,} outcome{'' if q.rows == 1 else 's'} known, {one.short_of} needed"
        return f"{one.answerer}: too few outcomes to tell the {name} yet: {known}"
    level = level_words(interval_level(ALPHA))
    bounds = f"{q.lower:.3f} to {q.upper:.3f}, {level}"
    return f"{one.answerer}: {name} {q.value:.3f} ({bounds}), {rows}"


def _estimate(look: WindowVerdict | None) -> str:
    """What the newest look says, with its span; "" before one."""
    if look is None:
        return ""
    line = estimate_line(look)
    return f"version {line.version}, {times.utc(line.start)} to {times.utc(line.end)}: {line.note}"


def _told(report: QualityReport) -> bool:
    return any(not one.short_of for one in report.spans)


def problem_of(answer: LogAnswer[QualityReport] | None) -> str:
    """Why there is no report, as a sentence; "" where there is one, or will be."""
    if answer is None or answer.problem is None:
        return ""
    if isinstance(answer.problem, WindvaneError):
        return f"{answer.problem.code}: {answer.problem.message}"
    return "the outcomes could not be measured; the console's log has the details"


def _look(verdict: WindowVerdict, page: ModelPage) -> Look:
    detail = verdict.detail
    metric = str(detail.get("metric", "auc"))
    end = verdict.start + page.glance.grid.window_s
    began = _number(detail.get("began"))
    start = end - parse_duration(page.glance.file.watch.drift_over) if began is None else began
    scored = detail.get("scored")
    return Look(
        verdict, start, end, _number(detail.get(metric)), _number(detail.get("lower")),
        _number(detail.get("upper")), scored if isinstance(scored, int) else None,
        _number(detail.get("level")),
    )  # fmt: skip


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _next_look(page: ModelPage, file: ModelFile) -> float | None:
    newest = page.outcomes[0] if page.outcomes else None
    over_s = parse_duration(file.watch.drift_over)
    if newest is not None:
        return newest.start + page.glance.grid.window_s + over_s / BLOCKS
    return None if page.watched_since is None else page.watched_since + over_s


def _totals(report: QualityReport | None) -> tuple[tuple[str, str, int], ...]:
    if report is None:
        return ()
    return tuple(
        (name, words, sum(getattr(one, name) for one in report.counts)) for name, words in _WORDS
    )


def _chart(report: QualityReport, holdouts: Mapping[str, float]) -> Chart:
    """A point a version and span, in the middle of the span, with its interval; and what each of
    them had on its own holdout."""
    lines: list[dict[str, Any]] = []
    middles = sorted({(one.start + one.end) / 2 for one in report.spans})
    series: list[dict[str, Any]] = []
    words: list[str] = []
    for version, answerer in sorted({(one.version, one.answerer) for one in report.spans}):
        mine = {
            (one.start + one.end) / 2: one.quality
            for one in report.spans
            if one.version == version and not one.short_of
        }
        if not mine:
            continue
        held = [mine.get(t) for t in middles]
        series.append(
            {
                "label": answerer,
                "colour": f"v{colour_of(version)}",
                "values": [None if q is None else round(q.value, 4) for q in held],
                "low": [None if q is None else round(q.lower, 4) for q in held],
                "high": [None if q is None else round(q.upper, 4) for q in held],
            }
        )
        points = [
            f"{times.utc(t)} {q.value:.3f} ({q.lower:.3f} to {q.upper:.3f})"
            for t, q in mine.items()
        ]
        words.append(f"{answerer}: {', '.join(points)}")
        if version in holdouts:
            held_out = round(holdouts[version], 4)
            lines.append(
                {"at": held_out, "label": f"holdout {version}", "colour": f"v{colour_of(version)}"}
            )
            words.append(f"{answerer} on its own holdout: {held_out:g}")
    name = metric_name(report.metric)
    data: dict[str, Any] = {
        "t": middles, "unit": "", "series": series, "marks": [], "points": True, "lines": lines,
        "span": [report.start, report.end],
    }  # fmt: skip
    if report.floor is not None:
        data["floor"] = report.floor
        words.append(f"floor {report.floor:g}")
    return Chart("quality", name, "", "; ".join(words), data)
