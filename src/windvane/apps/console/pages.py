"""The pages."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from windvane.apps.console.answering import Asker
from windvane.apps.console.evidence import evidence_of
from windvane.apps.console.features import feature_views, recent_span
from windvane.apps.console.health import health_of
from windvane.apps.console.reading import RouteMemory, load_glances, load_whole
from windvane.apps.console.rendering import Pages
from windvane.apps.console.timeline import timeline
from windvane.apps.console.traffic import series
from windvane.apps.console.views import (
    DEFAULT_RANGE,
    RANGES,
    behind,
    charts,
    latest_verdicts,
    model_card,
    numbers,
    owner_of,
    sort_cards,
    sort_incidents,
    tenant_rows,
)
from windvane.core.journal import Decision
from windvane.ports.clock import Clock
from windvane.ports.control_store import Incident, IncidentNote, Tx
from windvane.usecases.replay_decision import JUDGES

_INCIDENTS = 100


def page_router(asker: Asker, clock: Clock, pages: Pages) -> APIRouter:
    """Every page, as HTML."""
    router = APIRouter(include_in_schema=False)
    memory = RouteMemory()

    @router.get("/")
    async def models(request: Request) -> Response:
        now = clock.now()
        cards = await asker.ask(lambda tx: [model_card(g) for g in load_glances(tx, now)])
        loud = sum(len(card.incidents) for card in cards)
        title = f"Models ({loud} open)" if loud else "Models"
        return pages.page(request, "models.html", title=title, now=now, cards=sort_cards(cards))

    @router.get("/models/{model}")
    async def model_page(request: Request, model: str, windows: str = "") -> Response:
        now, given = clock.now(), _range(windows)
        whole = await asker.ask(lambda tx: load_whole(tx, model, now, given, memory))
        glance = whole.glance
        line = series(glance.found, glance.grid)
        tenants, more = tenant_rows(whole)
        places = {v.version: i for i, v in enumerate(whole.versions)}
        return pages.page(
            request,
            "model.html",
            title=model,
            now=now,
            model=model,
            file=glance.file,
            live=glance.live,
            applied_at=glance.record.applied_at,
            owner=owner_of(glance),
            health=health_of(glance.live, glance.incidents, glance.latest, line.all.requests),
            behind=behind(glance),
            incidents=sort_incidents([*glance.incidents, *whole.closed]),
            numbers=numbers(line.all),
            so_far=line.open,
            versions=list(reversed(whole.versions)),
            places=places,
            charts=charts(whole, line),
            timeline=timeline(whole, now),
            features=feature_views(whole),
            recent_span=recent_span(whole),
            features_at=whole.features.start if whole.features else None,
            drift=whole.drift,
            outcomes=whole.outcomes,
            verdicts=latest_verdicts(glance),
            tenants=tenants,
            more_tenants=more,
            decisions=whole.decisions[:20],
            ranges=RANGES,
            range=given,
            window_s=glance.grid.window_s,
        )

    @router.get("/incidents")
    async def incidents(request: Request, model: str = "") -> Response:
        found = await asker.ask(lambda tx: _incidents(tx, model))
        return pages.page(
            request, "incidents.html", title="Incidents", now=clock.now(),
            incidents=sort_incidents(found), model=model,
        )  # fmt: skip

    @router.get("/incidents/{incident:path}")
    async def incident_page(request: Request, incident: str) -> Response:
        found, notes = await asker.ask(lambda tx: _incident(tx, incident))
        return pages.page(
            request, "incident.html", title=found.title, now=clock.now(),
            incident=found, notes=notes, evidence=evidence_of(found, notes),
        )  # fmt: skip

    @router.get("/decisions/{decision:path}")
    async def decision_page(request: Request, decision: str) -> Response:
        found, told = await asker.ask(lambda tx: _decision(tx, decision))
        return pages.page(
            request, "decision.html", title=f"{found.action}: {found.subject}", now=clock.now(),
            decision=found, incidents=told, replayable=found.judge in JUDGES,
        )  # fmt: skip

    del models, model_page, incidents, incident_page, decision_page
    return router


def _range(windows: str) -> int:
    """The asked number of windows, if it is one of those offered."""
    return int(windows) if windows in map(str, RANGES) else DEFAULT_RANGE


def _incidents(tx: Tx, model: str) -> list[Incident]:
    if model:
        tx.model(model)
    return tx.incidents(model, _INCIDENTS)


def _incident(tx: Tx, incident: str) -> tuple[Incident, list[IncidentNote]]:
    return tx.incident(incident), tx.notes(incident)


def _decision(tx: Tx, decision: str) -> tuple[Decision, list[Incident]]:
    """The decision, and the incidents that it opened or closed: they carry its time."""
    found = tx.decision(decision)
    told = tx.incidents(found.model, _INCIDENTS)
    return found, [i for i in told if found.at in (i.opened_at, i.closed_at)]
