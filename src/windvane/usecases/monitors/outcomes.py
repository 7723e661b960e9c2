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
from windvane.core.task import Quality, Task, make_task
from windvane.core.verdict import Outcome
from windvane.ports.event_log import EventLog, ScoredRows
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.count_outcomes import arrive_within_s
from windvane.usecases.measure_quality import quality_by_unit
from windvane.usecases.monitors.base import (
    NO_SUBJECT,
    AlarmState,
    Judge,
    Judged,
    Monitor,
    moment,
    read_row,
)
from windvane.usecases.monitors.spans import due_since
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
    },
)
OUTCOME_STATES = ("joined", "late", "unknown", "ambiguous", "out_of_range")
"""What may become of an outcome, as `OutcomeCounts` has them."""
_MARGIN = 0.05
_MARGIN_OF_LOSS = 0.25
_MOST_ROWS = 500_000


@dataclass(frozen=True, slots=True)
class OutcomesState:
    """Where the next look begins, and since when outcomes are below the floor (s)."""

    since: float = 0.0
    below_since: float | None = None

    @property
    def alarmed(self) -> bool:
        return self.below_since is not None


class Outcomes(Monitor):
    """What the champion answered over a span, by the task's metric, against the file's floor and
    against its own holdout. Answers of other versions (a canary's belong to its gate), of rules and
    constants are shown beside."""

    name = "outcomes"
    title = "Outcomes"
    cause = OUTCOMES
    judge = Judge("outcomes", OutcomeFacts, OutcomePolicy, judge_outcomes)
    slow = True

    def streams(self, file: ModelFile, tenants: int) -> int:
        del file, tenants
        return 2  # the floor and the holdout

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        held = read_row(rows, OutcomesState)
        _, due = due_since(window, held.since)
        floor = window.file.watch.outcomes.get("floor")
        if not due or floor is None:
            return []
        # One look a span: no more false pages than the budget gives one stream.
        alpha = min(0.01, 1.0 / window.policy.slow_alarm_at)
        task = make_task(window.file.contract.task)
        policy = OutcomePolicy(float(floor), alpha=alpha, margin=margin_of(window.file, task))
        began, until = scored_span(window)
        scored = log.scored(
            window.model, window.file.contract, began, until, arrive_within_s(window.file),
            limit=_MOST_ROWS,
        )  # fmt: skip
        version = window.live.champion
        quality = quality_of(task, [one for one in scored if one.answered == version], alpha)
        facts = OutcomeFacts(version, quality, window.holdout.get(task.metric))
        verdict = judge_outcomes(facts, policy, window.end)
        cause = Cause(OUTCOMES, window.model)
        findings: tuple[Finding, ...] = ()
        below = held.below_since
        if verdict.failed and below is None:
            title = f"{verdict.sentence}, since {moment(began)}"
            findings = (Finding(self.name, cause, True, began, title),)
            below = began
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
            "outcomes": _became_of(window, log),
            "others": _others(task, scored, version, alpha),
            "began": began,
            "ended": until,
            "missing": verdict.missing,
        }
        if not quality.missing:
            detail |= {"lower": round(quality.lower, 4), "upper": round(quality.upper, 4)}
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
        due = held.since + parse_duration(file.watch.drift_over)
        return f"outcomes are looked at again after {moment(due)}"

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        del cause
        return {NO_SUBJECT: replace(read_row(rows, OutcomesState), below_since=None)}


def scored_span(window: ClosedWindow) -> tuple[float, float]:
    """(start, end) in s of the predictions that a look at the end of ``window`` is at.

    Where outcomes may take longer than a span, it is the last one of which all are due: of a
    younger one hardly any have come, and of each prediction none ever would be looked at.
    """
    within, over_s = arrive_within_s(window.file) or 0.0, window.policy.drift_over_s
    until = window.end - within if within > over_s else window.end
    return until - over_s, until


def _became_of(window: ClosedWindow, log: EventLog) -> Mapping[str, int]:
    """How many outcomes that came in the span were joined, late and so on, over all tenants."""
    file, start = window.file, window.end - window.policy.drift_over_s
    counted = log.outcome_counts(
        window.model, file.contract, start, window.end, arrive_within_s(file)
    )
    return {state: sum(getattr(one, state) for one in counted) for state in OUTCOME_STATES}


def quality_of(task: Task, found: Sequence[ScoredRows], alpha: float) -> Quality:
    """How good one version's answers were, with bounds at ``alpha`` for rows that go wrong together
    by unit, by time and by day."""
    if not found:
        return Quality(task.metric, 0.0, 0.0, 0.0, 0, task.larger_is_better, "outcomes")
    quality, short_of, _ = quality_by_unit(task, found, alpha, over_time=True)
    return replace(quality, missing=short_of)


def margin_of(file: ModelFile, task: Task) -> float:
    """By how much the metric may be worse than on the holdout, as `OutcomePolicy` has it."""
    given = file.watch.outcomes.get("margin")
    if given is not None:
        return float(given)
    return _MARGIN if task.larger_is_better else _MARGIN_OF_LOSS


def _others(
    task: Task, scored: Sequence[ScoredRows], champion: str, alpha: float
) -> Sequence[Mapping[str, Any]]:
    """What other versions answered, "" for rules and constants."""
    out: list[Mapping[str, Any]] = []
    for version in sorted({one.answered for one in scored} - {champion}):
        quality = quality_of(task, [one for one in scored if one.answered == version], alpha)
        told: dict[str, Any] = {"version": version, "scored": quality.rows}
        if not quality.missing:
            told |= {k: round(getattr(quality, k), 4) for k in ("value", "lower", "upper")}
        out.append(told)
    return out
