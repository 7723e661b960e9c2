"""Respond to a feed that broke: tell, stand in with a version that does not need it, go back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from windvane.core.alerting import (
    Response,
    cause_of_view,
    choose_response,
    rank_suspects,
)
from windvane.core.drift import Alarm, DriftFacts, Kind
from windvane.core.journal import Decision, Effect
from windvane.core.verdict import Verdict
from windvane.ports.control_store import Deployment, Tx
from windvane.ports.event_log import EventLog
from windvane.usecases.gather_evidence import histogram, sample_requests, tenant_shares
from windvane.usecases.load_window import ClosedWindow, StewardState
from windvane.usecases.open_incident import close_incident, open_incident
from windvane.usecases.publish_routing import routing_effects, version_without


class _Finding(Protocol):
    @property
    def facts(self) -> DriftFacts: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def alarms(self) -> tuple[Alarm, ...]: ...


def respond_to_feed(
    tx: Tx,
    log: EventLog,
    window: ClosedWindow,
    state: StewardState,
    finding: _Finding,
    now: float,
) -> None:
    """One decision a view whose alarms changed in this window."""
    for view in sorted({alarm.view for alarm in finding.alarms}):
        opened = [a for a in finding.alarms if a.view == view and a.opened]
        if opened:
            _break(tx, log, window, finding, view, opened, now)
        elif not _sounding(window, state, view):
            _heal(tx, window, state, finding, view, now)


def _sounding(window: ClosedWindow, state: StewardState, view: str) -> list[str]:
    views = window.views
    return [
        s
        for s, held in state.sudden_shift.items()
        if held.alarmed and views[s.rpartition("/")[0]] == view
    ]


def _break(
    tx: Tx,
    log: EventLog,
    window: ClosedWindow,
    finding: _Finding,
    view: str,
    opened: Sequence[Alarm],
    now: float,
) -> None:
    cause = cause_of_view(view)
    response = choose_response(cause.kind, window.file.respond)
    live = tx.deployment(window.file.model) or window.live
    otherwise = Response.LOG if response is Response.LOG else Response.NOTIFY
    fresh, done = _stand_in(tx, live, view, response, now)
    decision_id = f"{window.file.model}/{cause.key}/{window.start:.0f}/broken"
    since = min(a.since for a in opened)
    evidence = _evidence(log, window, view, opened, since)
    effects: tuple[Effect, ...] = ()
    if response is not Response.LOG:
        effects = open_incident(
            tx,
            window.file,
            cause,
            title=_title(view, opened),
            now=now,
            since=since,
            evidence=evidence,
            decision=decision_id,
            done=done,
        )
    tx.put_deployment(fresh)
    action = "fall_back" if fresh.standing_in != live.standing_in else otherwise.value
    routing = routing_effects(tx) if fresh != live else ()
    _decide(tx, window, finding, decision_id, view, action, now, (*routing, *effects))


def _stand_in(
    tx: Tx, live: Deployment, view: str, response: Response, now: float
) -> tuple[Deployment, list[str]]:
    broken = tuple(sorted({*live.broken_views, view}))
    fresh = replace(live, broken_views=broken, changed_at=now)
    if response not in (Response.FALLBACK, Response.ROLLBACK):
        return replace(live, broken_views=broken), []
    champion = tx.version(live.model, live.champion)
    if not set(champion.views) & set(broken):
        return replace(live, broken_views=broken), [f"version {live.champion} needs none of it"]
    version = version_without(tx.versions(live.model), broken, live.rolled_back)
    if version is None:
        return replace(live, broken_views=broken), [f"no version does without {view}: left as is"]
    if version == live.standing_in:
        return replace(live, broken_views=broken), []
    line = f"version {version}, which does not need {view}, stands in for version {live.champion}"
    return replace(fresh, standing_in=version), [line]


def _heal(
    tx: Tx,
    window: ClosedWindow,
    state: StewardState,
    finding: _Finding,
    view: str,
    now: float,
) -> None:
    cause = cause_of_view(view)
    live = tx.deployment(window.file.model) or window.live
    if view not in live.broken_views:
        return
    since = min(a.since for a in finding.alarms if a.view == view)
    held = tx.open_incident(window.file.model, cause.key)
    spans = state.excluded.setdefault(view, [])
    spans.append((held.since if held else since, window.end))
    del spans[:-20]
    broken = tuple(v for v in live.broken_views if v != view)
    standing = None
    if broken and live.standing_in:
        standing = version_without(tx.versions(live.model), broken, live.rolled_back)
    fresh = replace(live, broken_views=broken, standing_in=standing, changed_at=now)
    decision_id = f"{window.file.model}/{cause.key}/{window.start:.0f}/healed"
    lines = [f"{view} is healthy again"]
    if live.standing_in and not standing:
        lines.append(f"version {live.champion} answers again")
    close_incident(tx, window.file.model, cause, now=now, decision=decision_id, lines=lines)
    tx.put_deployment(fresh)
    _decide(tx, window, finding, decision_id, view, "revert", now, routing_effects(tx))


def _decide(
    tx: Tx,
    window: ClosedWindow,
    finding: _Finding,
    decision_id: str,
    view: str,
    action: str,
    now: float,
    effects: tuple[Effect, ...],
) -> None:
    tx.decide(
        Decision(
            id=decision_id,
            model=window.file.model,
            judge="drift",
            subject=f"view {view}",
            action=action,
            at=now,
            policy=msgspec.to_builtins(window.policy.sudden_shift),
            facts=msgspec.to_builtins(finding.facts),
            verdict=finding.verdict,
            effects=effects,
        )
    )


_WORDS = {Kind.NULLS: "nulls rose by", Kind.VALUES: "values moved by", Kind.DRIFT: "PSI"}


def _title(view: str, opened: Sequence[Alarm]) -> str:
    ranked = rank_suspects([(f"{a.feature} {_WORDS[a.kind]}", a.size) for a in opened])
    changes = ", ".join(f"{name} {size:.0%}" for name, size in ranked[:4])
    more = f" and {len(ranked) - 4} more" if len(ranked) > 4 else ""
    return f"the {view} feed changed: {changes}{more}"


def _evidence(
    log: EventLog, window: ClosedWindow, view: str, opened: Sequence[Alarm], since: float
) -> dict[str, Any]:
    sizes: dict[str, float] = {}
    for alarm in opened:
        sizes[alarm.feature] = max(sizes.get(alarm.feature, 0.0), alarm.size)
    ranked = rank_suspects(list(sizes.items()))
    before = window.history.between(0.0, since)
    if before is None:
        before = window.baseline.counts
    after = window.history.between(since, window.end)
    after = window.counts if after is None else after
    suspect = ranked[0][0]
    mine = [(k.tenant, s.features) for k, s in window.sketches if s.layout_id == window.layout.id]
    kinds = {a.kind for a in opened}
    where: Mapping[str, Any] = {f"features.{suspect}": None} if Kind.NULLS in kinds else {}
    samples = log.samples(
        window.file.model, window.file.contract, window.start, window.end, where, 5
    )
    return {
        "view": view,
        "suspects": [{"feature": name, "size": round(size, 4)} for name, size in ranked],
        "kinds": sorted(kind.value for kind in kinds),
        "first_window": since,
        "tenants": tenant_shares(window.layout, suspect, mine),
        "histograms": [histogram(window.layout, name, before, after) for name, _ in ranked[:6]],
        "samples": sample_requests(samples),
        "last_good": {"version": window.live.champion, "before": since},
    }
