"""Judge a model's closed windows, one after the other, and act on what is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from windvane.core.drift import (
    Alarm,
    DriftFacts,
    baseline_readings,
    judge_drift,
    recent_readings,
)
from windvane.core.routing import SELECTED, Arm
from windvane.core.verdict import RateFacts, RatePolicy, RateState, Verdict, judge_rate
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, WindowVerdict
from windvane.ports.event_log import EventLog
from windvane.usecases.advance_rollout import LEASE
from windvane.usecases.load_window import (
    DRIFT_SALT,
    SHIFT_SALT,
    ClosedWindow,
    StewardState,
    WindowCache,
    load_window,
)
from windvane.usecases.recorded_until import EXPIRE_AFTER_S
from windvane.usecases.respond_to_feed import respond_to_feed
from windvane.usecases.respond_to_rate import respond_to_rate
from windvane.usecases.respond_to_training_drift import judge_scores, respond_to_training_drift


@dataclass(frozen=True, slots=True)
class DriftFinding:
    """Facts, verdict and alarms of one drift judge in one window."""

    facts: DriftFacts
    verdict: Verdict
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True)
class RateFinding:
    """Facts, verdict and detector of one rate judge in one window."""

    facts: RateFacts
    policy: RatePolicy
    verdict: Verdict
    after: RateState


def judge_window(
    store: ControlStore,
    log: EventLog,
    clock: Clock,
    model: str,
    token: int,
    cache: WindowCache,
    expire_after_s: float = EXPIRE_AFTER_S,
) -> bool:
    """Judge the next closed window of ``model``; False where none is closed yet.

    Everything that follows commits in one transaction under the steward's lease; a window
    that another steward judged meanwhile is left as it was.
    """
    with store.read() as tx:
        loaded = load_window(tx, model, cache, clock.wall(), expire_after_s)
        seen = tx.steward_state(model)
    if loaded is None:
        return False
    window, state = loaded
    rows: list[WindowVerdict] = []
    shift = _judge_sudden_shift(window, state)
    rows.append(_row(window, "features", shift.verdict, _table(shift, state)))
    rates = [*_judge_refusals(window, state), _judge_errors(window, state)]
    rows += [_row(window, f.facts.subject, f.verdict, {}) for f in rates]
    drift = _judge_training_drift(window, state)
    scores = judge_scores(log, window) if drift else None
    if drift:
        rows.append(_row(window, "drift", drift.verdict, _table(drift, state)))
    if scores:
        rows.append(_row(window, "outcomes", scores.verdict, scores.detail))
    now = clock.now()
    state.judged_until = window.end
    with store.begin() as tx:
        tx.require(LEASE, token)
        if tx.steward_state(model) != seen:
            return True  # judged by another, or an incident was closed by hand: look again
        if shift.alarms:
            respond_to_feed(tx, log, window, state, shift, now)
        for finding in rates:
            respond_to_rate(tx, log, window, finding, now)
        if drift or scores:
            respond_to_training_drift(tx, window, drift, scores, now)
        tx.add_verdicts(rows)
        tx.put_steward_state(model, msgspec.to_builtins(state))
    return True


def _judge_sudden_shift(window: ClosedWindow, state: StewardState) -> DriftFinding:
    rows = int(window.layout.part(window.counts, window.layout.names[0]).sum())
    readings = (
        recent_readings(
            window.layout,
            window.views,
            window.counts,
            window.references(state),
            window.calibration(state),
            min_rows=window.policy.min_rows,
            seed=window.seed(SHIFT_SALT),
        )
        if rows >= window.policy.min_rows
        else ()
    )
    facts = DriftFacts(
        window.start, rows, window.policy.min_rows, readings, dict(state.sudden_shift)
    )
    verdict, state.sudden_shift, alarms = judge_drift(facts, window.policy.sudden_shift, window.end)
    for r in readings:
        window.history.remember(r.stream, window.start, round(r.size, 4))
    return DriftFinding(facts, verdict, alarms)


def _judge_refusals(window: ClosedWindow, state: StewardState) -> list[RateFinding]:
    tallies: dict[str, list[int]] = {}
    for key, sketch in window.sketches:
        tally = tallies.setdefault(key.tenant, [0, 0])
        tally[0] += sketch.total("refused")
        tally[1] += sketch.total("requests")
    out: list[RateFinding] = []
    for tenant, (bad, good) in sorted(tallies.items()):
        before = state.refusals.get(tenant, RateState())
        facts = RateFacts(f"tenant {tenant}", window.start, bad, good, before)
        verdict, after = judge_rate(facts, window.policy.refusals, window.end)
        state.refusals[tenant] = after
        out.append(RateFinding(facts, window.policy.refusals, verdict, after))
    return out


def _judge_errors(window: ClosedWindow, state: StewardState) -> RateFinding:
    """The model's own health: a canary's failures belong to its gate, refusals to a tenant."""
    own = [s for k, s in window.sketches if k.arm in (Arm.CHAMPION, Arm.FALLBACK, SELECTED)]
    failed = sum(s.total("execution_errors") for s in own)
    bad = failed + sum(s.total("unanswered") for s in own)
    good = sum(s.total("rows") for s in own) - failed
    facts = RateFacts("errors", window.start, bad, good, state.errors)
    verdict, state.errors = judge_rate(facts, window.policy.errors, window.end)
    return RateFinding(facts, window.policy.errors, verdict, state.errors)


def _judge_training_drift(window: ClosedWindow, state: StewardState) -> DriftFinding | None:
    """Against the training data, over many merged windows; None between two such looks."""
    state.training_drift_from = state.training_drift_from or window.start
    over = window.end - state.training_drift_from >= window.policy.drift_over_s
    if not over or window.end % window.policy.block_s:
        return None
    counts = window.history.between(state.training_drift_from, window.end)
    if counts is None:
        return None
    rows = int(window.layout.part(counts, window.layout.names[0]).sum())
    readings = baseline_readings(
        window.layout, window.views, counts, window.baseline, seed=window.seed(DRIFT_SALT)
    )
    facts = DriftFacts(
        state.training_drift_from,
        rows,
        window.policy.min_rows,
        readings,
        dict(state.training_drift),
    )
    verdict, state.training_drift, alarms = judge_drift(
        facts, window.policy.training_drift, window.end
    )
    state.training_drift_from = window.end
    return DriftFinding(facts, verdict, alarms)


def _table(finding: DriftFinding, state: StewardState) -> dict[str, Any]:
    """The drift table of one look: every stream's size, evidence and whether it sounds."""
    del state
    states = {a.feature + "/" + a.kind.value: a.opened for a in finding.alarms}
    return {
        "rows": finding.facts.rows,
        "readings": [
            {
                "feature": r.feature,
                "view": r.view,
                "kind": r.kind.value,
                "p": round(r.p, 6),
                "size": round(r.size, 4),
                "changed": states.get(r.stream),
            }
            for r in finding.facts.readings
        ],
    }


def _row(
    window: ClosedWindow, subject: str, verdict: Verdict, detail: Mapping[str, Any]
) -> WindowVerdict:
    return WindowVerdict(
        window.file.model, window.start, subject,
        verdict.outcome, verdict.code, verdict.sentence, detail,
    )  # fmt: skip
