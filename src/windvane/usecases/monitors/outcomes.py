"""Answers that turn out to be worse than the floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join
from windvane.core.outcomes import OutcomePolicy, judge_outcomes
from windvane.core.task import Quality, make_task
from windvane.core.verdict import Outcome
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.count_outcomes import arrive_within_s
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
from windvane.usecases.read_model_file import ModelFile

OUTCOMES = CauseKind(
    "outcomes", CauseGroup.QUALITY, "outcomes-below-floor.md", joins={"feed": Join.WHILE_OPEN}
)
OUTCOME_STATES = ("joined", "late", "unknown", "ambiguous", "out_of_range")
"""What may become of an outcome, as `OutcomeCounts` has them."""


@dataclass(frozen=True, slots=True)
class OutcomesState:
    """Where the next look begins, and since when outcomes are below the floor (s)."""

    since: float = 0.0
    below_since: float | None = None

    @property
    def alarmed(self) -> bool:
        return self.below_since is not None


class Outcomes(Monitor):
    """Everyone's answers over a span, by the task's metric, against the file's floor."""

    name = "outcomes"
    title = "Outcomes"
    cause = OUTCOMES
    judge = Judge("outcomes", Quality, OutcomePolicy, judge_outcomes)
    slow = True

    def streams(self, file: ModelFile, tenants: int) -> int:
        del file, tenants
        return 1

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        held = read_row(rows, OutcomesState)
        _, due = due_since(window, held.since)
        floor = window.file.watch.outcomes.get("floor")
        if not due or floor is None:
            return []
        # One look a span: no more false pages than the budget gives one stream.
        alpha = min(0.01, 1.0 / window.policy.slow_alarm_at)
        policy = OutcomePolicy(float(floor), alpha=alpha)
        began, until = scored_span(window)
        facts = quality_of(window, log, began, until, alpha)
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
        value = None if facts.missing else round(facts.value, 4)
        detail: dict[str, Any] = {
            facts.metric: value,
            "metric": facts.metric,
            "scored": facts.rows,
            "floor": float(floor),
            "outcomes": _became_of(window, log),
            "began": began,
            "missing": verdict.missing,
        }
        if not facts.missing:
            detail |= {"lower": round(facts.lower, 4), "upper": round(facts.upper, 4)}
        states = {NO_SUBJECT: OutcomesState(window.end, below)}
        return [Judged(NO_SUBJECT, facts, policy, verdict, findings, states, detail)]

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        del window, finding, log
        return found.detail

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


def quality_of(
    window: ClosedWindow, log: EventLog, start: float, end: float, alpha: float
) -> Quality:
    """How good the answers made in [start, end) were, with bounds at ``alpha``."""
    contract = window.file.contract
    task = make_task(contract.task)
    within = arrive_within_s(window.file)
    found = log.scored(window.model, contract, start, end, within)
    if not found:
        return Quality(task.metric, 0.0, 0.0, 0.0, 0, task.larger_is_better, "outcomes")
    outputs = [np.concatenate(parts) for parts in zip(*(f.outputs for f in found), strict=True)]
    labels = np.concatenate([f.labels for f in found])
    return task.quality(outputs, labels, alpha)
