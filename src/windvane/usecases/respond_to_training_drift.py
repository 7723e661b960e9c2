"""Respond to training drift, and to outcomes once they are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np

from windvane.core.alerting import Cause, CauseKind, Response, choose_response
from windvane.core.drift import Alarm, DriftFacts
from windvane.core.journal import Decision
from windvane.core.outcomes import OutcomePolicy, judge_outcomes
from windvane.core.task import Quality, make_task
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import Tx
from windvane.ports.event_log import EventLog
from windvane.usecases.load_window import ClosedWindow
from windvane.usecases.open_incident import close_incident, open_incident


class _Finding(Protocol):
    @property
    def facts(self) -> DriftFacts: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def alarms(self) -> tuple[Alarm, ...]: ...


@dataclass(frozen=True, slots=True)
class Scores:
    """The judge of outcomes: what it saw, by which policy, and what it said."""

    facts: Quality
    policy: OutcomePolicy
    verdict: Verdict

    @property
    def detail(self) -> dict[str, Any]:
        value = None if self.facts.missing else round(self.facts.value, 4)
        return {self.facts.metric: value, "metric": self.facts.metric, "scored": self.facts.rows}


def judge_scores(log: EventLog, window: ClosedWindow) -> Scores | None:
    """Everyone's answers over the span that was merged, by the task's metric; None without a
    floor."""
    floor = window.file.watch.outcomes.get("floor")
    if floor is None:
        return None
    start = window.end - window.policy.drift_over_s
    contract = window.file.contract
    task = make_task(contract.task)
    # One look a span: no more false pages than the budget gives one stream.
    alpha = min(0.01, 1.0 / window.policy.training_drift.alarm_at)
    found = log.scored(window.file.model, contract, start, window.end)
    policy = OutcomePolicy(float(floor), alpha=alpha)
    if not found:
        facts = Quality(task.metric, 0.0, 0.0, 0.0, 0, task.larger_is_better, "outcomes")
    else:
        outputs = [np.concatenate(parts) for parts in zip(*(f.outputs for f in found), strict=True)]
        labels = np.concatenate([f.labels for f in found])
        facts = task.quality(outputs, labels, alpha)
    return Scores(facts, policy, judge_outcomes(facts, policy, window.end))


def respond_to_training_drift(
    tx: Tx, window: ClosedWindow, drift: _Finding | None, scores: Scores | None, now: float
) -> None:
    """Training drift is logged; outcomes below the floor open an incident, for they are harm.

    That is how the two are told apart: drift says that the inputs changed, outcomes that
    the answers got worse. Only the second, or a sudden shift against the recent past, wakes a
    person (unless the model's file asks for more).
    """
    model = window.file.model
    if drift and drift.alarms:
        decision_id = f"{model}/training_drift/{window.start:.0f}"
        cause = Cause(CauseKind.TRAINING_DRIFT, model)
        response = choose_response(cause.kind, window.file.respond)
        opened = [a for a in drift.alarms if a.opened]
        effects = ()
        if not opened and drift.verdict.outcome is Outcome.PASS:
            lines = [f"the inputs are as in training again: {drift.verdict.sentence}"]
            close_incident(tx, model, cause, now=now, decision=decision_id, lines=lines)
        if response is not Response.LOG and opened:
            effects = open_incident(
                tx,
                window.file,
                cause,
                title=drift.verdict.sentence,
                now=now,
                since=min(a.since for a in opened),
                evidence={"suspects": [{"feature": a.feature, "size": a.size} for a in opened]},
                decision=decision_id,
                done=[],
            )
        tx.decide(
            Decision(
                id=decision_id,
                model=model,
                judge="drift",
                subject="training data",
                action=response.value,
                at=now,
                policy=msgspec.to_builtins(window.policy.training_drift),
                facts=msgspec.to_builtins(drift.facts),
                verdict=drift.verdict,
                effects=effects,
            )
        )
    if scores:
        _respond_to_scores(tx, window, scores, now)


def _respond_to_scores(tx: Tx, window: ClosedWindow, scores: Scores, now: float) -> None:
    verdict = scores.verdict
    model = window.file.model
    cause = Cause(CauseKind.OUTCOMES, model)
    decision_id = f"{model}/{cause.key}/{window.start:.0f}"
    held = tx.open_incident(model, cause.key)
    effects = ()
    if verdict.failed and held is None:
        response = choose_response(cause.kind, window.file.respond)
        if response is not Response.LOG:
            effects = open_incident(
                tx,
                window.file,
                cause,
                title=verdict.sentence,
                now=now,
                since=window.end - window.policy.drift_over_s,
                evidence=scores.detail,
                decision=decision_id,
                done=[],
            )
        action = response.value
    elif held is not None and verdict.outcome is Outcome.PASS:
        line = f"outcomes are above the floor again: {verdict.sentence}"
        close_incident(tx, model, cause, now=now, decision=decision_id, lines=[line])
        action = "close"
    else:
        return
    tx.decide(
        Decision(
            id=decision_id,
            model=model,
            judge="outcomes",
            subject="outcomes",
            action=action,
            at=now,
            policy=msgspec.to_builtins(scores.policy),
            facts=msgspec.to_builtins(scores.facts),
            verdict=verdict,
            effects=effects,
        )
    )
