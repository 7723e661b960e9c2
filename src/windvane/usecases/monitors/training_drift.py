"""Inputs that are no more those of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join, rank_suspects
from windvane.core.drift import (
    DriftFacts,
    DriftPolicy,
    StreamState,
    baseline_readings,
    judge_drift,
)
from windvane.core.verdict import Outcome
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.monitors.base import (
    NO_SUBJECT,
    AlarmState,
    Judge,
    Judged,
    Monitor,
    moment,
    read_row,
)
from windvane.usecases.monitors.drift_table import drift_table, material_sizes
from windvane.usecases.monitors.spans import due_since
from windvane.usecases.read_model_file import ModelFile
from windvane.usecases.window_policy import WindowPolicy

# What is drawn for this judge; see sudden_shift.SALT.
SALT = "season"

TRAINING_DRIFT = CauseKind(
    "training_drift", CauseGroup.DRIFT, "drift.md", joins={"feed": Join.SAME_SOURCES}
)


@dataclass(frozen=True, slots=True)
class TrainingDriftState:
    """The detectors of all features, and where the next look begins (s)."""

    streams: Mapping[str, StreamState] = field(default_factory=dict[str, StreamState])
    since: float = 0.0

    @property
    def alarmed(self) -> bool:
        return any(held.alarmed for held in self.streams.values())


class TrainingDrift(Monitor):
    """Each feature over many merged windows against the training data.

    It harms nobody by itself: drift says that the inputs changed, outcomes that the answers got
    worse. Only the second, or a sudden shift, wakes a person unless the model's file asks for
    more.
    """

    name = "training_drift"
    title = "Training drift"
    cause = TRAINING_DRIFT
    judge = Judge("drift", DriftFacts, DriftPolicy, lambda f, p, now: judge_drift(f, p, now)[0])
    slow = True

    def streams(self, file: ModelFile, tenants: int) -> int:
        del tenants
        return len(file.schema)

    def reads_from(
        self, start: float, policy: WindowPolicy, views: Mapping[str, str], rows: StateRows
    ) -> float:
        del views, rows
        return start - policy.drift_over_s

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        held = read_row(rows, TrainingDriftState)
        since, due = due_since(window, held.since)
        counts = window.history.between(since, window.end) if due else None
        policy = drift_policy(window.file, window.policy)
        if counts is None:
            return []
        readings = baseline_readings(
            window.layout, window.views, counts, window.baseline, seed=window.seed(SALT)
        )
        facts = DriftFacts(
            since, window.rows_in(counts), window.policy.min_rows, readings, held.streams
        )
        verdict, streams, alarms = judge_drift(facts, policy, window.end)
        opened = [a for a in alarms if a.opened]
        cause = Cause(TRAINING_DRIFT, window.model)
        findings: tuple[Finding, ...] = ()
        if opened:
            began = min(a.since for a in opened)
            ranked = tuple(rank_suspects([(a.feature, a.size) for a in opened]))
            title = f"{verdict.sentence}, since {moment(began)}"
            sources = tuple(sorted({a.view for a in opened}))
            findings = (Finding(self.name, cause, True, began, title, ranked, sources),)
        elif alarms and verdict.outcome is Outcome.PASS:
            line = f"the inputs are as in training again: {verdict.sentence}"
            since = min(a.since for a in alarms)
            findings = (Finding(self.name, cause, False, since, line),)
        fresh = TrainingDriftState(streams, window.end)
        detail = drift_table(facts, alarms)
        return [Judged(NO_SUBJECT, facts, policy, verdict, findings, {NO_SUBJECT: fresh}, detail)]

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        del window, found, log
        return {"suspects": [{"feature": n, "size": size} for n, size in finding.suspects]}

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        del cause
        return {NO_SUBJECT: replace(read_row(rows, TrainingDriftState), streams={})}


def drift_policy(file: ModelFile, policy: WindowPolicy) -> DriftPolicy:
    return DriftPolicy(policy.slow_alarm_at, material_sizes(file), calm_windows=1)
