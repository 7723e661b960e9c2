"""Inputs that are no more those of the training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from windvane.core.alerting import (
    Cause,
    CauseGroup,
    CauseKind,
    Finding,
    Join,
    Severity,
    Tier,
    rank_suspects,
)
from windvane.core.drift import (
    DriftFacts,
    DriftPolicy,
    StreamState,
    baseline_readings,
    judge_drift,
    pack_text,
    unpack_text,
)
from windvane.core.routing import NO_SAMPLE
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import (
    ClosedWindow,
    Counts,
    StateRows,
    segment_subject,
    tenant_of,
    tenant_subject,
)
from windvane.usecases.monitors.base import (
    NO_SUBJECT,
    AlarmState,
    Judge,
    Judged,
    Monitor,
    moment,
    read_row,
)
from windvane.usecases.monitors.drift_table import bands_of, drift_table, material_sizes
from windvane.usecases.monitors.spans import due_since
from windvane.usecases.read_model_file import ModelFile
from windvane.usecases.window_policy import WindowPolicy

TRAINING_DRIFT = CauseKind(
    "training_drift",
    CauseGroup.DRIFT,
    "drift.md",
    joins={
        "feed": Join.SAME_SOURCES,
        "tenant_feed": Join.FOUND_TOGETHER,
        "segment_feed": Join.FOUND_TOGETHER,
    },
)
_LEAST_PART = 0.01  # of a window's rows: what fewer of them send moves nothing that is material


@dataclass(frozen=True, slots=True)
class TrainingDriftState:
    """The detectors of all features, where the next look begins (s), and the counts since then,
    packed, of the layout ``layout``; sources that were ``broken`` since then, of everyone or of
    tenants and segments that are part of it, are not looked at."""

    streams: Mapping[str, StreamState] = field(default_factory=dict[str, StreamState])
    since: float = 0.0
    layout: str = ""
    packed: str = ""
    broken: tuple[str, ...] = ()

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

    def layouts(self, rows: StateRows) -> Iterable[str]:
        held = read_row(rows, TrainingDriftState).layout
        return (held,) if held else ()

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        held = read_row(rows, TrainingDriftState)
        since, due = due_since(window, held.since)
        counts = _counted(window, held) + window.counts
        broken = tuple(sorted({*held.broken, *window.live.broken_views, *_broken_of_parts(window)}))
        policy = drift_policy(window.file, window.policy)
        grown = TrainingDriftState(
            held.streams, since, window.layout.id, pack_text({"counts": counts}), broken
        )
        if not due or not counts.any():
            facts = DriftFacts(since, window.rows_in(counts), window.policy.min_rows, (), {})
            verdict = Verdict(Outcome.HOLD, "DRI-202", "the span is not over yet", "time")
            return [
                Judged(NO_SUBJECT, facts, policy, verdict, states={NO_SUBJECT: grown}, shown=False)
            ]
        # What a fault leaves behind is no drift, and would keep its incident open long after.
        readings = tuple(
            r
            for r in baseline_readings(
                window.layout, window.views, counts, window.baseline, window.end - since
            )
            if r.view not in broken
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
            large = max(a.size for a in opened) >= bands_of(window.file).alert
            # Large drift of a model that matters is told in office hours, harm or not.
            told = large and window.file.tier == Tier.CRITICAL.value
            findings = (
                Finding(
                    self.name, cause, True, began, title, ranked, sources,
                    Severity.MEDIUM if told else None,
                ),
            )  # fmt: skip
        elif alarms and verdict.outcome is Outcome.PASS:
            line = f"the inputs are as in training again: {verdict.sentence}"
            since = min(a.since for a in alarms)
            findings = (Finding(self.name, cause, False, since, line),)
        if broken and verdict.outcome is Outcome.PASS and not findings:
            line = f"{verdict.sentence}; broken meanwhile, so not compared: {', '.join(broken)}"
            verdict = Verdict(Outcome.HOLD, "DRI-204", line, "a span in which none is broken")
        fresh = TrainingDriftState(streams, window.end)
        detail = drift_table(facts, alarms, policy, streams)
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


def _broken_of_parts(window: ClosedWindow) -> set[str]:
    """Sources that are broken of tenants or segments with rows enough to move those of all."""
    rows: dict[str, int] = {}
    for key, sketch in window.sketches:
        if key.arm not in NO_SAMPLE:
            subject = tenant_subject(key.tenant)
            rows[subject] = rows.get(subject, 0) + sketch.total("rows")
    rows |= {segment_subject(s): window.rows_in(c) for s, c in window.segments.items()}
    # Tenants are apart from each other and overlap with segments: each kind by itself.
    broken: dict[tuple[bool, str], int] = {}
    for subject, views in window.broken_parts.items():
        for view in views:
            place = (tenant_of(subject) is None, view)
            broken[place] = broken.get(place, 0) + rows.get(subject, 0)
    return {view for (_, view), n in broken.items() if n and n >= _LEAST_PART * window.rows}


def _counted(window: ClosedWindow, held: TrainingDriftState) -> Counts:
    """Counts since the last look, under today's layout."""
    former = window.layouts.get(held.layout)
    if not held.packed or former is None:
        return np.zeros(window.layout.size, np.int64)
    return former.project(unpack_text(held.packed)["counts"], window.layout)
