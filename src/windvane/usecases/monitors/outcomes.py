"""Answers that turn out to be worse than the floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join
from windvane.core.outcomes import (
    OutcomeFacts,
    OutcomePolicy,
    judge_outcomes,
    least_of_holdout,
)
from windvane.core.statistics import interval_level
from windvane.core.task import Measure, Quality
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.event_log import EventLog, LogTooSlow, ScoredRows
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.count_outcomes import arrive_within_s
from windvane.usecases.measure_quality import quality_of, quality_of_newest, rows_by_span
from windvane.usecases.monitors.base import (
    NO_SUBJECT,
    AlarmState,
    Judge,
    Judged,
    Monitor,
    moment,
    read_row,
)
from windvane.usecases.monitors.spans import (
    BLOCKS,
    LOOK_WITHIN_S,
    block_seconds,
    rolling_alarm_at,
    rolling_due,
    scored_rows,
    scored_span,
)
from windvane.usecases.outcome_metric import (
    holdout_metric,
    is_of_acted_on,
    measure_of,
    measured_rows,
)
from windvane.usecases.read_model_file import ModelFile, parse_duration

OUTCOMES = CauseKind(
    "outcomes",
    CauseGroup.QUALITY,
    "outcomes-below-floor.md",
    joins={
        "feed": Join.WHILE_OPEN,
        "concept_drift": Join.WHILE_OPEN,
        "base_rate": Join.WHILE_OPEN,
        "calibration": Join.WHILE_OPEN,
        "segment_truth": Join.WHILE_OPEN,
    },
)
OUTCOME_STATES = ("joined", "late", "unknown", "ambiguous", "out_of_range")
"""What may become of an outcome, as `OutcomeCounts` has them."""
_MARGIN = 0.05
_MARGIN_OF_LOSS = 0.25

_LABELLED = 0.9
"""The share of the rows of which those that are acted on are told."""


@dataclass(frozen=True, slots=True)
class OutcomesState:
    """When the last look was, and since when outcomes are below the floor (s)."""

    since: float = 0.0
    below_since: float | None = None

    @property
    def alarmed(self) -> bool:
        return self.below_since is not None


class Outcomes(Monitor):
    """What the champion answered over the last ``drift_over``, by the task's metric, against the
    file's floor and against its own holdout; once so much was watched, with the end of each block
    (a seventh of it), and of the newest block alone. What is open ends only once the whole interval
    is good enough, so that looks at nearly the same rows do not open and close it in turn. Answers
    of other versions (a canary's belong to its gate), of rules and constants are shown beside."""

    name = "outcomes"
    title = "Outcomes"
    cause = OUTCOMES
    judge = Judge("outcomes", OutcomeFacts, OutcomePolicy, judge_outcomes)
    slow = True

    def is_wanted(self, file: ModelFile) -> bool:
        return super().is_wanted(file) and "floor" in file.watch.outcomes

    def streams(self, file: ModelFile, tenants: int) -> int:
        del file, tenants
        return 4  # the floor and the holdout, of the span and of its newest block

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        held = read_row(rows, OutcomesState)
        floor = window.file.watch.outcomes.get("floor")
        if floor is None or not rolling_due(window, held.since):
            return []
        alpha = min(0.01, 1.0 / rolling_alarm_at(window))
        measure = measure_of(window.file)
        policy = OutcomePolicy(float(floor), alpha=alpha, margin=margin_of(window.file, measure))
        began, until = scored_span(window)
        version = window.live.champion
        try:
            every, became = scored_rows(window, log), _became_of(window, log)
            labelled = _labelled(window, log) if is_of_acted_on(window.file) else 1.0
        except LogTooSlow as error:
            return [_too_slow(window, held, policy, error)]
        scored = measured_rows(window.file, every, began, until)
        mine = [one for one in scored if one.answered == version]
        quality = _told(measure, mine, alpha)
        if is_of_acted_on(window.file) and labelled < _LABELLED:
            why = f"labels of {_LABELLED:.0%} of the rows, {labelled:.0%} have one"
            quality = replace(quality, missing=f"{why}: whom one acts on is not known of others")
        place, newest = quality_of_newest(
            measure, rows_by_span(mine, began, until, BLOCKS), alpha
        ) or (0, None)
        share = _rows(scored) / max(_rows(every), 1)
        holdout = holdout_metric(window.file, measure, window.holdout, window.calibration, share)
        facts = OutcomeFacts(
            version, quality, holdout, newest,
            began + place * block_seconds(window) if newest else 0.0,
        )  # fmt: skip
        verdict = judge_outcomes(facts, policy, window.end)
        cause = Cause(OUTCOMES, window.model)
        findings: tuple[Finding, ...] = ()
        below = held.below_since
        if verdict.failed and below is None:
            by_newest = newest is not None and not _span_fails(facts, policy)
            below = facts.newest_since if by_newest else max(began, window.watched_since)
            title = f"{verdict.sentence}, since {moment(below)}"
            findings = (Finding(self.name, cause, True, below, title),)
        elif verdict.outcome is Outcome.PASS and below is not None:
            line = f"outcomes are above the floor again: {verdict.sentence}"
            findings = (Finding(self.name, cause, False, below, line),)
            below = None
        value = None if quality.missing else round(quality.value, 4)
        detail: dict[str, Any] = {
            quality.metric: value,
            "metric": quality.metric,
            "version": version,
            "scored": quality.rows,
            "floor": float(floor),
            "least_of_holdout": least_of_holdout(facts, policy),
            "outcomes": became,
            "others": _others(measure, scored, version, alpha),
            "level": interval_level(alpha),
            "began": began,
            "ended": until,
            "missing": verdict.missing,
        }
        if not quality.missing:
            detail |= {"lower": round(quality.lower, 4), "upper": round(quality.upper, 4)}
        if newest is not None:
            numbers = {k: round(getattr(newest, k), 4) for k in ("value", "lower", "upper")}
            since = {"began": facts.newest_since, "scored": newest.rows}
            detail["newest"] = {**numbers, **since}
        states = {NO_SUBJECT: OutcomesState(window.end, below)}
        return [Judged(NO_SUBJECT, facts, policy, verdict, findings, states, detail)]

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        del window, finding, log
        return found.detail

    def outlook(self, file: ModelFile, rows: StateRows, cause: Cause) -> str:
        del cause
        held = read_row(rows, OutcomesState)
        if not held.since:
            return ""
        due = held.since + parse_duration(file.watch.drift_over) / BLOCKS
        return f"outcomes are looked at again by {moment(due)}"

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        del cause
        return {NO_SUBJECT: replace(read_row(rows, OutcomesState), below_since=None)}


def _labelled(window: ClosedWindow, log: EventLog) -> float:
    """The share of the rows of the span that have a label. Raises LogTooSlow."""
    began, until = scored_span(window)
    found = log.label_delays(
        window.model, began, until - began, 1, window.end, (), within_s=LOOK_WITHIN_S
    )
    rows = sum(one.rows for one in found)
    return sum(sum(one.labelled) for one in found) / rows if rows else 1.0


def _span_fails(facts: OutcomeFacts, policy: OutcomePolicy) -> bool:
    """Whether the whole span would fail without its newest block being looked at alone."""
    return judge_outcomes(replace(facts, newest=None), policy, 0.0).failed


def _too_slow(
    window: ClosedWindow, held: OutcomesState, policy: OutcomePolicy, error: LogTooSlow
) -> Judged:
    """It is asked again with the next look, and not in each window."""
    facts = OutcomeFacts(window.live.champion, Quality("", 0.0, 0.0, 0.0, 0, missing="the log"))
    verdict = Verdict(Outcome.ERROR, error.code, error.message)
    states = {NO_SUBJECT: replace(held, since=window.end)}
    return Judged(NO_SUBJECT, facts, policy, verdict, states=states)


def _became_of(window: ClosedWindow, log: EventLog) -> Mapping[str, int]:
    """How many outcomes that came in the span were joined, late and so on, over all tenants."""
    file, start = window.file, window.end - window.policy.drift_over_s
    counted = log.outcome_counts(
        window.model, file.contract, start, window.end, arrive_within_s(file),
        within_s=LOOK_WITHIN_S,
    )  # fmt: skip
    return {state: sum(getattr(one, state) for one in counted) for state in OUTCOME_STATES}


def _rows(found: Sequence[ScoredRows]) -> int:
    return sum(len(one.labels) for one in found)


def _told(measure: Measure, found: Sequence[ScoredRows], alpha: float) -> Quality:
    """How good one version's answers were, with bounds at ``alpha``."""
    if not found:
        return Quality(measure.metric, 0.0, 0.0, 0.0, 0, measure.larger_is_better, "outcomes")
    quality, short_of, _ = quality_of(measure, found, alpha)
    return replace(quality, missing=short_of)


def margin_of(file: ModelFile, measure: Measure) -> float:
    """By how much the metric may be worse than on the holdout, as `OutcomePolicy` has it."""
    given = file.watch.outcomes.get("margin")
    if given is not None:
        return float(given)
    return _MARGIN if measure.larger_is_better else _MARGIN_OF_LOSS


def _others(
    measure: Measure, scored: Sequence[ScoredRows], champion: str, alpha: float
) -> Sequence[Mapping[str, Any]]:
    """What other versions answered, "" for rules and constants."""
    out: list[Mapping[str, Any]] = []
    for version in sorted({one.answered for one in scored} - {champion}):
        quality = _told(measure, [one for one in scored if one.answered == version], alpha)
        told: dict[str, Any] = {"version": version, "scored": quality.rows}
        if not quality.missing:
            told |= {k: round(getattr(quality, k), 4) for k in ("value", "lower", "upper")}
        out.append(told)
    return out
