"""Respond to a rate that is too high: a tenant's refusals, or the model's own errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import msgspec

from windvane.core.alerting import Cause, CauseKind, Response, choose_response
from windvane.core.journal import Decision, Effect
from windvane.core.verdict import RateFacts, RatePolicy, RateState, Verdict
from windvane.ports.control_store import Tx
from windvane.ports.event_log import EventLog
from windvane.usecases.gather_evidence import sample_requests
from windvane.usecases.load_window import ClosedWindow
from windvane.usecases.open_incident import close_incident, open_incident
from windvane.usecases.publish_routing import routing_effects


class _Finding(Protocol):
    @property
    def facts(self) -> RateFacts: ...
    @property
    def policy(self) -> RatePolicy: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def after(self) -> RateState: ...


def respond_to_rate(
    tx: Tx, log: EventLog, window: ClosedWindow, finding: _Finding, now: float
) -> None:
    """Open an incident when the alarm begins to sound, close it when it stops."""
    before, after = finding.facts.before.alarmed, finding.after.alarmed
    if before == after:
        return
    subject = finding.facts.subject
    tenant = subject.removeprefix("tenant ") if subject.startswith("tenant ") else ""
    model = window.file.model
    cause = Cause(CauseKind.TENANT, tenant) if tenant else Cause(CauseKind.ERRORS, model)
    word = "began" if after else "ended"
    decision_id = f"{model}/{cause.key}/{window.start:.0f}/{word}"
    effects: tuple[Effect, ...] = ()
    action = "close"
    if after:
        response = choose_response(cause.kind, window.file.respond)
        action, done, effects = response.value, [], ()
        if not tenant and response is Response.ROLLBACK:
            action, done, effects = _roll_back(tx, window, now)
        if response is not Response.LOG:
            effects = (
                *effects,
                *open_incident(
                    tx,
                    window.file,
                    cause,
                    title=finding.verdict.sentence,
                    now=now,
                    since=finding.after.since,
                    evidence=_evidence(log, window, tenant, finding.after.since),
                    decision=decision_id,
                    done=done,
                ),
            )
    else:
        line = f"{subject} is back within the allowance"
        close_incident(tx, model, cause, now=now, decision=decision_id, lines=[line])
    tx.decide(
        Decision(
            id=decision_id,
            model=model,
            judge="rate",
            subject=subject,
            action=action,
            at=now,
            policy=msgspec.to_builtins(finding.policy),
            facts=msgspec.to_builtins(finding.facts),
            verdict=finding.verdict,
            effects=effects,
        )
    )


def _roll_back(
    tx: Tx, window: ClosedWindow, now: float
) -> tuple[str, list[str], tuple[Effect, ...]]:
    """To the version before, where there is one and no other rollout is under way."""
    live = tx.deployment(window.file.model) or window.live
    if live.challenger:
        message = f"not rolled back: version {live.challenger} is being rolled out"
        return "notify", [message], ()
    if live.previous is None:
        return "notify", ["no earlier version to roll back to"], ()
    out = tuple(sorted({*live.rolled_back, live.champion}))
    fresh = replace(live, champion=live.previous, previous=None, changed_at=now, rolled_back=out)
    tx.put_deployment(fresh)
    line = f"rolled back from version {live.champion} to version {live.previous}"
    return "rollback", [line], routing_effects(tx)


def _evidence(log: EventLog, window: ClosedWindow, tenant: str, since: float) -> dict[str, Any]:
    model = window.file.model
    if tenant:
        found = log.refusals(model, tenant, since, window.end, 5)
        return {
            "tenants": [{"tenant": tenant}],
            "first_window": since,
            "samples": sample_requests(found),
        }
    found = log.samples(model, window.file.contract, since, window.end, {"answered": ""}, 5)
    return {
        "first_window": since,
        "samples": sample_requests(found),
        "last_good": {"version": window.live.previous},
    }
